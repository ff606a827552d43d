# shellcheck shell=bash
# The roots: which one issues, which are trusted, their databases and their revocation lists.
#
# `ca/state` names at most two roots. `current` issues. `next` is trusted and will issue; `previous` has issued and is
# still trusted. Bundle and lists are published before the state says so, so that a step cut short can be repeated.

readonly ROOT_SECONDS=$((3650 * 86400))
readonly CRL_SECONDS=$((7 * 86400))
# Peers whose clock is behind take a fresh certificate or list all the same.
readonly SKEW_SECONDS=300
ORGANIZATION='Portcullis development'

# run_openssl ARGUMENT...: silent unless it fails.
run_openssl() {
    openssl "$@" >"$WORK/openssl.log" 2>&1 && return
    cat -- "$WORK/openssl.log" >&2
    fail_openssl "openssl $1 failed"
}

# in_root ROOT ARGUMENT...: openssl ca in the root's own directory, where ca.cnf finds its database.
in_root() {
    local root=$1
    shift
    recover_database "$CA_DIR/ca/$root"
    (cd -- "$CA_DIR/ca/$root" && run_openssl ca -batch -config "$PROFILES/ca.cnf" "$@")
}

# openssl renames FILE away before it renames FILE.new into place; killed between the two, it leaves only the latter.
recover_database() {
    local file
    for file in index.txt index.txt.attr crlnumber; do
        [[ -e $1/$file || ! -e $1/$file.new ]] || mv -- "$1/$file.new" "$1/$file"
    done
}

# Sets CURRENT, NEXT and PREVIOUS.
read_state() {
    local key value
    CURRENT='' NEXT='' PREVIOUS=''
    while IFS='=' read -r key value; do
        [[ $value =~ ^([0-9a-f]{8})?$ ]] || fail_state "${CA_DIR@Q}/ca/state is damaged"
        case $key in
        current) CURRENT=$value ;;
        next) NEXT=$value ;;
        previous) PREVIOUS=$value ;;
        esac
    done <"$CA_DIR/ca/state"
    [[ -n $CURRENT ]] || fail_state "${CA_DIR@Q}/ca/state names no root"
}

# write_state CURRENT NEXT PREVIOUS
write_state() {
    CURRENT=$1 NEXT=$2 PREVIOUS=$3
    replace_file "$CA_DIR/ca/state" <<<"current=$1"$'\n'"next=$2"$'\n'"previous=$3"
}

# Sets TRUSTED to the roots whose certificates stand in the bundle.
trusted_roots() {
    TRUSTED=("$CURRENT")
    [[ -z $NEXT ]] || TRUSTED+=("$NEXT")
    [[ -z $PREVIOUS ]] || TRUSTED+=("$PREVIOUS")
}

is_trusted() {
    [[ $1 == "$CURRENT" || (-n $1 && ($1 == "$NEXT" || $1 == "$PREVIOUS")) ]]
}

# format_time SECONDS: sets TIME to the form openssl takes.
format_time() {
    printf -v TIME '%(%Y%m%d%H%M%SZ)T' "$1"
}

# make_key_request ALGORITHM KEY REQUEST SUBJECT: a new key, unless the file is there, and a request signed by it.
make_key_request() {
    local key=(-key "$2")
    if [[ ! -e $2 ]]; then
        case $1 in
        p256) key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256) ;;
        p384) key=(-newkey ec -pkeyopt ec_paramgen_curve:P-384) ;;
        ed25519) key=(-newkey ed25519) ;;
        rsa) key=(-newkey rsa:3072) ;;
        *) fail_state "${1@Q} is no algorithm" ;;
        esac
        key+=(-nodes -keyout "$2")
    fi
    run_openssl req -new -config "$PROFILES/ca.cnf" "${key[@]}" -subj "$4" -out "$3"
}

