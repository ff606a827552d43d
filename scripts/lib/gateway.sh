# shellcheck shell=bash
# A gateway of the example configuration on a free loopback port, with a CA of its own, in one temporary folder.
# Needs packages.sh, REPOSITORY, and PORTCULLIS: the program. LIMITS, lines `key = value`, go before the example's own.

AREA='' PKI='' GATEWAY='' PORT=''
FIRST_PORT=8443 LAST_PORT=8463
LIMITS=()

# make_area: the folder, and where the certificate scripts find their CA.
make_area() {
    AREA=$(mktemp -d "${TMPDIR:-/tmp}/portcullis.XXXXXX")
    PKI=$AREA/pki
    export PORTCULLIS_CA_DIR=$PKI
    cp "$REPOSITORY/examples/policy.toml" "$AREA/policy.toml"
}

# configure: the example, with the paths and the port of this run; and what a shell needs to act as a service.
configure() {
    local line also=()
    for line in "${LIMITS[@]}"; do
        also+=(-e "/^\(# *\)\?${line%% =*} = /d" -e "/^\[limits\]\$/a $line")
    done
    sed "${also[@]}" -e "s|\.\./certs/dev/admin.sock|$AREA/admin.sock|" -e "s|\.\./certs/dev|$PKI|" \
        -e "s|127\.0\.0\.1:8443|127.0.0.1:$PORT|" "$REPOSITORY/examples/portcullis.toml" >"$AREA/portcullis.toml"
    cat >"$AREA/env" <<END
export PORTCULLIS_CA_DIR='$PKI' PORTCULLIS_CONFIG='$AREA/portcullis.toml' PORTCULLIS_POLICY='$AREA/policy.toml'
export PORTCULLIS_URL='wss://localhost:$PORT/' PORTCULLIS_CA='$PKI/trust/gateway-anchors.pem'
export PATH='${PORTCULLIS%/*}':"\$PATH"
act_as() {
    if [[ -z "\${1:-}" || ! -e '$PKI/services/'"\$1/chain.pem" ]]; then
        echo "act_as: there is no service '\${1:-}', only" \$(ls '$PKI/services') >&2
        return 1
    fi
    export PORTCULLIS_CERT='$PKI/services/'"\$1/chain.pem" PORTCULLIS_KEY='$PKI/services/'"\$1/key.pem"
}
act_as checkout
END
}

# start: succeeds when the gateway listens on PORT, fails if the port is taken. Whoever has connected to it finds its process
# id in AREA/gateway.pid.
start() {
    configure
    : >"$AREA/gateway.log"
    {
        echo "$BASHPID" >"$AREA/gateway.pid"
        exec "$PORTCULLIS" serve --config "$AREA/portcullis.toml"
    } </dev/null >"$AREA/gateway.log" 2>&1 &
    GATEWAY=$!
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        grep -q 'listening' "$AREA/gateway.log" && return
        if ! kill -0 "$GATEWAY" 2>/dev/null; then
            local code=0
            wait "$GATEWAY" || code=$?
            GATEWAY=''
            # 3: the address cannot be had.
            ((code == 3)) && return 1
            cat "$AREA/gateway.log" >&2
            die "the gateway does not start (exit code $code)"
        fi
        sleep 0.05
    done
    die "the gateway does not listen; see $AREA/gateway.log"
}

start_somewhere() {
    for ((PORT = FIRST_PORT; PORT <= LAST_PORT; PORT++)); do
        if start; then
            say "the gateway listens on 127.0.0.1:$PORT"
            return
        fi
        say "port $PORT is taken"
    done
    die "no free port between $FIRST_PORT and $LAST_PORT"
}

# stops_cleanly: SIGTERM, and whether it ended well.
stops_cleanly() {
    local code=0 gateway=$GATEWAY
    GATEWAY=''
    kill "$gateway" && wait "$gateway" || code=$?
    ((code == 0))
}

# remove_area: ends the gateway if it runs, and takes the folder away.
remove_area() {
    [[ -z $GATEWAY ]] || stops_cleanly || true
    [[ -z $AREA ]] || rm -rf -- "$AREA"
}
