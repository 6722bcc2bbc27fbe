#!/bin/sh
# install-deps.sh - what `make check` needs beyond a compiler and make.  Installs
# what is missing where it may (as root, or through sudo that asks nothing), or
# says what to install.
set -u

missing=

# need PACKAGE CONDITION...
need()
{
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

compiles()
{
    echo "#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <$1>
int main(void) { return 0; }" | ${CC:-cc} -x c - -o /dev/null
}

clang_sanitizes()
{
    echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c - -o /dev/null &&
        echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer -x c - -o /dev/null
}

look()
{
    missing=
    need libcmocka-dev compiles cmocka.h
    need pkg-config command -v pkg-config
    need liblz4-dev compiles lz4.h
    need libjansson-dev compiles jansson.h
    need valgrind command -v valgrind
    need clang command -v clang
    need musl-tools command -v musl-gcc
    need mandoc command -v mandoc
    need spin command -v spin
    # Only clang itself says which version's this is.
    if command -v clang >/dev/null 2>&1; then
        version=$(clang -dumpversion | cut -d. -f1)
        need "libclang-rt-$version-dev" clang_sanitizes
    fi
}

# The lists of packages may be there and old, or not there at all.
install()
{
    # shellcheck disable=SC2086 # both are made of words
    set -- $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120
    # shellcheck disable=SC2086
    {
        "$@" install -y --no-install-recommends $missing ||
            { "$@" update && "$@" install -y --no-install-recommends $missing; }
    } >/dev/null 2>&1 </dev/null
}

look
[ -z "$missing" ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null && sudo="sudo -n" || sudo=no
fi
if [ "$sudo" != no ] && command -v apt-get >/dev/null; then
    # Once more for what only shows when the first are there.
    for pass in 1 2; do
        wanted=$missing
        install || break
        echo "installed:$wanted"
        look
        [ -z "$missing" ] && exit 0
    done
fi
echo "make check needs these Debian packages; install them first:$missing" >&2
exit 1
