#!/usr/bin/env bash
# What the certificate scripts promise, checked with openssl itself. Needs nothing but bash, coreutils and openssl.
# Usage: tests/scripts.sh    Prints `N passed, N failed`; the exit code is 1 if any failed.

# Injection attempts are literal, and `holds` calls functions by name.
# shellcheck disable=SC2016,SC2317
set -uo pipefail
export LC_ALL=C TZ=UTC
unset CDPATH

SCRIPTS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../scripts" && pwd -P)
AREA=$(mktemp -d)
PIDS=()
leave() {
    local pid
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null; done
    rm -rf -- "$AREA"
}
trap leave EXIT
PASSED=0
FAILED=0

passed() { PASSED=$((PASSED + 1)); }
failed() {
    FAILED=$((FAILED + 1))
    printf 'FAILED %s\n' "$1"
    sed 's/^/    /' "$AREA/out" "$AREA/err" 2>/dev/null
}

# holds WHAT COMMAND...
holds() {
    local what=$1
    shift
    if "$@" >"$AREA/out" 2>"$AREA/err"; then passed; else failed "$what"; fi
}

# fails WHAT COMMAND...
fails() {
    local what=$1
    shift
    if "$@" >"$AREA/out" 2>"$AREA/err"; then failed "$what"; else passed; fi
}

# refused WHAT CODE TEXT SCRIPT ARGUMENT...: that exit code, that text on standard error, nothing on standard output.
refused() {
    local what=$1 code=$2 text=$3 script=$4 got=0
    shift 4
    "$SCRIPTS/$script" "$@" >"$AREA/out" 2>"$AREA/err" || got=$?
    if ((got == code)) && [[ ! -s $AREA/out && $(<"$AREA/err") == *"$text"* ]]; then
        passed
    else
        failed "$what (exit code $got)"
    fi
}

run() { "$SCRIPTS/$1" "${@:2}"; }
new_ca() {
    export PORTCULLIS_CA_DIR=$AREA/$1
    run ca-init "${@:2}" >/dev/null || failed "ca-init for $1"
}
here() { echo "$PORTCULLIS_CA_DIR/$1"; }
equal() { [[ $1 == "$2" ]] || { printf 'got  %s\nwant %s\n' "$1" "$2" && false; }; }
contains() { [[ $1 == *"$2"* ]] || { printf '%s\nlacks %s\n' "$1" "$2" && false; }; }

# verifies FILE PURPOSE: against the published bundle and lists.
verifies() {
    openssl verify -crl_check -CAfile "$(here trust/anchors.pem)" -CRLfile "$(here trust/crl.pem)" -purpose "$2" "$1"
}
field() { openssl x509 -in "$1" -noout "${@:2}"; }
extension() { field "$1" -ext "$2" | sed 1d | sed 's/^ *//'; }
fingerprint() { field "$1" -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr A-F a-f; }
epoch() { date -d "$(field "$1" "-$2" | cut -d = -f 2)" +%s; }
crl_number() { openssl crl -in "$(here trust/crl.pem)" -noout -crlnumber | sed 's/.*=0x//; s/^0*//'; }
fits() {
    local directory=$1
    equal "$(openssl pkey -in "$directory/key.pem" -pubout)" "$(openssl x509 -in "$directory/chain.pem" -noout -pubkey)"
}

the_root_is_a_ca_and_stays() {
    new_ca roots
    local root before
    root=$(here trust/anchors.pem)
    before=$(fingerprint "$root")
    holds 'the root verifies itself' openssl verify -check_ss_sig -CAfile "$root" "$root"
    holds 'basicConstraints of the root' contains "$(field "$root" -ext basicConstraints)" $'critical\n    CA:TRUE'
    holds 'keyUsage of the root' contains "$(field "$root" -ext keyUsage)" $'critical\n    Certificate Sign, CRL Sign'
    holds 'SKI and AKI of the root' equal "$(extension "$root" subjectKeyIdentifier)" "$(extension "$root" authorityKeyIdentifier)"
    holds 'a root lasts 3650 days' equal "$(($(epoch "$root" enddate) - $(epoch "$root" startdate)))" $((3650 * 86400 + 300))
    holds 'a second ca-init succeeds' contains "$(run ca-init)" 'kept the CA'
    holds 'a second ca-init keeps the root' equal "$(fingerprint "$root")" "$before"
    holds 'one bundle serves both directions' cmp "$(here trust/gateway-anchors.pem)" "$root"
    holds 'a first list is published' equal "$(crl_number)" 1
}

