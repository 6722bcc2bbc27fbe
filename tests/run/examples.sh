#!/bin/bash
# examples.sh - the README's C programs compile as they stand and run, and so does
# each shell block marked "sh run".
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${BUILD:=build}" "${CC:=cc}"
build=$(realpath "$BUILD")
root=$PWD
dir=$(mktemp -d)
failed=0
names=

# The queues that the examples name; not touched if they exist already.
clean() {
    rm -rf "$dir"
    for name in $names; do
        rm -f "/dev/shm/shmq.$name"
    done
}
trap clean EXIT

# block INFO N: the Nth block with that info string
block() {
    awk -v fence='```'"$1" -v nth="$2" '
        $0 == fence { inside = ++seen == nth; next }
        /^```/ { inside = 0 }
        inside' README.md
}

claim() {
    local name
    for name in "$@"; do
        if [ -e "/dev/shm/shmq.$name" ]; then
            echo "FAILED: a queue \"$name\" exists already; will not touch it"
            exit 1
        fi
        names="$names $name"
    done
}

# What the static library needs.
libs=$(sed -n 's/^Libs.private: //p' "$build/shmq.pc")
for ((n = 1; ; n++)); do
    block c $n >"$dir/example.c"
    [ -s "$dir/example.c" ] || break
    # shellcheck disable=SC2046
    claim $(sed -n 's/.*shmq_open([^"]*"\([^"]*\)".*/\1/p' "$dir/example.c")
    # shellcheck disable=SC2086
    if $CC -std=c11 -Wall -Wextra -Werror -I"$root/include" "$dir/example.c" \
        "$build/libshmq.a" $libs -o "$dir/example" && timeout 60 "$dir/example"; then
        echo "ok: C example $n"
    else
        echo "FAILED: C example $n"
        failed=1
    fi
done
if [ $n = 1 ]; then
    echo "FAILED: README.md has no C example"
    exit 1
fi
for ((n = 1; ; n++)); do
    block "sh run" $n >"$dir/example.sh"
    [ -s "$dir/example.sh" ] || break
    # shellcheck disable=SC2046
    claim $(sed -n 's/.*shmq create \([^ ]*\).*/\1/p; s/.*--dead-letter \([^ ]*\).*/\1/p' "$dir/example.sh")
    if (cd "$dir" && PATH=$build:$PATH timeout 60 bash -e -o pipefail example.sh); then
        echo "ok: shell example $n"
    else
        echo "FAILED: shell example $n"
        failed=1
    fi
done
exit $failed
