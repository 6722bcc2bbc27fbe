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
"$shmq" rm "$name"
! "$shmq" get "$name" 2>/dev/null
trap - EXIT
