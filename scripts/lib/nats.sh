# shellcheck shell=bash
# The official NATS clients for Python and JavaScript, in folders under the build's own. Needs packages.sh, python.sh and
# REPOSITORY.

# make_nats_python: adds nats-py to what make_python makes.
make_nats_python() {
    make_python
    local list=$REPOSITORY/tests/nats/requirements.txt installed=$TARGET/python/nats.txt
    ! cmp -s "$list" "$installed" || return 0
    say "installing with pip, in $TARGET/python: nats-py and aiohttp"
    "$PYTHON" -m pip --quiet --disable-pip-version-check install -r "$list"
    cp "$list" "$installed"
}

# make_nats_node: sets NODE, a folder whose programs find @nats-io/nats-core and ws. After make_nats_python.
make_nats_node() {
    need_commands node=nodejs npm=npm
    local major
    major=$(node --print 'process.versions.node.split(".")[0]')
    ((major >= 18)) || die "node $(node --version) is too old for @nats-io/nats-core; version 18 or later is needed"
    NODE=$TARGET/node
    local list=$REPOSITORY/tests/nats/package.json
    ! cmp -s "$list" "$NODE/installed.json" || return 0
    say "installing with npm, in $NODE: @nats-io/nats-core and ws"
    rm -rf -- "$NODE"
    mkdir -p "$NODE"
    cp "$list" "$NODE/package.json"
    # It warns that nuid wants Node 22; that runs on 18.
    npm --prefix "$NODE" install --loglevel error --no-audit --no-fund --no-package-lock --ignore-scripts >/dev/null
    cp "$list" "$NODE/installed.json"
}