a_service_certificate_is_what_the_mapping_rules_expect() {
    new_ca services
    local out chain serial
    out=$(run issue-service orders --role eu --role=writer --role eu)
    chain=$(here services/orders/chain.pem)
    serial=$(field "$chain" -serial | cut -d = -f 2)
    holds 'a service verifies as a client' verifies "$chain" sslclient
    fails 'a service is no server' verifies "$chain" sslserver
    holds 'subject' equal "$(field "$chain" -subject -nameopt RFC2253)" \
        'subject=CN=orders,OU=writer,OU=eu,O=Portcullis development'
    holds 'alternative names' equal "$(extension "$chain" subjectAltName)" \
        'DNS:orders.services.portcullis.internal, URI:spiffe://portcullis.internal/service/orders'
    holds 'extendedKeyUsage' equal "$(extension "$chain" extendedKeyUsage)" 'TLS Web Client Authentication'
    holds 'keyUsage' contains "$(field "$chain" -ext keyUsage)" $'critical\n    Digital Signature'
    holds 'basicConstraints' contains "$(field "$chain" -ext basicConstraints)" $'critical\n    CA:FALSE'
    holds 'the key fits' fits "$(here services/orders)"
    holds 'the fingerprint is printed' contains "$out" "fingerprint $(fingerprint "$chain")"
    holds 'the paths are printed' contains "$out" "$chain"
    holds 'the serial is long and random' test "${#serial}" -ge 32
    holds 'a day by default, begun five minutes ago' equal "$(($(epoch "$chain" enddate) - $(epoch "$chain" startdate)))" 86700
    refused 'an existing name' 3 'has a certificate' issue-service orders
    holds '--force replaces' run issue-service orders --force --role other
    holds '--force takes the new roles' contains "$(field "$chain" -subject -nameopt RFC2253)" 'CN=orders,OU=other,O='
    holds 'a name may be 63 characters' run issue-service "$(printf 'a%.0s' {1..63})"
}

the_gateway_certificate_serves_its_names() {
    new_ca gateways
    refused 'no gateway yet' 3 'issue-gateway' rotate-gateway
    holds 'issue-gateway' run issue-gateway --dns Edge.Example.org --ip 10.0.0.7 --ip fe80::1
    local chain names before
    chain=$(here gateway/chain.pem)
    names=$(extension "$chain" subjectAltName)
    holds 'the gateway verifies as a server' verifies "$chain" sslserver
    fails 'the gateway is no client' verifies "$chain" sslclient
    holds 'alternative names' equal "$names" 'DNS:localhost, DNS:gateway.portcullis.internal, IP Address:127.0.0.1, '`
        `'IP Address:0:0:0:0:0:0:0:1, DNS:edge.example.org, IP Address:10.0.0.7, IP Address:FE80:0:0:0:0:0:0:1'
    holds 'seven days by default' equal "$(($(epoch "$chain" enddate) - $(epoch "$chain" startdate)))" $((7 * 86400 + 300))
    refused 'a second issue-gateway' 3 'rotate-gateway' issue-gateway
    before=$(field "$chain" -pubkey)
    holds 'rotate-gateway' run rotate-gateway
    holds 'rotation keeps the names' equal "$(extension "$chain" subjectAltName)" "$names"
    fails 'rotation makes a new key' equal "$(field "$chain" -pubkey)" "$before"
    before=$(field "$chain" -pubkey)
    holds '--keep-key' run rotate-gateway --keep-key --lifetime 2h
    holds '--keep-key keeps it' equal "$(field "$chain" -pubkey)" "$before"
    holds 'the kept key fits' fits "$(here gateway)"
    holds 'revoke --gateway' run revoke --gateway
    fails 'a revoked gateway is refused' verifies "$chain" sslserver
    refused 'a revoked gateway is not rotated' 3 'revoked' rotate-gateway
    holds 'issue-gateway --force after a revocation' run issue-gateway --force
    holds 'and it verifies' verifies "$chain" sslserver
    refused 'an address that openssl refuses' 1 'openssl ca failed' issue-gateway --force --ip 1:2:3
    holds 'a failed issue leaves the pair alone' verifies "$chain" sslserver
    holds 'and no scratch' equal "$(find "$(here ca)" -name '.work.*')" ''
}

