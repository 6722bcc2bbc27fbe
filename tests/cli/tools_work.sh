#!/bin/bash
#
# tools_work.sh - tests of shmq work: a command for each message.
#
# Usage: tests/cli/tools_work.sh [BUILD-DIRECTORY [FUNCTION | --list]]

. "$(dirname "$0")/tools_lib.sh"

# of_group MEMBER [QUEUE]: a figure of the queue's own group.
of_group() {
    "$shmq" groups --json "${2:-$q}" | sed -n "s/.*\"$1\":\([0-9a-z]*\).*/\1/p"
}

# is MEMBER NUMBER: is it just that, of $q?
is() {
    [ "$(of_group "$1")" = "$2" ] || { echo "# $1 is $(of_group "$1")" && false; }
}

# comes_to MEMBER NUMBER: to be awaited.
comes_to() {
    [ "$(of_group "$1")" = "$2" ]
}

# gone PID: is there no such process (but for a corpse)?
gone() {
    ! [ -e "/proc/$1/exe" ] || ! readlink "/proc/$1/exe" >/dev/null
}

# gone_by_signals PID: signal it, and see whether it has ended; to be awaited.
gone_by_signals() {
    kill -TERM "$1" 2>/dev/null
    sleep 0.1
    gone "$1"
}

# --- the command line ----------------------------------------------------------

test_command_line() {
    expect 'work --help' 0 '*' '' "$shmq" work --help
    check 'tells how to use it' grep -q '^Usage: shmq work' "$dir/out"
    expect 'work without a name' 2 '' 'name of a queue is needed' "$shmq" work
    expect 'work without a command' 2 '' 'command is needed' "$shmq" work x --
    expect 'work with an unknown option' 2 '' "unknown option '--frob'" "$shmq" work --frob x
    expect 'work with one after the name' 2 '' "unknown option '--frob'" "$shmq" work x --frob
    expect 'work -j 0' 2 '' '--jobs' "$shmq" work x -j 0 true
    expect 'work -n 0' 2 '' '--count' "$shmq" work x -n 0 true
    expect 'work --timeout soon' 2 '' '--timeout' "$shmq" work x --timeout soon true
    expect 'work on a queue that is not there' 3 '' "$self.none" "$shmq" work "$self.none" true
    queue line
    "$shmq" put "$q" x
    expect 'a command that is not there' 3 '' 'No such file' "$shmq" work "$q" "$dir/none"
    expect 'a command that PATH does not have' 3 '' 'No such file' "$shmq" work "$q" no-such-$$
    expect 'a command that cannot be run' 3 '' 'Permission denied' "$shmq" work "$q" "$dir/out"
    check 'no message was tried for these' is delivered_count 0
    printf '#!/no/such/interpreter\n' >"$dir/broken"
    chmod +x "$dir/broken"
    expect 'a command that turns out not to run' 3 '' 'given back' "$shmq" work "$q" "$dir/broken"
    check 'costs the message nothing but a try' is waiting 1
    expect 'options of the command are its own' 0 'one -j\n' '' \
        "$shmq" work --once "$q" echo one -j
    expect 'work on nothing' 1 '' '' "$shmq" work --timeout 0 "$q" -- true
    "$shmq" rm "$q"
}

# --- what becomes of a message -------------------------------------------------------

