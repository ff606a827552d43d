# shellcheck shell=bash
# Arguments: how they are read, the grammar of every value, and how a script says that something is wrong.
# Whatever reaches openssl passed one of the check_ functions: no character here means anything in its configuration.

readonly MAX_ROLES=32
readonly MAX_GATEWAY_NAMES=64
readonly MAX_SECONDS=$((100 * 365 * 86400))

# fail CODE MESSAGE
fail() {
    printf '%s: %s\n' "$PROGRAM" "$2" >&2
    exit "$1"
}
fail_openssl() { fail 1 "$1"; }
fail_usage() { fail 2 "$1 (see $PROGRAM --help)"; }
fail_state() { fail 3 "$1"; }
fail_busy() { fail 4 "$1"; }

# Sets ARGUMENTS to the arguments with each --option=value as two words.
split_arguments() {
    ARGUMENTS=()
    local argument
    for argument; do
        if [[ $argument == --*=* ]]; then
            ARGUMENTS+=("${argument%%=*}" "${argument#*=}")
        else
            ARGUMENTS+=("$argument")
        fi
    done
}

# need_value OPTION [VALUE]: an option that stands last, or before another one, lacks its value.
need_value() {
    [[ -n ${2-} && $2 != --* ]] || fail_usage "$1 needs a value"
}

# The options that every script has, and the end of those that none has. Sets CONSUMED.
shared_option() {
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --dir)
        need_value "$@"
        CA_DIR=$2 CONSUMED=2
        ;;
    -*) fail_usage "there is no option ${1@Q}" ;;
    *) fail_usage "unexpected argument ${1@Q}" ;;
    esac
}

# lifetime_option OPTION VALUE: sets LIFETIME, in seconds, once.
lifetime_option() {
    need_value "$@"
    [[ -z ${LIFETIME:-} ]] || fail_usage 'only one lifetime can be given'
    local number=$2 unit
    case $1 in
    --seconds) unit=s ;;
    --minutes) unit=m ;;
    --hours) unit=h ;;
    --lifetime)
        unit=${number: -1}
        number=${number%?}
        ;;
    esac
    [[ $number =~ ^[1-9][0-9]{0,9}$ && $unit =~ ^[smhd]$ ]] ||
        fail_usage "${2@Q} is no lifetime: a positive number, for --lifetime followed by s, m, h or d"
    local -A seconds=([s]=1 [m]=60 [h]=3600 [d]=86400)
    LIFETIME=$((number * seconds[$unit]))
    ((LIFETIME <= MAX_SECONDS)) || fail_usage "the lifetime ${2@Q} is longer than 100 years"
}

# service_argument WORD: sets NAME, once.
service_argument() {
    [[ -z ${NAME:-} ]] || fail_usage "one name at a time: ${NAME@Q} and ${1@Q}"
    check_name name "$1"
    NAME=$1
}

need_name() {
    [[ -n ${NAME:-} ]] || fail_usage 'the name of a service is missing'
}

# check_name WHAT TEXT: the grammar of services and roles alike.
check_name() {
    [[ $2 =~ ^[a-z0-9][a-z0-9_-]{0,62}$ ]] ||
        fail_usage "${2@Q} is no $1: one of a-z or 0-9, then at most 62 of a-z, 0-9, _ and -"
}

# Appends to ROLES. A role given twice is one role.
add_role() {
    check_name role "$1"
    local known
    for known in "${ROLES[@]}"; do
        [[ $known != "$1" ]] || return 0
    done
    ROLES+=("$1")
    ((${#ROLES[@]} <= MAX_ROLES)) || fail_usage "at most $MAX_ROLES roles"
}

# Appends to NAMES what a subjectAltName takes for a DNS name.
add_dns() {
    local name=${1,,} label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
    [[ ${#name} -le 253 && $name =~ ^$label(\.$label)*$ ]] ||
        fail_usage "${1@Q} is no DNS name (no wildcard, no final dot)"
    add_gateway_name "DNS:$name"
}

# Appends to NAMES what a subjectAltName takes for an address. What only looks like IPv6 is left to openssl to refuse.
add_ip() {
    local octet='(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
    [[ $1 =~ ^$octet(\.$octet){3}$ || (${#1} -le 45 && $1 =~ ^[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*$) ]] ||
        fail_usage "${1@Q} is no IP address"
    add_gateway_name "IP:${1,,}"
}

add_gateway_name() {
    local known
    for known in "${NAMES[@]}"; do
        [[ $known != "$1" ]] || return 0
    done
    NAMES+=("$1")
    ((${#NAMES[@]} <= MAX_GATEWAY_NAMES)) || fail_usage "at most $MAX_GATEWAY_NAMES names and addresses"
}

# algorithm_option OPTION VALUE: sets ALGORITHM.
algorithm_option() {
    need_value "$@"
    case $2 in
    p256 | p384 | ed25519 | rsa) ALGORITHM=$2 ;;
    *) fail_usage "${2@Q} is no algorithm: p256, p384, ed25519 or rsa" ;;
    esac
}
