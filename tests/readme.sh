#!/usr/bin/env bash
# README.md and the Python examples against a running gateway. Runs every block of README.md that stands behind the
# comment `<!-- tested -->`, in the order in which they stand, as whichever service the block before left in the shell, and looks
# for what the block says it prints.
# Usage: tests/readme.sh    Prints `N passed, N failed`; the exit code is 1 if any failed.
# Needs a built gateway (cargo build), openssl, curl, python3 with venv; installs what scripts/lib/python.sh and nats.sh say,
# under target/.

set -euo pipefail
export LC_ALL=C
unset CDPATH
REPOSITORY=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
# shellcheck source=scripts/lib/packages.sh
source "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/gateway.sh
source "$REPOSITORY/scripts/lib/gateway.sh"
# shellcheck source=scripts/lib/python.sh
source "$REPOSITORY/scripts/lib/python.sh"
# shellcheck source=scripts/lib/nats.sh
source "$REPOSITORY/scripts/lib/nats.sh"
cd -- "$REPOSITORY"

make_nats_python
make_nats_node
# The lines of README.md say `python`.
export PATH=$TARGET/python/bin:$PATH
PORTCULLIS=$TARGET/debug/portcullis
[[ -x $PORTCULLIS ]] || die "there is no $PORTCULLIS; cargo build makes it"

STARTED=()
leave() {
    local pid
    for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done
    remove_area
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
PASSED=0 FAILED=0

# holds WHAT COMMAND...
holds() {
    local what=$1
    shift
    if "$@" >"$AREA/out" 2>&1; then
        PASSED=$((PASSED + 1))
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED %s\n' "$what"
        sed 's/^/    /' "$AREA/out"
    fi
}

# starts WORDS OUT COMMAND...: in the background, until it has said WORDS.
starts() {
    local words=$1 out=$2 tries
    shift 2
    "$@" >"$out" 2>"$out.err" &
    STARTED+=($!)
    for ((tries = 0; tries < 200; tries++)); do
        grep -q "$words" "$out.err" && return
        sleep 0.05
    done
    cat "$out.err"
    return 1
}

# as SERVICE COMMAND...
as() {
    local service=$1
    shift
    act_as "$service"
    "$@"
}

example() { "$PYTHON" "examples/python/$1.py" "${@:2}"; }

python_examples_speak_to_the_gateway() {
    starts 'billing listens' "$AREA/orders" as billing example subscribe 'orders.>' 2 || return
    local subscriber=$!
    as checkout example publish orders.created '{"number": 1}'
    as checkout example publish orders.created '{"number": 2}'
    wait "$subscriber"
    grep -q "orders.created from checkout {'number': 1}" "$AREA/orders" &&
        grep -q "orders.created from checkout {'number': 2}" "$AREA/orders"
}

python_requests_are_answered() {
    starts 'billing answers' "$AREA/quotes" as billing example answer billing.quote 1 || return
    as checkout example request billing.quote 21 >"$AREA/answer"
    grep -qx '42 from billing' "$AREA/answer"
}

python_is_told_what_it_may_not() {
    local said
    if said=$(as billing example publish orders.created 1 2>&1); then return 1; fi
    [[ $said == *forbidden* ]]
}

# What the document shows in Python stands in the example, paragraph by paragraph, and gives the known answer by itself.
the_protocol_shows_the_example() {
    "$PYTHON" - docs/protocol.md examples/python/reauth.py tests/vectors/reauth.json <<'END'
import json, re, sys
from base64 import b64decode
document, example, vector = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
(block,) = re.findall(r"^```python\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)
for paragraph in re.split(r"\n\n+", block):
    assert paragraph in example, f"not in the example:\n{paragraph}"
shown, vector = {}, json.loads(vector)
exec(block, shown)
challenge, leaf = b64decode(vector["challenge"]), b64decode(vector["leaf"])
assert shown["signed_bytes"](vector["host"], vector["session"], challenge, leaf).hex() == vector["signed"]
END
}

# Writes each tested block of README.md to AREA/block.N.KIND.
cut_blocks() {
    awk -v area="$AREA" '
        /^<!-- tested -->$/ { wanted = 1; next }
        /^```/ && inside { inside = 0; close(file); next }
        /^```/ && wanted { wanted = 0; inside = 1; file = sprintf("%s/block.%02d.%s", area, ++count, substr($0, 4)); next }
        inside { print > file }
    ' README.md
}

# A reader types all of them in one shell.
# shellcheck disable=SC2016 # for the shell of the block
SHELL_BLOCK='source "$1/env"; source "$1/identity"; source "$2"; leave_identity "$1"'
leave_identity() { printf 'export PORTCULLIS_CERT=%q PORTCULLIS_KEY=%q\n' "$PORTCULLIS_CERT" "$PORTCULLIS_KEY" >"$1/identity"; }
export -f leave_identity

# Runs one block as who the block before left in the shell. What stands in it behind `# → ` or `// → ` must be in its output.
run_block() {
    local said expected
    # shellcheck disable=SC1091
    source "$AREA/identity"
    case $1 in
    *.python) said=$("$PYTHON" "$1" 2>&1) ;;
    *.js) said=$(cd -- "$NODE" && node --input-type=module - <"$1" 2>&1) ;;
    *) said=$(bash -euo pipefail -c "$SHELL_BLOCK" block "$AREA" "$1" 2>&1) ;;
    esac || { printf '%s\n' "$said" && return 1; }
    while IFS= read -r expected; do
        [[ $said == *"$expected"* ]] || { printf 'expected %s in:\n%s\n' "$expected" "$said" && return 1; }
    done < <(sed -n -E 's,^(#|//) → ,,p' "$1")
}

make_area
for arguments in ca-init issue-gateway 'issue-service checkout --role order-writer' \
    'issue-service billing --role order-reader' 'issue-service mallory --role order-reader'; do
    read -ra words <<<"$arguments"
    "scripts/${words[0]}" "${words[@]:1}" >/dev/null
done
start_somewhere
# shellcheck disable=SC1091
source "$AREA/env"

holds 'Python proofs are what the protocol says' "$PYTHON" tests/reauth.py
holds 'docs/protocol.md shows the Python example as it is' the_protocol_shows_the_example
holds 'Python examples publish and subscribe' python_examples_speak_to_the_gateway
holds 'Python examples ask and answer' python_requests_are_answered
holds 'Python examples are told what they may not' python_is_told_what_it_may_not
cut_blocks
leave_identity "$AREA"
for block in "$AREA"/block.*; do
    [[ -f $block ]] || die 'README.md has no tested block'
    holds "README.md: $(head -n 1 "$block")" run_block "$block"
done
holds 'the gateway stops cleanly' stops_cleanly

echo "$PASSED passed, $FAILED failed"
((FAILED == 0))
