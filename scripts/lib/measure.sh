# shellcheck shell=bash
# What the scripts that measure share: the machine in two lines, and figures put into a document between two markers.
# begin_measuring comes first.

fail() {
    printf '%s: %s\n' "$PROGRAM" "$1" >&2
    exit 1
}

# begin_measuring SCRIPT: its name, its path, and into the repository's folder.
begin_measuring() {
    PROGRAM=${1##*/}
    SCRIPT=$(readlink -f -- "$1")
    cd -- "${SCRIPT%/*}/../.." || exit
}

# The comment at the head of the script is its help.
print_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "$SCRIPT"; }

# machine BUILD: with what was measured.
machine() {
    local model
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    printf '%s, %s cores (%s), Linux %s, %s, %s.\n' \
        "$(date +%F)" "$(nproc)" "${model:-$(uname -m)}" "$(uname -r | cut -d- -f1)" \
        "$(rustc --version | cut -d' ' -f1-2)" "$1"
    printf 'Load average before the run: %s.\n' "$(cut -d' ' -f1 /proc/loadavg)"
}

# need_markers FILE NAME: each marker once and in this order, or there is no telling what to replace.
need_markers() {
    local begin="<!-- $2:begin -->" end="<!-- $2:end -->"
    [[ -f $1 ]] || fail "there is no $1 to update"
    [[ $(grep -Fxe "$begin" -e "$end" "$1") == "$begin"$'\n'"$end" ]] ||
        fail "$1 needs one line '$begin' and below it one line '$end'; nothing was measured"
}

# put_between_markers FILE NAME TEXT_FILE
put_between_markers() {
    local text
    text=$(awk -v begin="<!-- $2:begin -->" -v end="<!-- $2:end -->" -v text="$3" '
        $0 == end { inside = 0 }
        !inside
        $0 == begin { inside = 1; while ((getline line < text) > 0) print line }
    ' "$1")
    printf '%s\n' "$text" >"$1"
    printf '%s: %s updated\n' "$PROGRAM" "$1" >&2
}

# measure_lifecycle ARGUMENT...: one measurement of benches/lifecycle, which is called as the script is; printed
# with the machine, and with --docs put into docs/performance.md. Fails as the measurement does, and then leaves the
# document as it is.
measure_lifecycle() {
    local docs=false arguments=() results status=0
    while (($#)); do
        case $1 in
        --docs) docs=true ;;
        -h | --help)
            print_help
            exit 0
            ;;
        *) arguments+=("$1") ;;
        esac
        shift
    done
    ! $docs || need_markers docs/performance.md "$PROGRAM"
    results=$(mktemp)
    # shellcheck disable=SC2064 # this very file
    trap "rm -f -- '$results'" EXIT
    # Built before the load is looked at and anything is measured.
    cargo bench --quiet --bench lifecycle --no-run
    machine 'cargo bench profile' | tee "$results"
    printf '\n' | tee -a "$results"
    cargo bench --quiet --bench lifecycle -- "$PROGRAM" "${arguments[@]}" | tee -a "$results" || status=$?
    ((status == 0)) || fail 'a promise does not hold, or the measurement failed; no document was changed'
    ! $docs || put_between_markers docs/performance.md "$PROGRAM" "$results"
}
