#!/bin/sh
# symbols.sh BUILD - the shared library exports what shmq.h declares, and nothing else.
set -eu
declared=$(sed -n 's/.*SHMQ_API .*[ *]\(shmq_[a-z_]*\)(.*/\1/p' include/shmq.h | sort -u)
exported=$(nm -D --defined-only "$1/libshmq.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u)

[ -n "$declared" ]
if [ "$declared" != "$exported" ]; then
    printf 'declared:\n%s\nexported:\n%s\n' "$declared" "$exported"
    exit 1
fi
# And the static one has no global name that could clash with a program's.
strange=$(nm -g --defined-only "$1/libshmq.a" | awk 'NF == 3 && $3 !~ /^(shmq|sq)_/ { print $3 }')
[ -z "$strange" ] || { echo "strange names: $strange"; exit 1; }
