# shellcheck shell=bash
# Python with what examples/python needs, in a folder under the build's own. Needs packages.sh and REPOSITORY.

# make_python: sets TARGET, where cargo builds, and PYTHON.
make_python() {
    TARGET=${CARGO_TARGET_DIR:-$REPOSITORY/target}
    [[ $TARGET == /* ]] || TARGET=$REPOSITORY/$TARGET
    PYTHON=$TARGET/python/bin/python
    [[ -x $PYTHON ]] || python3 -m venv "$TARGET/python"
    "$PYTHON" -c 'import cryptography.x509, websockets.sync.client' 2>/dev/null && return
    say "installing with pip, in $TARGET/python: cryptography and websockets"
    "$PYTHON" -m pip --quiet --disable-pip-version-check install -r "$REPOSITORY/examples/python/requirements.txt"
}