lifetimes_are_exact_to_the_second() {
    new_ca lifetimes
    local words seconds chain number=0
    while read -r words seconds; do
        number=$((number + 1))
        run issue-service "s$number" "$words" >/dev/null
        chain=$(here "services/s$number/chain.pem")
        holds "$words" equal "$(($(epoch "$chain" enddate) - $(epoch "$chain" startdate) - 300))" "$seconds"
    done <<'END'
--lifetime=20s 20
--lifetime=1s 1
--lifetime=30m 1800
--lifetime=24h 86400
--lifetime=7d 604800
--seconds=7 7
--minutes=3 180
--hours=2 7200
END
    local twenty end
    twenty=$(here services/s1/chain.pem)
    end=$(epoch "$twenty" enddate)
    holds 'valid a second before its end' openssl verify -attime "$((end - 1))" -CAfile "$(here trust/anchors.pem)" "$twenty"
    fails 'expired a second after it' openssl verify -attime "$((end + 1))" -CAfile "$(here trust/anchors.pem)" "$twenty"
    holds 'valid for a clock four minutes behind' \
        openssl verify -attime "$(($(date +%s) - 240))" -CAfile "$(here trust/anchors.pem)" "$twenty"
    local bad
    for bad in 0s 5 -5s 5w 1.5h 99999999999s 40000d 's' '' '5 s' '$(id)s' '08x'; do
        refused "lifetime ${bad@Q}" 2 'lifetime' issue-service late --lifetime "$bad"
    done
    refused 'two lifetimes' 2 'one lifetime' issue-service late --hours 1 --seconds 1
    refused 'a lifetime beyond the root' 3 'after the root' issue-service late --lifetime 4000d
    holds 'renewal keeps the lifetime' run renew-service s1
    holds 'which is 20 s' equal "$(($(epoch "$twenty" enddate) - $(epoch "$twenty" startdate)))" 320
    holds 'publish-crl --seconds' run publish-crl --seconds 90
    local update
    update=$(openssl crl -in "$(here trust/crl.pem)" -noout -nextupdate -lastupdate -dateopt iso_8601)
    holds 'nextUpdate' equal "$(($(date -d "$(sed -n 's/nextUpdate=//p' <<<"$update")" +%s) \
        - $(date -d "$(sed -n 's/lastUpdate=//p' <<<"$update")" +%s)))" 390
}

every_algorithm_works_at_every_level() {
    local root leaf
    for root in p256 p384 ed25519 rsa; do
        new_ca "algorithm-$root" --algorithm "$root"
        for leaf in p256 p384 ed25519 rsa; do
            holds "$leaf under $root" run issue-service "$leaf" --algorithm "$leaf"
            holds "$leaf under $root verifies" verifies "$(here "services/$leaf/chain.pem")" sslclient
        done
        holds "renewal under $root keeps the algorithm" run renew-service ed25519
        holds 'and it is Ed25519' contains "$(field "$(here services/ed25519/chain.pem)" -text)" 'Algorithm: ED25519'
        holds "revocation under $root" run revoke p256
        fails 'and it bites' verifies "$(here services/p256/chain.pem)" sslclient
    done
    refused 'an unknown algorithm' 2 'no algorithm' issue-service other --algorithm dsa
    refused 'a kept key of another algorithm' 2 'keeps its algorithm' renew-service p384 --keep-key --algorithm p256
}

renewal_keeps_roles_and_old_versions_are_few() {
    new_ca renewals
    run issue-service orders --role eu --role writer >/dev/null
    local chain subject key turn
    chain=$(here services/orders/chain.pem)
    subject=$(field "$chain" -subject)
    key=$(field "$chain" -pubkey)
    refused 'an unknown service' 3 'no service nobody' renew-service nobody
    holds 'renew-service' run renew-service orders
    holds 'roles stay' equal "$(field "$chain" -subject)" "$subject"
    fails 'the key is new' equal "$(field "$chain" -pubkey)" "$key"
    holds 'a renewed service verifies' verifies "$chain" sslclient
    for turn in 1 2 3 4 5 6; do run renew-service orders >/dev/null; done
    holds 'four versions are kept' equal "$(find "$(here services/orders)" -maxdepth 1 -name '..0*' | wc -l)" 4
    holds 'new roles by option' run renew-service orders --role reader
    holds 'only those' equal "$(field "$chain" -subject -nameopt RFC2253)" 'subject=CN=orders,OU=reader,O=Portcullis development'
}

