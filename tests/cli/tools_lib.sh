# tools_lib.sh - what the tests of the commands have in common: to be sourced.  The script's
# arguments are the directory of the build, and perhaps the one function of it that is to be
# run, or --list.  It ends with `run_tests FUNCTION...`.

build=${1:-build}
only=${2:-}
self=tools.$$
dir=$(mktemp -d)
chmod 755 "$dir"
cp "$build/shmq" "$build/shmq-stat" "$build/shmq-check" "$dir" || exit 1
shmq=$dir/shmq
stat=$dir/shmq-stat
check=$dir/shmq-check
passed=0
failed=0

# The processes that run a command of this test.
running() {
    local exe

    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null) in
        "$dir"/*) echo "$exe" | tr -dc 0-9 && echo ;;
        esac
    done
}

clean_up() {
    local pid

    for pid in $(jobs -p) $(running); do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$dir" /dev/shm/shmq."$self".* "/dev/shm/shmq.$$"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# --- helpers -------------------------------------------------------------------

# in_time COMMAND...: run it, but not for ever, if it is one that could hang.
in_time() {
    case $1 in
    "$dir"/*) timeout 30 "$@" ;;
    *) "$@" ;;
    esac
}

# report NAME STATUS: one test is over; STATUS 0 is good.
report() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok - $1"
    else
        failed=$((failed + 1))
        echo "not ok - $1"
    fi
}

# check NAME COMMAND...: a test that is good when COMMAND succeeds.
check() {
    local name=$1

    shift
    "$@"
    report "$name" $?
}

# expect NAME STATUS OUTPUT ERROR COMMAND...: COMMAND exits with STATUS, prints
# just OUTPUT (escapes as in printf, * for anything), and on standard error one
# line that begins with the name of a tool and contains ERROR, or nothing at all
# when ERROR is empty.
expect() {
    local name=$1 status=$2 output=$3 error=$4 got good=0

    shift 4
    in_time "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    if [ "$got" -ne "$status" ]; then
        echo "# exit code $got, not $status"
        good=1
    fi
    if [ "$output" != '*' ] && ! printf "$output" | cmp -s - "$dir/out"; then
        echo "# printed: $(head -c 300 "$dir/out" | tr -c '[:print:]\n' '?')"
        good=1
    fi
    if [ -z "$error" ] && [ -s "$dir/err" ]; then
        echo "# unexpected: $(cat "$dir/err")"
        good=1
    elif [ -n "$error" ]; then
        if [ "$(wc -l <"$dir/err")" -ne 1 ] || ! grep -qE '^shmq(-stat|-check)?: ' "$dir/err" ||
            ! grep -qF -e "$error" "$dir/err"; then
            echo "# error was: $(cat "$dir/err")"
            good=1
        fi
    fi
    report "$name" $good
}

# await COMMAND...: until it succeeds, for 20 seconds at most.
await() {
    local tries=1000

    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.02
    done
}

# figure QUEUE MEMBER: a number out of the JSON of shmq-stat.
figure() {
    "$stat" --json "$1" | sed -n "s/,\"groups\":.*//; s/.*\"$2\":\([0-9]*\).*/\1/p"
}

# has QUEUE MEMBER NUMBER: is it just that?
has() {
    [ "$(figure "$1" "$2")" = "$3" ]
}

has_lines() {
    [ "$(wc -l <"$1")" -eq "$2" ]
}

exists() {
    [ -e "/dev/shm/shmq.$1" ]
}

# ended PID STATUS: wait for a job and compare its exit code.
ended() {
    wait "$1"
    local got=$?

    [ $got -eq "$2" ] || echo "# exit code $got, not $2"
    [ $got -eq "$2" ]
}

# Is each line of FILE a JSON value, and does EXPRESSION hold for the list `v`?
json() {
    if ! command -v python3 >/dev/null; then
        [ -s "$1" ]
        return
    fi
    python3 - "$1" "$2" <<'END'
import base64, json, sys
v = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
if not eval("(" + sys.argv[2] + ")"):
    print("#", v)
    sys.exit(1)
END
}

# input TEXT COMMAND...: run it with TEXT (as printf) on standard input.
input() {
    local text=$1

    shift
    printf "$text" | in_time "$@"
}

# queue NAME [OPTION...]: make an empty queue and put its full name into $q.
queue() {
    q=$self.$1
    shift
    "$shmq" rm -f "$q"
    "$shmq" create "$q" "$@" || echo "# cannot create $q"
}

nothing_left() {
    local left=0

    if [ -n "$(running)" ]; then
        echo "# still running:" $(running)
        left=1
    fi
    if compgen -G "/dev/shm/shmq.$self*" >/dev/null || exists $$; then
        echo "# left behind: $(echo /dev/shm/shmq."$self"*)"
        left=1
    fi
    return $left
}

# run_tests FUNCTION...: all of them or the one that is wanted, a last test, and the sum.
# Succeeds if all did.
run_tests() {
    local each found=0

    if [ "$only" = --list ]; then
        printf '%s\n' "$@"
        return
    fi
    for each in "$@"; do
        [ -n "$only" ] && [ "$each" != "$only" ] && continue
        found=1
        "$each"
    done
    if [ $found = 0 ]; then
        echo "$0: there is no test '$only'; --list shows them" >&2
        return 2
    fi
    check 'no process and no queue is left' nothing_left
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
}