test_verdicts() {
    queue verdicts
    "$shmq" put "$q" one
    "$shmq" put "$q" two
    expect 'the message is on standard input' 0 'onetwo' '' "$shmq" work "$q" -n 2 -- cat
    check 'and is done' is acked_count 2
    check 'nothing is left' is backlog 0
    "$shmq" put "$q" three
    expect 'exit 75 gives it back' 0 '1\n2\n3\n' '' "$shmq" work "$q" --timeout 0 \
        sh -c 'echo $SHMQ_ATTEMPTS; [ $SHMQ_ATTEMPTS = 3 ] || exit 75'
    "$shmq" put "$q" four
    expect 'so does any other' 0 '1\n2\n' '' "$shmq" work "$q" --timeout 0 \
        sh -c 'echo $SHMQ_ATTEMPTS; [ $SHMQ_ATTEMPTS = 2 ]'
    "$shmq" put "$q" five
    expect 'so does death by a signal' 0 '1\n2\n' '' "$shmq" work "$q" --timeout 0 \
        sh -c 'echo $SHMQ_ATTEMPTS; [ $SHMQ_ATTEMPTS = 2 ] || kill -KILL $$'
    check 'they were given back four times' is nacked_count 4
    "$shmq" put "$q" six
    expect 'exit 65 rejects it' 0 '' '' "$shmq" work "$q" --once sh -c 'exit 65'
    check 'it is a dead letter' is dead 1
    "$shmq" rm "$q"
    queue policy --max-attempts 2
    "$shmq" put "$q" x
    expect 'the policy says how often it is tried' 0 '1\n2\n' '' "$shmq" work "$q" --timeout 0 \
        sh -c 'echo $SHMQ_ATTEMPTS; exit 1'
    check 'then it is a dead letter' is dead 1
    "$shmq" rm "$q"
    queue letters --max-attempts 1 --dead-letter "$self.dead"
    "$shmq" put "$q" x
    "$shmq" work "$q" --once sh -c 'exit 9'
    "$shmq" put "$q" x
    "$shmq" work "$q" --once sh -c 'kill -KILL $$'
    check 'which tells how its command ended' \
        grep -q '"shmq-error":"the command exited with 9"' <("$shmq" find "$self.dead" 1 --json)
    check 'by a signal, too' \
        grep -q '"shmq-error":"the command was killed by signal 9"' <("$shmq" find "$self.dead" 2 --json)
    "$shmq" rm "$q" "$self.dead"
}

test_environment() {
    queue environment
    "$shmq" put "$q" x -p 7 -k 'a key' -t J -H color=red -H X-a.b=c -H x-a-b=d --correlation 12
    expect 'the environment tells about the message' 0 "$q 1 1 7 J a key red c 12\n" '' \
        env SHMQ_HEADER_COLOR=blue "$shmq" work "$q" --once sh -c \
        'echo $SHMQ_QUEUE $SHMQ_ID $SHMQ_ATTEMPTS $SHMQ_PRIORITY $SHMQ_TYPE $SHMQ_KEY \
            $SHMQ_HEADER_COLOR $SHMQ_HEADER_X_A_B $SHMQ_CORRELATION'
    "$shmq" put "$q" y
    expect 'and about nothing else' 0 'SHMQ_ATTEMPTS SHMQ_ID SHMQ_PRIORITY SHMQ_QUEUE 5' '' \
        env SHMQ_KEY=x SHMQ_HEADER_COLOR=blue SHMQ_TYPE=1 OTHER=5 "$shmq" work "$q" --once sh -c \
        "echo \$(env | sed -n 's/^\(SHMQ_[A-Z_]*\)=.*/\1/p' | sort) \$OTHER | tr -d '\n'"
    check 'nothing is left' is backlog 0
    "$shmq" rm "$q"
}

test_bytes() {
    queue bytes --capacity 8M
    head -c 5000000 /dev/urandom >"$dir/bytes"
    "$shmq" put "$q" <"$dir/bytes"
    in_time "$shmq" work "$q" --once cmp - "$dir/bytes"
    report 'a command gets all bytes of a large message' $?
    "$shmq" put "$q" <"$dir/bytes"
    expect 'a command need not read them' 0 '' '' "$shmq" work "$q" --once true
    "$shmq" put "$q" <"$dir/bytes"
    expect 'nor end, when something of it reads on' 0 '' '' "$shmq" work "$q" --once \
        sh -c 'exec <&0; sleep 0.3 & exit 0'
    "$shmq" put "$q" ''
    expect 'an empty message' 0 '0\n' '' "$shmq" work "$q" --once sh -c 'echo $(wc -c)'
    check 'nothing is left' is backlog 0
    "$shmq" rm "$q"
}

# Each of three waits for the other two.
test_jobs() {
    queue jobs
    printf 'a\nb\nc\n' | "$shmq" put "$q" --lines
    expect '-j 3 runs three at a time' 0 '' '' "$shmq" work "$q" -j 3 -n 3 sh -c \
        "touch $dir/there.\$SHMQ_ID; until [ \$(ls $dir | grep -c there) = 3 ]; do sleep 0.02; done"
    check 'all are done' is acked_count 3
    seq 40 | "$shmq" put "$q" --lines
    in_time "$shmq" work "$q" -j 4 --timeout 0 sh -c 'echo $(cat)' >"$dir/out"
    report 'work on all there is' $?
    sort -n "$dir/out" | cmp - <(seq 40)
    report 'each was worked on once' $?
    seq 3 | "$shmq" put "$q" --lines
    expect '-n 2 takes two' 0 '12' '' "$shmq" work "$q" -n 2 cat
    check 'and leaves the third' is backlog 1
    check 'untouched' is delivered_count 45
    "$shmq" rm "$q"
}

