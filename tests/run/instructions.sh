#!/bin/sh
# instructions.sh BUILD [--record] - does a call take more instructions than it used to?
# Counts them, and fails where one is over its limit in instructions.txt.  --record prints
# a new table instead.
#
# Only the library's own instructions count.  libc's do not: which memcpy() it chooses
# depends on the processor.  To keep work from moving there unseen, the calls that leave
# the library (to libc, or to read the clock) are counted too, and none more are allowed.
# With the program's clock, which stands still, the figures depend on the compiler and its
# flags, and on nothing else of the machine.
set -eu
export LC_ALL=C
table=$(dirname "$0")/instructions.txt
messages=8192 # moved while the program is counted
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=$work/instructions
strip -g -o "$program" "$1/tests/run/instructions" # valgrind cannot read all debug information

# count OPERATION WAY LIMIT: prints "OPERATION INSTRUCTIONS CALLS LIMIT", both per message,
# of shmq_OPERATION() while the program moves messages this WAY.
count()
{
    if ! valgrind --tool=callgrind --callgrind-out-file="$work/trace" --compress-strings=no \
        --compress-pos=no --toggle-collect="shmq_$1" --zero-before=count_from_here \
        "$program" "$2" > "$work/log" 2>&1; then
        cat "$work/log" >&2
        return 1
    fi
    # The line after "calls=" has the cost of the callee, which has lines of its own.
    awk -v operation="$1" -v limit="$3" -v messages="$messages" '
    /^ob=/ { library = /\/instructions$/ }
    /^fn=/ { own = library && $0 != "fn=clock_gettime" }
    /^cob=/ { leaves = 1 }
    /^cfn=clock_gettime$/ { leaves = 1 }
    /^calls=/ {
        split($1, parts, "=")
        calls += own && leaves ? parts[2] : 0
        leaves = 0
        getline
        next
    }
    /^[0-9]/ { instructions += own ? $2 : 0 }
    END {
        if (instructions == 0) {
            print "shmq_" operation "(): nothing was counted" > "/dev/stderr"
            exit 1
        }
        printf "%s %.2f %.2f %s\n", operation, instructions / messages, calls / messages, limit
    }' "$work/trace"
}

{
    count put plain 0
    count get plain 0
    count put_many many 0
    count get_many many 0
    count receive lease -
    count ack lease -
    count next next 0
} > "$work/rows"
awk '{ print }
    $1 ~ /^(receive|ack)$/ { instructions += $2; calls += $3 }
    END { printf "receive+ack %.2f %.2f 3\n", instructions, calls }' "$work/rows" > "$work/counted"

# "gcc 12.2.0 Debian x86_64-linux-gnu -O2 -g"; clang as it calls itself.
: "${CC:=cc}" "${CFLAGS:=-O2 -g}"
compiler="$($CC --version | sed -n '1s/^[^(]*(\([A-Za-z]*\)[^)]*) \([0-9.]*\).*/gcc \2 \1/; 1p') \
$($CC -dumpmachine) $CFLAGS"
echo '#include <features.h>' | $CC -E -dM - | grep -q __GLIBC__ || compiler="$compiler, no glibc"
if [ "${2:-}" = --record ]; then
    echo "at $(git rev-parse --short HEAD) by $compiler"
    cat "$work/counted"
    exit
fi
echo "Instructions of a message, and its calls that leave the library; $compiler:"
awk '{ printf "%-12s %7.2f %5.2f\n", $1, $2, $3 }' "$work/counted"

awk -v compiler="$compiler" '
function hold(what, now, then, percent)
{
    if (now <= then * (1 + percent / 100) + 0.001)
        return
    printf "%s: %.10g %s, %.10g at %s; %s more are allowed\n", $1, now, what, then, commit,
        (percent > 0 ? percent " %" : "none")
    failed = 1
}
FNR == NR { instructions[$1] = $2; calls[$1] = $3; next }
/^at / { commit = $2; here = substr($0, index($0, " by ") + 4) == compiler; known += here }
here && $1 in instructions && $4 != "-" {
    hold("instructions", instructions[$1], $2, $4)
    hold("calls that leave the library", calls[$1], $3, 0)
}
END {
    if (!known)
        print "no baseline for this compiler"
    exit failed
}' "$work/counted" "$table"
