# shellcheck shell=bash
# The CA directory: finding it, locking it, and replacing files in it so that no reader sees half of anything.
#
# Files that belong together (a key and its chain; anchors and their revocation lists) live in one numbered version
# directory. `..data` points at the current one and is replaced by a single rename(2), as Kubernetes does for secrets.

readonly KEPT_VERSIONS=4
readonly LOCK_WAIT_SECONDS=30

CA_DIR=${PORTCULLIS_CA_DIR:-$REPOSITORY/certs/dev}
WORK=
LOCK_DIRECTORY=

# Opens the directory of an existing CA: absolute path, lock, state.
open_ca() {
    [[ -f $CA_DIR/ca/state ]] || fail_state "there is no CA in ${CA_DIR@Q}; ca-init makes one"
    enter_directory ca
    read_state
}

# enter_directory PLACE: makes CA_DIR absolute, takes the lock, and makes WORK, a scratch directory in CA_DIR/PLACE and so on
# the same file system.
enter_directory() {
    local place=$1
    CA_DIR=$(cd -- "$CA_DIR" && pwd -P) || fail_state "cannot enter ${CA_DIR@Q}"
    trap leave_directory EXIT
    take_lock
    # Under the lock, whatever scratch is there was left by a script that was killed.
    rm -rf -- "$CA_DIR/$place"/.work.*
    WORK=$(mktemp -d -- "$CA_DIR/$place/.work.XXXXXX")
}

leave_directory() {
    [[ -z $WORK ]] || rm -rf -- "$WORK"
    [[ -z $LOCK_DIRECTORY ]] || rm -rf -- "$LOCK_DIRECTORY"
}

# The lock ends with the process: flock's with descriptor 9, the directory's in leave_directory.
take_lock() {
    local waited=0 lock=$CA_DIR/.lock
    if type -P flock >/dev/null; then
        exec 9>"$lock"
        flock -w "$LOCK_WAIT_SECONDS" 9 || fail_busy "another script has held ${lock@Q} for $LOCK_WAIT_SECONDS s"
        return
    fi
    until mkdir -- "$lock.d" 2>/dev/null; do
        ((waited++ < LOCK_WAIT_SECONDS * 20)) ||
            fail_busy "another script has held ${lock@Q}.d for $LOCK_WAIT_SECONDS s; remove it if none is running"
        sleep 0.05
    done
    LOCK_DIRECTORY=$lock.d
}

# replace_file PATH: standard input becomes the file, at once.
replace_file() {
    cat >"$1.new"
    mv -f -- "$1.new" "$1"
}

# switch_version DIRECTORY STAGED FILE...: the staged directory becomes what DIRECTORY/FILE shows, by one rename.
switch_version() {
    local directory=$1 staged=$2 file version
    shift 2
    [[ -d $directory ]] || mkdir -p -- "$directory"
    next_version "$directory"
    version=$NEXT_VERSION
    mv -T -- "$staged" "$directory/$version"
    # Made before the first switch, these links show nothing until it.
    for file; do
        [[ -L $directory/$file ]] || ln -s -- "..data/$file" "$directory/$file"
    done
    ln -sfn -- "$version" "$directory/..data.new"
    mv -fT -- "$directory/..data.new" "$directory/..data"
    prune_versions "$directory"
}

# Sets NEXT_VERSION: above every version that is there, be it current, kept, or left by a script that was killed.
next_version() {
    local path number highest=0
    for path in "$1"/..[0-9]*; do
        number=${path##*/..}
        [[ $number =~ ^[0-9]{8}$ ]] || continue
        ((10#$number <= highest)) || highest=$((10#$number))
    done
    printf -v NEXT_VERSION '..%08d' "$((highest + 1))"
}

# Old versions stay a while for readers that are still inside one. A glob sorts, and versions have equal width.
prune_versions() {
    local versions=("$1"/..[0-9]*)
    local surplus=$((${#versions[@]} - KEPT_VERSIONS))
    ((surplus <= 0)) || rm -rf -- "${versions[@]:0:surplus}"
}

# has_version DIRECTORY: something complete is published there.
has_version() {
    [[ -L $1/..data ]]
}
