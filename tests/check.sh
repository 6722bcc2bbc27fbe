#!/bin/sh
# check.sh - the stages of `make check`, each with its time; the output of one
# that fails is shown.  Ends with "N passed, N failed", and fails if any did.
# Called by make; STAGES="asan musl" runs only those.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${MAKE:=make}" "${BUILD:=build}"
log=$BUILD/check
mkdir -p "$log"
passed=0
failed=0
begun=$(date +%s)

stage()
{
    name=$1
    shift
    if [ -n "${STAGES:-}" ]; then
        case " $STAGES " in *" $name "*) ;; *) return ;; esac
    fi
    from=$(date +%s)
    if "$@" >"$log/$name.log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        verdict=ok
    else
        failed=$((failed + 1))
        verdict=FAILED
    fi
    printf '%-12s %-7s %4d s\n' "$name" "$verdict" $(($(date +%s) - from))
    [ "$verdict" = ok ] || sed 's/^/    /' "$log/$name.log" | grep -v '   OK \]\| RUN  ' | tail -60
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
stage build $MAKE "$jobs" check-build
stage layers $MAKE check-layers
stage unit $MAKE check-unit
[ -e tests/tools.sh ] && stage tools $MAKE check-tools
stage examples $MAKE check-examples
[ -e tests/models/run.sh ] && stage models $MAKE check-models
[ -e tests/crash.mk ] && stage crash $MAKE check-crash-quick
[ -e tests/fuzz.mk ] && stage fuzz $MAKE check-fuzz
stage asan $MAKE "$jobs" check-asan
stage tsan $MAKE "$jobs" check-tsan
stage posix $MAKE "$jobs" check-posix
stage clang $MAKE "$jobs" check-clang
stage musl $MAKE "$jobs" check-musl
stage valgrind $MAKE "$jobs" check-valgrind
stage growth $MAKE check-growth
stage symbols $MAKE check-symbols
stage install $MAKE check-install
stage left nothing_left

echo "in $(($(date +%s) - begun)) s; full output in $log/"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
