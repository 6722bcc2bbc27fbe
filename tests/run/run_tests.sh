#!/bin/sh
# run_tests.sh BUILD [--changed] NAME... - run these tests, all of them, $TEST_PREFIX before
# each, then say which failed.  --changed leaves out those that have passed since they were
# last built.
#
# Most wait for one another's processes most of the time, and must not be late: they run
# one after the other.  The few that compute for long run beside them, one after the
# other as well, if there is a processor for that; their output comes last.
set -u
build=$1
shift
changed=no
[ "${1:-}" = --changed ] && changed=yes && shift
computing=" group damage damage_delivery damaged_file faults faults_file "

# Those of the names that compute, or those that do not.
lane()
{
    wanted=$1
    shift
    for name in "$@"; do
        case $computing in
        *" $name "*) [ "$wanted" = computing ] && echo "$name" ;;
        *) [ "$wanted" = waiting ] && echo "$name" ;;
        esac
    done
}

# Run these one by one; the names of those that fail go to a file.
run()
{
    to=$1
    shift
    for name in "$@"; do
        program=$build/tests/unit/test_$name
        [ "$changed" = yes ] && [ "$program.passed" -nt "$program" ] && continue
        # shellcheck disable=SC2086 # the prefix is made of words
        if ${TEST_PREFIX:-} "$program"; then
            : >"$program.passed"
        else
            rm -f "$program.passed"
            echo "$name" >>"$to"
        fi
    done
}

work=$(mktemp -d "${TMPDIR:-/tmp}/shmq-tests.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
beside=
trap 'test -z "$beside" || kill "$beside" 2>/dev/null; exit 130' HUP INT TERM
: >"$work/failed"

# shellcheck disable=SC2046 # names are words
if [ "$(nproc 2>/dev/null || echo 1)" -gt 1 ]; then
    run "$work/failed" $(lane computing "$@") >"$work/output" 2>&1 &
    beside=$!
    run "$work/failed" $(lane waiting "$@")
    wait "$beside"
    beside=
    cat "$work/output"
else
    run "$work/failed" "$@"
fi
[ -s "$work/failed" ] || exit 0
echo "failed:" $(cat "$work/failed")
exit 1
