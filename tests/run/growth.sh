#!/bin/sh
# growth.sh BUILD - does a put and a get cost more in a deep queue?  Counts the
# instructions of 2,000 pairs.  FIFO: at a depth of 1,000,000 they may be 1.3 times
# those at 10.  By priority the cost may grow as the logarithm of the depth does:
# from 1,000 to 100,000, 1.3 times log(100,000) / log(1,000), which is 5 / 3.
set -eu
program=$1/tests/run/growth
trace=$(mktemp)
log=$(mktemp)
trap 'rm -f "$trace" "$log"' EXIT

count()
{
    if ! valgrind --tool=callgrind --callgrind-out-file="$trace" "$program" "$@" > "$log" 2>&1; then
        cat "$log" >&2
        return 1
    fi
    sed -n 's/.*Collected : //p' "$log"
}

# cost ORDER DEPTH: instructions of one pair
cost()
{
    many=$(count "$1" "$2" 3000)
    few=$(count "$1" "$2" 1000)
    echo $(((many - few) / 2000))
}

shallow=$(cost fifo 10)
deep=$(cost fifo 1000000)
echo "instructions of a put and a get, fifo: $shallow at depth 10, $deep at depth 1,000,000"
test $((deep * 10)) -le $((shallow * 13))

for order in priority lifo; do
    shallow=$(cost $order 1000)
    middle=$(cost $order 10000)
    deep=$(cost $order 100000)
    echo "instructions of a put and a get, $order: $shallow at depth 1,000," \
        "$middle at 10,000, $deep at 100,000"
    test $((deep * 30)) -le $((shallow * 65))
done
