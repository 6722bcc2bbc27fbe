#!/bin/sh
# growth.sh BUILD - does a put and a get cost more in a deep queue?  Counts the
# instructions of 2,000 pairs at a depth of 10 and of 1,000,000; the second may be
# 1.3 times the first at most.
set -eu
program=$1/tests/growth
trace=$(mktemp)
trap 'rm -f "$trace"' EXIT

count()
{
    valgrind --tool=callgrind --callgrind-out-file="$trace" "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : //p'
}

cost()
{
    echo $((($(count "$1" 3000) - $(count "$1" 1000)) / 2000))
}

shallow=$(cost 10)
deep=$(cost 1000000)
echo "instructions of a put and a get: $shallow at depth 10, $deep at depth 1,000,000"
test $((deep * 10)) -le $((shallow * 13))
