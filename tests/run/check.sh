#!/bin/sh
# check.sh - the stages of `make check`, each with its time; the output of one
# that fails is shown.  Ends with "N passed, N failed", and fails if any did.
# Called by make; STAGES="asan musl" runs only those.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${MAKE:=make}" "${BUILD:=build}"
log=$BUILD/check
mkdir -p "$log"
passed=0
failed=0
begun=$(date +%s)

wanted()
{
    [ -z "${STAGES:-}" ] && return 0
    case " $STAGES " in *" $1 "*) return 0 ;; esac
    return 1
}

# report NAME SECONDS STATUS
report()
{
    if [ "$3" = 0 ]; then
        passed=$((passed + 1))
        printf '%-12s %-7s %4d s\n' "$1" ok "$2"
        return
    fi
    failed=$((failed + 1))
    printf '%-12s %-7s %4d s\n' "$1" FAILED "$2"
    sed 's/^/    /' "$log/$1.log" | grep -v '   OK \]\| RUN  ' | tail -60
}

# stage NAME COMMAND...
stage()
{
    name=$1
    shift
    wanted "$name" || return
    from=$(date +%s)
    "$@" >"$log/$name.log" 2>&1 </dev/null
    status=$?
    report "$name" $(($(date +%s) - from)) $status
    # What failed is not to fail again in the last stage.
    [ $status = 0 ] || for object in $(dead_queues); do
        case "$before" in *"$object"*) ;; *) rm -f "$object" ;; esac
    done
}

# beside NAME COMMAND... and join NAME: a stage that only computes, and is no matter of
# time, runs while the stages in between leave a processor idle.  Its own time is that
# from its beginning to its end.
beside()
{
    name=$1
    shift
    wanted "$name" || return
    (
        from=$(date +%s)
        "$@" >"$log/$name.log" 2>&1 </dev/null
        echo "$(($(date +%s) - from)) $?" >"$log/$name.verdict"
    ) &
    beside=$!
}

# The processes that come from this one.
descendants()
{
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$1" '
    { sub(/\(.*\)/, ""); child[$3] = child[$3] " " $1 }
    END {
        queue = root
        while (split(queue, pids, " ") > 0) {
            queue = ""
            for (i in pids) {
                print pids[i]
                queue = queue child[pids[i]]
            }
        }
    }'
}

join()
{
    wanted "$1" || return
    # From now on it is what is waited for.  Idle, it would get nothing beside other load.
    # Twice, since a process that is not raised yet may fork meanwhile.
    for pid in $(descendants "$beside") $(descendants "$beside"); do
        chrt -o -p 0 "$pid" 2>/dev/null
    done
    wait "$beside"
    beside=
    # shellcheck disable=SC2046 # two words
    report "$1" $(cat "$log/$1.verdict")
}

# Queues of tests whose process is gone.
dead_queues()
{
    for object in /dev/shm/shmq.t-*; do
        [ -e "$object" ] || continue
        pid=${object#/dev/shm/shmq.t-}
        pid=${pid%%-*}
        [ -d "/proc/$pid" ] || echo "$object"
    done
}

nothing_left()
{
    left=0
    for object in $(dead_queues); do
        case "$before" in *"$object"*) continue ;; esac
        echo "left behind: $object"
        left=1
    done
    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null) in
        "$PWD"/build*/tests/*)
            echo "left behind: $exe $(readlink "$exe")"
            left=1
            ;;
        esac
    done
    return $left
}

before=$(dead_queues)
jobs=-j$(nproc)
# The policy SCHED_IDLE, as far as there is a way to ask for it.
idle="nice -n 19"
chrt -i 0 true 2>/dev/null && idle="chrt -i 0"
beside=
trap 'test -z "$beside" || kill "$beside" 2>/dev/null; exit 130' HUP INT TERM
stage build $MAKE "$jobs" check-build
stage layers $MAKE check-layers
beside models $idle $MAKE check-models
stage unit $MAKE check-unit
stage tools $MAKE check-tools
stage examples $MAKE check-examples
stage crash $MAKE check-crash-quick
stage fuzz $MAKE check-fuzz
stage asan $MAKE "$jobs" check-asan
stage tsan $MAKE "$jobs" check-tsan
stage posix $MAKE "$jobs" check-posix
stage clang $MAKE "$jobs" check-clang
stage musl $MAKE "$jobs" check-musl
stage valgrind $MAKE "$jobs" check-valgrind
# Before what measures.
join models
stage growth $MAKE check-growth check-instructions
stage symbols $MAKE check-symbols
stage install $MAKE check-install
stage left nothing_left

echo "in $(($(date +%s) - begun)) s; full output in $log/"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
