# shellcheck shell=bash
# What a machine needs, installed by name and said so. Debian and Ubuntu; elsewhere it says what is missing.

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# install_packages PACKAGE...
install_packages() {
    (($#)) || return 0
    local by=()
    if ((EUID != 0)); then
        type -P sudo >/dev/null || die "missing: $*. This is not root and there is no sudo; install them and run this again"
        by=(sudo)
    fi
    type -P apt-get >/dev/null || die "missing: $*. There is no apt-get here; install what they stand for and run this again"
    say "installing with apt-get: $*"
    local options=(-qq -y -o Dpkg::Use-Pty=0 --no-install-recommends)
    "${by[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" >/dev/null 2>&1 ||
        { "${by[@]}" apt-get update -qq && "${by[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@"; } ||
        die "apt-get could not install: $*"
}

# need_commands COMMAND=PACKAGE...: installs the packages of those commands that are not there.
need_commands() {
    local pair packages=()
    for pair; do
        type -P "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
    done
    install_packages "${packages[@]}"
}

# need_rust: cargo on the path, and what its builds need: a C compiler, for the linker and for aws-lc-rs. The rest of
# aws-lc-rs needs neither cmake nor bindgen on the platforms that Debian and Ubuntu run on most.
need_rust() {
    if ! type -P cargo >/dev/null && [[ -r ${CARGO_HOME:-$HOME/.cargo}/env ]]; then
        # shellcheck disable=SC1091
        source "${CARGO_HOME:-$HOME/.cargo}/env"
    fi
    type -P cargo >/dev/null || die 'there is no cargo; install a Rust toolchain from https://rustup.rs and run this again'
    need_commands cc=gcc
    [[ -e /usr/include/stdlib.h ]] || install_packages libc6-dev
}