test_group() {
    queue topic --topic
    "$shmq" subscribe "$q" workers
    "$shmq" put "$q" x
    expect 'a topic needs a group' 2 '' 'group' "$shmq" work "$q" --once cat
    expect 'one that exists' 3 '' 'no group of this name' "$shmq" work "$q" --group w --once cat
    expect 'work of a group' 0 'x' '' "$shmq" work "$q" --group workers --once cat
    "$shmq" rm "$q"
}

# --- time and signals -----------------------------------------------------------------

# outlasts LEASE TIMEOUT SECONDS: a command runs for longer than the lease, while work waits for
# another message, and would receive this one again if the lease ended.  It is renewed when a
# third of it is over; if the machine is later than that, losing it is right.
outlasts() {
    queue lease --lease "$1"
    "$shmq" put "$q" x
    in_time "$shmq" work "$q" --timeout "$2" -j 2 sh -c "sleep $3; echo \$SHMQ_ATTEMPTS" >"$dir/out"
    [ "$(cat "$dir/out")" = 1 ] && comes_to lost_lease_count 0
}

test_lease() {
    check 'a command may run longer than a lease' \
        eval 'outlasts 700ms 1 2 || outlasts 3s 4 5 || outlasts 10s 11 12'
    check 'and is done' is acked_count 1
    "$shmq" rm "$q"
}

# begin [OPTION...]: work in the background, pid $work, on a message whose command, pid
# $command, waits for the file `go`.
begin() {
    rm -f "$dir/go" "$dir/pid"
    "$shmq" put "$q" x
    "$shmq" work "$q" "$@" -- \
        sh -c "echo \$\$ >$dir/pid.new; mv $dir/pid.new $dir/pid; until [ -e $dir/go ]; do sleep 0.02; done" \
        2>"$dir/err" &
    work=$!
    await test -e "$dir/pid"
    command=$(cat "$dir/pid")
}

test_signals() {
    queue signals
    begin
    kill -TERM $work
    "$shmq" put "$q" y
    sleep 0.7
    check 'SIGTERM waits for the command' test -e "/proc/$work" -a -e "/proc/$command"
    check 'and receives nothing more' is delivered_count 1
    touch "$dir/go"
    check 'then it ends well' ended $work 0
    check 'the message is done' is acked_count 1
    "$shmq" get "$q" >/dev/null
    begin
    await gone_by_signals $work # two that come at once may be one
    check 'a second signal ends it' ended $work 1
    check 'and the command' await gone "$command"
    check 'the message was given back' is nacked_count 1
    "$shmq" purge "$q" >/dev/null
    "$shmq" work "$q" true &
    work=$!
    await has "$q" sleeping_consumers 1
    kill -TERM $work
    check 'SIGTERM ends one that waits' ended $work 0
    "$shmq" rm "$q"
}

test_killed() {
    queue killed
    begin
    kill -KILL $work
    wait $work 2>/dev/null
    check 'the command dies with a work that is killed' await gone "$command"
    expect 'its message comes back' 0 '2\n' '' "$shmq" work "$q" --once --timeout 20 \
        sh -c 'echo $SHMQ_ATTEMPTS'
    begin -n 2
    kill -KILL "$command"
    await comes_to delivered_count 4
    touch "$dir/go"
    check 'a command that is killed loses nothing either' ended $work 0
    check 'its message is tried again and done' is backlog 0
    "$shmq" rm "$q"
} 2>/dev/null

test_removed() {
    queue removed
    begin
    "$shmq" rm "$q"
    touch "$dir/go"
    check 'work ends when its queue is removed' ended $work 3
    check 'and says so in one line' has_lines "$dir/err" 1
    check 'that names it' grep -q "^shmq: work $q: " "$dir/err"
}

run_tests test_command_line test_verdicts test_environment test_bytes test_jobs test_group \
    test_lease test_signals test_killed test_removed
