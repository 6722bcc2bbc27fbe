#!/bin/sh
# smoke.sh BUILD - the commands of a build do the least that they must.
set -eu
shmq=$1/shmq
name=t-$$-smoke

trap '"$shmq" rm "$name" >/dev/null 2>&1 || true' EXIT
"$shmq" create "$name" --capacity 64K
printf 'one\ntwo\nthree\n' | "$shmq" put "$name" --lines
[ "$("$shmq" get "$name" -n 2)" = "one
two" ]
[ "$("$shmq" get "$name" --timeout 5s)" = three ]
! "$shmq" get "$name" --timeout 10ms
# One waits in a process of its own until the other puts.
"$shmq" get "$name" --timeout 20s >"$1/smoke.out" &
"$shmq" put "$name" late
wait $!
[ "$(cat "$1/smoke.out")" = late ]
"$1/shmq-stat" "$name" | grep -q "$name"
"$1/shmq-check" "$name" | grep -q 'verdict *sound'
"$shmq" rm "$name"
! "$shmq" get "$name" 2>/dev/null
trap - EXIT
# With another build, that has liblz4: what it compressed is said not to be readable
# by one that has not, and stays.
[ $# -gt 1 ] || exit 0
other=$2/shmq
trap '"$other" rm "$name" >/dev/null 2>&1 || true' EXIT
if ! "$other" create "$name" --compress 100 2>"$1/smoke.out"; then
    grep -q liblz4 "$1/smoke.out" # the other has none either, and said so
    exit
fi
head -c 5000 /dev/zero | tr '\0' x >"$1/smoke.long"
"$other" put "$name" --key k <"$1/smoke.long"
rc=0
"$shmq" get "$name" --timeout 1s >"$1/smoke.out" 2>&1 || rc=$?
[ $rc = 3 ]
grep -q liblz4 "$1/smoke.out"
rc=0
"$shmq" peek "$name" >"$1/smoke.out" 2>&1 || rc=$?
[ $rc = 3 ]
grep -q liblz4 "$1/smoke.out"
"$other" get "$name" | tr -d '\n' | cmp - "$1/smoke.long"
