# shellcheck shell=bash
# Leaf certificates: one key, one chain and one record of how they were made, switched together.

readonly SERVICE_SECONDS=86400
readonly GATEWAY_SECONDS=$((7 * 86400))
# With its dots this is no service name, so that a service may be called anything its grammar allows.
readonly GATEWAY_NAME=gateway.portcullis.internal

ROLES=()
NAMES=()
ALGORITHM=
LIFETIME=
KEPT_KEY=

# service_directory NAME: sets PLACE.
service_directory() {
    PLACE=$CA_DIR/services/$1
}

# issue_service NAME: from ROLES, ALGORITHM, LIFETIME and KEPT_KEY.
issue_service() {
    local role subject="/O=$ORGANIZATION"
    for role in "${ROLES[@]}"; do
        subject+=/OU=$role
    done
    service_directory "$1"
    [[ -d $CA_DIR/services ]] || mkdir -- "$CA_DIR/services"
    PORTCULLIS_SERVICE=$1 issue_pair service "$1" "$subject/CN=$1"
}

# issue_gateway: from NAMES, ALGORITHM, LIFETIME and KEPT_KEY.
issue_gateway() {
    local joined
    joined=$(IFS=, && echo "${NAMES[*]}")
    PLACE=$CA_DIR/gateway
    PORTCULLIS_NAMES=$joined issue_pair gateway "$GATEWAY_NAME" "/O=$ORGANIZATION/CN=$GATEWAY_NAME"
}

# issue_pair PROFILE NAME SUBJECT: signs by the current root and switches PLACE. Sets FINGERPRINT, SERIAL and END.
issue_pair() {
    local staged=$WORK/pair now=$EPOCHSECONDS start root_end
    END=$((now + LIFETIME))
    root_end=$(<"$CA_DIR/ca/$CURRENT/not_after")
    ((END <= root_end)) || fail_state "that lifetime ends after the root, which has $((root_end - now)) s left"
    rm -rf -- "$staged"
    mkdir -- "$staged"
    [[ -z $KEPT_KEY ]] || cp -- "$KEPT_KEY" "$staged/key.pem"
    make_key_request "$ALGORITHM" "$staged/key.pem" "$WORK/leaf.csr" "$3"
    format_time "$((now - SKEW_SECONDS))"
    start=$TIME
    format_time "$END"
    in_root "$CURRENT" -notext -in "$WORK/leaf.csr" -extfile "$PROFILES/$1.cnf" -extensions extensions \
        -startdate "$start" -enddate "$TIME" -out "$staged/chain.pem"
    FROM=
    SERIAL=$(tail -n 1 -- "$CA_DIR/ca/$CURRENT/index.txt" | cut -f 4)
    fingerprint_of "$staged/chain.pem"
    write_record "$2" >"$staged/record"
    switch_version "$PLACE" "$staged" chain.pem key.pem record
}

# fingerprint_of FILE: sets FINGERPRINT to the lower-case hex of SHA-256 over the first certificate's DER.
fingerprint_of() {
    FINGERPRINT=$(sed -n '/^-----BEGIN/d; /^-----END/q; p' "$1" | base64 -d | sha256sum)
    FINGERPRINT=${FINGERPRINT%% *}
}

write_record() {
    cat <<END
name=$1
root=$CURRENT
serial=$SERIAL
fingerprint=$FINGERPRINT
algorithm=$ALGORITHM
lifetime=$LIFETIME
not_after=$END
roles=${ROLES[*]}
names=${NAMES[*]}
from=${FROM:-}
END
}

# read_record DIRECTORY: sets RECORD, and fills what the caller did not choose itself from how the pair was made.
declare -A RECORD=()
read_record() {
    local key value
    RECORD=()
    while IFS='=' read -r key value; do
        [[ -z $key ]] || RECORD[$key]=$value
    done <"$1/record"
    [[ ${RECORD[root]:-} =~ ^[0-9a-f]{8}$ && ${RECORD[serial]:-} =~ ^[0-9A-F]{2,40}$ && ${RECORD[not_after]:-} =~ ^[0-9]+$ ]] ||
        fail_state "${1@Q}/record is damaged"
}

# as_before: what the caller left open is as in RECORD. The values pass the same checks as arguments.
as_before() {
    local word roles names
    read -ra roles <<<"${RECORD[roles]:-}"
    read -ra names <<<"${RECORD[names]:-}"
    ((${#ROLES[@]})) || for word in "${roles[@]}"; do add_role "$word"; done
    ((${#NAMES[@]})) || for word in "${names[@]}"; do
        case $word in
        DNS:*) add_dns "${word#DNS:}" ;;
        IP:*) add_ip "${word#IP:}" ;;
        *) fail_state 'the record of the gateway is damaged' ;;
        esac
    done
    [[ -n $ALGORITHM ]] || algorithm_option --algorithm "${RECORD[algorithm]:-}"
    [[ -n $LIFETIME ]] || lifetime_option --seconds "${RECORD[lifetime]:-}"
}

# is_revoked: the certificate of RECORD is in its root's database as such.
is_revoked() {
    database_status "${RECORD[root]}" "${RECORD[serial]}"
    [[ $STATUS == R ]]
}

# list_services: sets SERVICES.
list_services() {
    local path
    SERVICES=()
    for path in "$CA_DIR"/services/*; do
        has_version "$path" || continue
        SERVICES+=("${path##*/}")
    done
}

# report WHAT NAME: what was issued, one fact a line.
report() {
    printf '%-12s%s\n' "$1" "$2" chain "$PLACE/chain.pem" key "$PLACE/key.pem" fingerprint "$FINGERPRINT" serial "${SERIAL,,}"
    printf '%-12s%(%Y-%m-%dT%H:%M:%SZ)T\n' expires "$END"
}