# make_root ALGORITHM SECONDS: a new root with an empty database. Sets ROOT to its id.
make_root() {
    local staged=$WORK/root now=$EPOCHSECONDS start
    local end=$((now + $2))
    ROOT=$(od -An -N4 -tx1 /dev/urandom)
    ROOT=${ROOT//[^0-9a-f]/}
    mkdir -p -- "$staged/issued"
    : >"$staged/index.txt"
    echo 'unique_subject = no' >"$staged/index.txt.attr"
    echo 01 >"$staged/crlnumber"
    echo "$end" >"$staged/not_after"
    # Two CAs never share a name, or a verifier would have to tell their lists apart by key.
    make_key_request "$1" "$staged/key.pem" "$WORK/root.csr" "/O=$ORGANIZATION/CN=Portcullis development root $ROOT"
    format_time "$((now - SKEW_SECONDS))"
    start=$TIME
    format_time "$end"
    (cd -- "$staged" && run_openssl ca -batch -selfsign -config "$PROFILES/ca.cnf" -notext -in "$WORK/root.csr" \
        -extfile "$PROFILES/root.cnf" -extensions extensions -startdate "$start" -enddate "$TIME" -out certificate.pem)
    mv -T -- "$staged" "$CA_DIR/ca/$ROOT"
}

# publish_trust SECONDS ROOT...: the bundle of these roots and a new list of each, valid for that long, in one step.
publish_trust() {
    local seconds=$1 staged=$WORK/trust now=$EPOCHSECONDS root last_update
    shift
    mkdir -- "$staged"
    format_time "$((now - SKEW_SECONDS))"
    last_update=$TIME
    format_time "$((now + seconds))"
    for root; do
        in_root "$root" -gencrl -crlexts crl -crl_lastupdate "$last_update" -crl_nextupdate "$TIME" -out "$WORK/crl.pem"
        cat -- "$WORK/crl.pem" >>"$staged/crl.pem"
        cat -- "$CA_DIR/ca/$root/certificate.pem" >>"$staged/anchors.pem"
    done
    # One bundle for both directions; the name of its own lets a deployment split them.
    ln -s anchors.pem "$staged/gateway-anchors.pem"
    chmod 755 -- "$staged"
    chmod 644 -- "$staged/crl.pem" "$staged/anchors.pem"
    [[ -d $CA_DIR/trust ]] || mkdir -m 755 -- "$CA_DIR/trust"
    switch_version "$CA_DIR/trust" "$staged" anchors.pem crl.pem gateway-anchors.pem
}

# database_status ROOT SERIAL: sets STATUS to V (valid), R (revoked), or nothing for a certificate it does not know.
database_status() {
    recover_database "$CA_DIR/ca/$1"
    STATUS=$(awk -F '\t' -v serial="$2" '$4 == serial { print $1 }' "$CA_DIR/ca/$1/index.txt") ||
        fail_state "cannot read the database of root $1"
}

# valid_serials ROOT NAME: sets SERIALS to the certificates of that common name which are neither revoked nor expired.
valid_serials() {
    recover_database "$CA_DIR/ca/$1"
    format_time "$EPOCHSECONDS"
    # The expiry is YYMMDDHHMMSSZ before 2050 and has four digits of year from then on.
    local found
    found=$(awk -F '\t' -v end="/CN=$2" -v now="$TIME" '
        { expiry = length($2) == 13 ? "20" $2 : $2 }
        $1 == "V" && expiry "" > now "" && substr($6, length($6) - length(end) + 1) == end { print $4 }
    ' "$CA_DIR/ca/$1/index.txt") || fail_state "cannot read the database of root $1"
    read -ra SERIALS -d '' <<<"$found" || true
}

# revoke_serial ROOT SERIAL REASON
revoke_serial() {
    local reason=()
    # RFC 5280, 5.3.1: an unspecified reason is left out.
    [[ $3 == unspecified ]] || reason=(-crl_reason "$3")
    in_root "$1" -revoke "issued/$2.pem" "${reason[@]}"
}