revocation_is_published_at_once_and_numbers_grow() {
    new_ca revocations
    run issue-service orders >/dev/null
    run issue-service other >/dev/null
    local orders before former
    orders=$(here services/orders/chain.pem)
    former=$AREA/former.pem
    cp "$orders" "$former"
    run renew-service orders >/dev/null
    before=$(crl_number)
    holds 'revoke' run revoke orders --reason keyCompromise
    holds 'the number grew by one' equal "$((16#$(crl_number)))" "$((16#$before + 1))"
    holds 'the reason is in the list' contains "$(openssl crl -in "$(here trust/crl.pem)" -noout -text)" 'Key Compromise'
    fails 'the revoked one is refused' verifies "$orders" sslclient
    holds 'its former certificate is not' verifies "$former" sslclient
    holds 'another service is not' verifies "$(here services/other/chain.pem)" sslclient
    holds 'revoking twice' contains "$(run revoke orders)" 'was revoked before'
    refused 'a revoked service is not renewed' 3 'is revoked' renew-service orders
    holds 'revoke --all' contains "$(run revoke orders --all)" 'revoked certificate'
    fails 'now the former one is refused' verifies "$former" sslclient
    holds 'nothing is left' contains "$(run revoke orders --all)" 'no certificate is left'
    holds '--no-publish' run revoke other --no-publish
    holds 'has no effect yet' verifies "$(here services/other/chain.pem)" sslclient
    holds 'publish-crl' run publish-crl
    fails 'brings it' verifies "$(here services/other/chain.pem)" sslclient
    holds 'a new certificate by --force' run issue-service orders --force
    holds 'verifies' verifies "$orders" sslclient
    refused 'an unknown name' 3 'has no certificate' revoke nobody
    refused 'an unknown reason' 2 'no reason' revoke orders --reason removeFromCRL
    before=$((16#$(crl_number)))
    local turn
    for turn in {1..20}; do run publish-crl >/dev/null; done
    holds 'twenty lists, twenty numbers' equal "$((16#$(crl_number)))" "$((before + 20))"
    run issue-service brief --seconds 1 >/dev/null
    until (($(date +%s) > $(epoch "$(here services/brief/chain.pem)" enddate))); do sleep 0.1; done
    holds '--all passes over the expired' contains "$(run revoke brief --all)" 'no certificate is left'
}

# handshake SERVICE: mutual TLS 1.3 of the published gateway pair with that of the service.
handshake() {
    local service=$1 port='' line
    cat "$(here trust/anchors.pem)" "$(here trust/crl.pem)" >"$AREA/handshake.pem"
    coproc openssl s_server -accept 127.0.0.1:0 -tls1_3 -naccept 1 -Verify 1 -verify_return_error -crl_check \
        -CAfile "$AREA/handshake.pem" -cert "$(here gateway/chain.pem)" -key "$(here gateway/key.pem)" -rev 2>&1
    local server=$COPROC_PID
    PIDS+=("$server")
    while read -r -t 5 line <&"${COPROC[0]}"; do
        [[ $line == ACCEPT*:* ]] && port=${line##*:} && break
    done
    # The answer, reversed, shows that the server took the certificate: in TLS 1.3 the client's own verdict does not.
    { echo hello; sleep 1; } | timeout 10 openssl s_client -brief -connect "127.0.0.1:$port" -servername localhost -tls1_3 \
        -verify_return_error -verify_hostname localhost -crl_check -CAfile "$AREA/handshake.pem" \
        -cert "$(here "services/$service/chain.pem")" -key "$(here "services/$service/key.pem")" >"$AREA/client" 2>&1
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    grep -q '^olleh' "$AREA/client" || { cat "$AREA/client" && false; }
}

mutual_tls_works_until_revoked() {
    new_ca handshakes
    run issue-gateway >/dev/null
    run issue-service orders >/dev/null
    run issue-service modern --algorithm ed25519 >/dev/null
    holds 'a mutual TLS 1.3 handshake' handshake orders
    holds 'and one with Ed25519' handshake modern
    run revoke orders >/dev/null
    fails 'the server refuses the revoked service' handshake orders
    holds 'and still takes the other' handshake modern
}

keys_are_private_and_trust_is_public() {
    new_ca modes
    run issue-gateway >/dev/null
    run issue-service orders >/dev/null
    run rotate-ca add >/dev/null
    local path
    while read -r path; do
        holds "mode of $path" equal "$(stat -c %a "$path")" 600
        holds "mode of its directory" equal "$(stat -c %a "${path%/*}")" 700
    done < <(find "$PORTCULLIS_CA_DIR" -name key.pem -type f)
    for path in ca gateway services services/orders; do
        holds "mode of $path" equal "$(stat -c %a "$(here "$path")")" 700
    done
    for path in trust trust/..data/; do holds "mode of $path" equal "$(stat -c %a "$(here "$path")")" 755; done
    for path in anchors.pem crl.pem gateway-anchors.pem; do
        holds "mode of $path" equal "$(stat -L -c %a "$(here "trust/$path")")" 644
    done
}

# Reads until $AREA/stop: pairs that do not fit and bundles with a list too few go to $AREA/torn, reads are counted.
read_all_the_time() {
    local directory count=0
    while [[ ! -e $AREA/stop ]]; do
        directory=$(readlink -f "$(here gateway/..data)")
        fits "$directory" || echo "$directory: key and chain differ"
        openssl x509 -in "$(here gateway/chain.pem)" -noout || echo 'half a chain'
        openssl pkey -in "$(here gateway/key.pem)" -noout || echo 'half a key'
        directory=$(readlink -f "$(here trust/..data)")
        equal "$(grep -c 'BEGIN CERT' "$directory/anchors.pem")" "$(grep -c 'BEGIN X509 CRL' "$directory/crl.pem")" ||
            echo "$directory: anchors and lists differ"
        count=$((count + 1))
    done >>"$AREA/torn" 2>&1
    echo "$count" >"$AREA/reads"
}

readers_never_see_half_of_anything() {
    new_ca readers
    run issue-gateway >/dev/null
    rm -f "$AREA/stop"
    : >"$AREA/torn"
    read_all_the_time &
    local reader=$! turn
    PIDS+=("$reader")
    for turn in {1..20}; do
        run rotate-gateway >/dev/null
        run publish-crl >/dev/null
    done
    for turn in add reissue drop; do run rotate-ca "$turn" >/dev/null; done
    touch "$AREA/stop"
    wait "$reader"
    holds 'nothing torn was read' equal "$(<"$AREA/torn")" ''
    holds 'it was read often' test "$(<"$AREA/reads")" -ge 10
}

# issue_many LETTER
issue_many() {
    local number
    for number in 1 2 3 4 5 6; do run issue-service "$1$number" || return; done
}

# concurrent WHAT
concurrent() {
    local a b first=0 second=0 serials
    issue_many a >/dev/null 2>"$AREA/a" &
    a=$!
    issue_many b >/dev/null 2>"$AREA/b" &
    b=$!
    run publish-crl >/dev/null
    wait "$a" || first=$?
    wait "$b" || second=$?
    holds "$1: both issuers succeed" equal "$first $second $(cat "$AREA/a" "$AREA/b")" '0 0 '
    serials=$(awk -F '\t' '{ print $4 }' "$(here ca)"/*/index.txt | sort -u | wc -l)
    holds "$1: every certificate is in the database" equal "$serials" 13
    local chain
    for chain in "$(here services)"/*/chain.pem; do
        verifies "$chain" sslclient >"$AREA/out" 2>&1 || failed "$1: $chain"
    done
}

two_scripts_at_once_do_no_harm() {
    new_ca concurrency
    concurrent 'flock'
    local tool path tools=$AREA/tools
    mkdir "$tools"
    for tool in bash env openssl awk sed cat mv ln rm mkdir mktemp od chmod cp tail cut base64 sha256sum dirname readlink sleep; do
        path=$(type -P "$tool") && ln -s "$path" "$tools/$tool"
    done
    new_ca concurrency-without-flock
    run() { PATH=$tools "$SCRIPTS/$1" "${@:2}"; }
    concurrent 'no flock'
    holds 'the lock is given back' test ! -e "$(here .lock.d)"
    run() { "$SCRIPTS/$1" "${@:2}"; }
}

killed_scripts_leave_nothing_that_matters() {
    new_ca killed
    run issue-service orders >/dev/null
    # What a script leaves that was killed in the worst places: in openssl's own renames, before a switch, in scratch.
    local root
    root=$(find "$(here ca)" -mindepth 1 -maxdepth 1 -type d)
    mv "$root/index.txt" "$root/index.txt.old.kept"
    cp "$root/index.txt.old.kept" "$root/index.txt.new"
    mv "$root/crlnumber" "$root/crlnumber.new"
    mkdir "$(here ca/.work.abcdef)" "$(here services/orders/..00000002)"
    ln -s ..00000002 "$(here services/orders/..data.new)"
    mkdir "$(here services/half)"
    holds 'renewal afterwards' run renew-service orders
    holds 'verifies' verifies "$(here services/orders/chain.pem)" sslclient
    holds 'a list afterwards' run publish-crl
    holds 'with the next number' equal "$(crl_number)" 2
    holds 'both certificates are known' equal "$(grep -c '/CN=orders$' "$root/index.txt")" 2
    holds 'no scratch is left' test ! -e "$(here ca/.work.abcdef)"
    holds 'a service cut short can be issued' run issue-service half
}

nothing_is_injected() {
    new_ca injection
    local bad
    for bad in '' '-x' '_x' 'A' 'a b' 'a/b' '../a' 'a/CN=b' 'a,b' 'a+b' 'a=b' $'a\nb' $'a\n' 'a$b' '${ENV::HOME}' '$(id)' \
        'a.b' 'a;b' 'a"b' "a'b" 'a\b' 'é' 'a*' '@section' "$(printf 'a%.0s' {1..64})"; do
        [[ $bad == '' || $bad == -* ]] || refused "name ${bad@Q}" 2 'no name' issue-service "$bad"
        [[ $bad == '' ]] || refused "role ${bad@Q}" 2 '' issue-service good --role "$bad"
        [[ $bad == '' || $bad == -* ]] || refused "name ${bad@Q} to revoke" 2 'no name' revoke "$bad"
    done
    refused 'no name' 2 'missing' issue-service
    refused 'an empty name' 2 'no name' issue-service ''
    refused 'an option for a name' 2 'no option' issue-service -x
    for bad in 'a,DNS:evil.example' 'a, URI:spiffe://x' '*.example.org' 'a.' '.a' 'a..b' '-a' 'a_b' $'a\n[x]' '${ENV::HOME}' \
        'a b' '@x' "$(printf 'a%.0s' {1..64})" "$(printf 'aaaaaaa.%.0s' {1..32})b"; do
        refused "DNS name ${bad@Q}" 2 'no DNS name' issue-gateway --dns "$bad"
    done
    for bad in '1.2.3' '256.1.1.1' '1.2.3.4,DNS:evil' '01.2.3.4' '::1%lo' '::1,DNS:x' 'a' '${ENV::HOME}'; do
        refused "address ${bad@Q}" 2 'no IP address' issue-gateway --ip "$bad"
    done
    holds 'nothing was issued' equal "$(find "$PORTCULLIS_CA_DIR" -name chain.pem)" ''
    # Directories may be called anything.
    for bad in 'a b' '$(touch x)' '${ENV::HOME}' 'a#b' 'a"b' '-dir' '[x]' $'new\nline' 'é' '*'; do
        mkdir -p "$AREA/odd" && cd "$AREA/odd" || exit 1
        holds "directory ${bad@Q}" run ca-init --dir "$bad"
        holds "a service in ${bad@Q}" run issue-service orders --dir="$bad"
        holds "revoked in ${bad@Q}" run revoke orders --dir "$bad"
        holds "and it is there" test -s "./$bad/services/orders/chain.pem"
        cd / || exit 1
    done
    holds 'no directory name was run' test ! -e "$AREA/odd/x"
    # A record is read, never run, and its values pass the same checks.
    run issue-service orders >/dev/null
    sed -i 's|^roles=.*|roles=a/CN=b $(touch /nowhere)|' "$(here services/orders/..data/record)"
    refused 'a forged record' 2 'no role' renew-service orders
}

mistakes_are_told_clearly() {
    export PORTCULLIS_CA_DIR=$AREA/nothing
    local script
    for script in issue-gateway rotate-gateway publish-crl; do
        refused "$script without a CA" 3 'ca-init makes one' "$script"
    done
    for script in issue-service renew-service revoke; do
        refused "$script without a CA" 3 'ca-init makes one' "$script" orders
    done
    refused 'rotate-ca without a CA' 3 'ca-init makes one' rotate-ca status
    holds 'and none was made' test ! -e "$AREA/nothing"
    for script in ca-init issue-gateway rotate-gateway issue-service renew-service revoke publish-crl rotate-ca; do
        holds "$script --help" contains "$(run "$script" --help)" 'Exit codes:'
        holds "$script --help says what it writes" contains "$(run "$script" --help)" 'Writes '
        refused "$script with an unknown option" 2 '--help' "$script" --nonsense
        refused "$script with an option cut short" 2 'needs a value' "$script" --dir
    done
    refused 'two names' 2 'one name' issue-service a b
    refused 'a stray argument' 2 'unexpected' publish-crl a
    refused 'no step' 2 'which step' rotate-ca
    refused 'an option of another step' 2 'for add' rotate-ca drop --algorithm p256
    new_ca links
    mkdir -p "$AREA/bin" && ln -s "$SCRIPTS/publish-crl" "$AREA/bin/publish-crl"
    holds 'a script called through a link' "$AREA/bin/publish-crl"
}

all_verify() {
    verifies "$(here gateway/chain.pem)" sslserver && verifies "$(here services/orders/chain.pem)" sslclient &&
        verifies "$(here services/modern/chain.pem)" sslclient
}

a_root_is_replaced_step_by_step() {
    new_ca rotation
    run issue-gateway --dns edge.example.org >/dev/null
    run issue-service orders --role eu --role writer >/dev/null
    run issue-service modern --algorithm ed25519 --lifetime 3h >/dev/null
    run issue-service stolen >/dev/null
    run revoke stolen >/dev/null
    local old_root old_orders subject modern
    old_root=$AREA/old-root.pem old_orders=$AREA/old-orders.pem modern=$(here services/modern/chain.pem)
    cp "$(here trust/anchors.pem)" "$old_root"
    cp "$(here services/orders/chain.pem)" "$old_orders"
    subject=$(field "$old_orders" -subject)
    holds 'status: stable' contains "$(run rotate-ca status)" 'stable'
    refused 'reissue comes after add' 3 'add comes first' rotate-ca reissue
    refused 'drop comes after add' 3 'no old root' rotate-ca drop

    holds 'add' run rotate-ca add
    holds 'two roots' equal "$(grep -c 'BEGIN CERT' "$(here trust/anchors.pem)")" 2
    holds 'two lists' equal "$(grep -c 'BEGIN X509 CRL' "$(here trust/crl.pem)")" 2
    holds 'all verify after add' all_verify
    holds 'add again changes nothing' contains "$(run rotate-ca add)" 'already'
    holds 'still two roots' equal "$(grep -c 'BEGIN CERT' "$(here trust/anchors.pem)")" 2
    holds 'status: added' contains "$(run rotate-ca status)" 'added'
    refused 'drop comes after reissue' 3 'reissue comes first' rotate-ca drop
    run issue-service between >/dev/null
    holds 'between add and reissue the old root issues' openssl verify -CAfile "$old_root" "$(here services/between/chain.pem)"
    holds 'a bundle of the old root alone still knows all' openssl verify -CAfile "$old_root" "$(here gateway/chain.pem)"

    holds 'reissue' run rotate-ca reissue
    holds 'all verify after reissue' all_verify
    holds 'old certificates verify after reissue' verifies "$old_orders" sslclient
    fails 'new ones come from the new root' openssl verify -CAfile "$old_root" "$(here services/orders/chain.pem)"
    fails 'the gateway too' openssl verify -CAfile "$old_root" "$(here gateway/chain.pem)"
    holds 'names of the gateway stay' contains "$(extension "$(here gateway/chain.pem)" subjectAltName)" 'edge.example.org'
    holds 'roles stay' equal "$(field "$(here services/orders/chain.pem)" -subject)" "$subject"
    holds 'the algorithm stays' contains "$(field "$modern" -text)" 'Algorithm: ED25519'
    holds 'the lifetime stays' equal "$(($(epoch "$modern" enddate) - $(epoch "$modern" startdate)))" 11100
    fails 'a revoked service gets nothing' verifies "$(here services/stolen/chain.pem)" sslclient
    holds 'reissue again changes nothing' run rotate-ca reissue
    refused 'add comes after drop' 3 'drop it before' rotate-ca add
    holds 'status: reissued' contains "$(run rotate-ca status)" 'reissued'
    holds 'status tells how a gateway knows the old root' contains "$(run rotate-ca status)" \
        "$(openssl x509 -in "$old_root" -outform DER | sha256sum | cut -d ' ' -f 1)"
    holds 'and the new one' equal "$(run rotate-ca status | grep -c '^anchor ')" 2

    # As if the first reissue had been cut short: the service shows its old certificate again.
    local first
    first=$(find "$(here services/orders)" -name '..00000001')
    ln -sfn "${first##*/}" "$(here services/orders/..data)"
    refused 'drop finds what was left behind' 3 'orders' rotate-ca drop
    holds 'status: cut short' contains "$(run rotate-ca status)" 'cut short'
    holds 'reissue finishes' contains "$(run rotate-ca reissue)" 'issued orders'
    holds 'revoke --all reaches both roots' contains "$(run revoke between --all)" 'revoked certificate'
    holds 'in both lists' equal "$(grep -c . < <(grep -h '/CN=between$' "$(here ca)"/*/index.txt | grep '^R'))" 2

    holds 'drop' run rotate-ca drop
    holds 'one root' equal "$(grep -c 'BEGIN CERT' "$(here trust/anchors.pem)")" 1
    holds 'one list' equal "$(grep -c 'BEGIN X509 CRL' "$(here trust/crl.pem)")" 1
    holds 'all verify after drop' all_verify
    fails 'old certificates do not' verifies "$old_orders" sslclient
    holds 'the old key is gone' equal "$(find "$(here ca)" -name key.pem | wc -l)" 1
    holds 'status: stable again' contains "$(run rotate-ca status)" 'stable'
    refused 'drop again' 3 'no old root' rotate-ca drop
    holds 'a service of the dropped root stays revoked' contains "$(run revoke stolen)" 'revoked before'
    refused 'and is not renewed' 3 'is revoked' renew-service stolen
    holds 'a second rotation begins' run rotate-ca add --algorithm ed25519
    holds 'goes on' run rotate-ca reissue
    holds 'and ends' run rotate-ca drop
    holds 'with all verifying' all_verify
}

the_repository_ignores_what_is_issued() {
    local repository=${SCRIPTS%/scripts}
    type -P git >/dev/null && git -C "$repository" rev-parse >/dev/null 2>&1 || return 0
    holds 'certs/dev is ignored' git -C "$repository" check-ignore -q certs/dev/ca/state
    holds 'keys are ignored' git -C "$repository" check-ignore -q certs/other/key.pem
    holds 'no key is tracked' equal "$(git -C "$repository" grep -lI -e '^-----BEGIN .*PRIVATE KEY' || true)" ''
}

for test in \
    the_root_is_a_ca_and_stays \
    a_service_certificate_is_what_the_mapping_rules_expect \
    the_gateway_certificate_serves_its_names \
    lifetimes_are_exact_to_the_second \
    every_algorithm_works_at_every_level \
    renewal_keeps_roles_and_old_versions_are_few \
    revocation_is_published_at_once_and_numbers_grow \
    mutual_tls_works_until_revoked \
    keys_are_private_and_trust_is_public \
    readers_never_see_half_of_anything \
    two_scripts_at_once_do_no_harm \
    killed_scripts_leave_nothing_that_matters \
    nothing_is_injected \
    mistakes_are_told_clearly \
    a_root_is_replaced_step_by_step \
    the_repository_ignores_what_is_issued; do
    "$test"
done

echo "$PASSED passed, $FAILED failed"
((FAILED == 0))
