# shellcheck shell=bash
# Renewal at a gateway: a key and a request made here, a certificate fetched with the one that is about to end.

readonly FETCH_SECONDS=30
readonly FETCH_BYTES=$((1024 * 1024))

# gateway_option OPTION VALUE: sets FROM.
gateway_option() {
    need_value "$@"
    local host='([a-zA-Z0-9][a-zA-Z0-9.-]{0,252}|\[[0-9a-fA-F:.]{2,45}\])'
    [[ $2 =~ ^https://$host(:[0-9]{1,5})?/?$ ]] || fail_usage "${2@Q} is no gateway: https://HOST or https://HOST:PORT"
    FROM=${2%/}
}

# fetch_pair URL NAME: from ALGORITHM and KEPT_KEY, by the pair that PLACE shows. Sets FINGERPRINT, SERIAL and END.
fetch_pair() {
    local staged=$WORK/pair present status
    # One version, should another script switch in between.
    present=$(readlink -f -- "$PLACE/..data")
    rm -rf -- "$staged"
    mkdir -- "$staged"
    [[ -z $KEPT_KEY ]] || cp -- "$KEPT_KEY" "$staged/key.pem"
    # A request without names: the gateway certifies those of the certificate it is shown.
    make_key_request "$ALGORITHM" "$staged/key.pem" "$WORK/leaf.csr" /
    status=$(curl --disable --silent --show-error --proto '=https' --noproxy '*' --max-time "$FETCH_SECONDS" \
        --max-filesize "$FETCH_BYTES" --cacert "$CA_DIR/trust/gateway-anchors.pem" --cert "$present/chain.pem" \
        --key "$present/key.pem" --header 'Content-Type: application/pkcs10' --data-binary "@$WORK/leaf.csr" \
        --output "$staged/chain.pem" --write-out '%{http_code}' "$1/renew") || fail 1 "there is no answer of $1"
    [[ $status == 200 ]] || fail_state "$1 refuses, HTTP status $status: $(head -c 1000 -- "$staged/chain.pem" | tr -d '[:cntrl:]')"
    check_pair "$staged" "$present"
    SERIAL=$(openssl x509 -in "$staged/chain.pem" -noout -serial)
    SERIAL=${SERIAL#serial=}
    END=$(date -d "$(openssl x509 -in "$staged/chain.pem" -noout -enddate | cut -d = -f 2)" +%s)
    fingerprint_of "$staged/chain.pem"
    # The root that the service was first certified by; the gateway's CA is below one of the same trust domain.
    CURRENT=${RECORD[root]}
    write_record "$2" >"$staged/record"
    switch_version "$PLACE" "$staged" chain.pem key.pem record
}

# check_pair NEW PRESENT: what came is for the key that was made, and for the same names.
check_pair() {
    local of_key of_chain
    of_key=$(openssl pkey -in "$1/key.pem" -pubout 2>/dev/null) || fail_openssl 'the new key cannot be read'
    of_chain=$(openssl x509 -in "$1/chain.pem" -noout -pubkey 2>/dev/null) || fail_state 'the answer is no certificate'
    [[ $of_key == "$of_chain" ]] || fail_state 'the answer is a certificate of another key'
    of_chain=$(openssl x509 -in "$1/chain.pem" -noout -subject)
    [[ $of_chain == "$(openssl x509 -in "$2/chain.pem" -noout -subject)" ]] ||
        fail_state 'the answer is a certificate of another name'
}
