# shellcheck shell=bash
# What every script begins with: strict mode, a fixed locale, private files, and the four libraries.

set -euo pipefail
# [a-z] must mean these 26 letters, and times are UTC.
export LC_ALL=C TZ=UTC
unset CDPATH
umask 077

PROGRAM=${0##*/}
LIBRARY=$(cd -- "${BASH_SOURCE[0]%/*}" && pwd -P)
REPOSITORY=${LIBRARY%/scripts/lib}
PROFILES=$REPOSITORY/certs

# shellcheck source=arguments.sh
source "$LIBRARY/arguments.sh"
# shellcheck source=directory.sh
source "$LIBRARY/directory.sh"
# shellcheck source=authority.sh
source "$LIBRARY/authority.sh"
# shellcheck source=certificate.sh
source "$LIBRARY/certificate.sh"

type -P openssl >/dev/null || fail_state 'openssl is not installed (version 3.0 or later is needed)'
