#!/bin/sh
# install.sh - what `make install` puts in place serves to build a program, shared
# and static, and `make uninstall` takes all of it away.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
: "${MAKE:=make}" "${CC:=cc}"
root=$dir/root
pc="env PKG_CONFIG_PATH=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root pkg-config"

$MAKE install DESTDIR="$root" PREFIX=/usr BUILD="$dir/build" CFLAGS="-O1" >/dev/null
cat >"$dir/program.c" <<'END'
#include <shmq.h>
#include <string.h>
int main(void)
{
    return shmq_open(NULL == 0 ? &(shmq_t *){0} : 0, "", 0, 0) == 0 ||
           strcmp(shmq_version(), SHMQ_VERSION) != 0;
}
END
version=$(sed -n 's/.*define SHMQ_VERSION "\(.*\)"/\1/p' include/shmq.h)
[ "$($pc --modversion shmq)" = "$version" ]
# shellcheck disable=SC2046 # options are words
$CC "$dir/program.c" $($pc --cflags --libs shmq) -o "$dir/shared"
LD_LIBRARY_PATH=$root/usr/lib "$dir/shared"
readelf -d "$dir/shared" | grep -q 'NEEDED.*libshmq\.so\.0'
# shellcheck disable=SC2046
$CC "$dir/program.c" $($pc --cflags shmq) "$root/usr/lib/libshmq.a" \
    $($pc --static --libs-only-l shmq | sed 's/-lshmq//') -o "$dir/static"
"$dir/static"
for page in "$root"/usr/share/man/man1/*.1; do
    mandoc -T lint -W error "$page"
done
"$root/usr/bin/shmq" --version | grep -q "$version"
$MAKE uninstall DESTDIR="$root" PREFIX=/usr BUILD="$dir/build" >/dev/null
left=$(find "$root" ! -type d)
[ -z "$left" ] || { echo "left by uninstall: $left"; exit 1; }
