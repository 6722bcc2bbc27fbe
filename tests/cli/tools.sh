#!/bin/bash
#
# tools.sh - tests of the commands shmq and shmq-stat.
#
# Usage: tests/cli/tools.sh [BUILD-DIRECTORY [FUNCTION | --list]]
#
# Prints a line for each test and ends with `N passed, M failed`.  The queues are
# named after this process, and the commands run as copies in a directory of its
# own, so that the last test can tell that nothing of it is left behind.

. "$(dirname "$0")/tools_lib.sh"

# --- the command line ----------------------------------------------------------

test_command_line() {
    local command

    version=$("$shmq" --version)
    check 'version is of the form shmq N.N.N' \
        grep -qE '^shmq [0-9]+\.[0-9]+\.[0-9]+$' <<<"$version"
    expect 'both commands have the same version' 0 "shmq-stat ${version#shmq }\n" '' \
        "$stat" --version
    expect 'no command' 2 '' 'no command given' "$shmq"
    expect 'unknown command' 2 '' "unknown command 'frobnicate'" "$shmq" frobnicate
    expect 'unknown option instead of a command' 2 '' "unknown option '--frob'" "$shmq" --frob
    expect 'help' 0 '*' '' "$shmq" --help
    check 'help names the commands' grep -q 'shmq peek' "$dir/out"
    for command in create put get peek purge ls rm browse find update remove redrive \
        subscribe unsubscribe groups seek part pause resume policy; do
        expect "$command --help" 0 '*' '' "$shmq" $command --help
        cp "$dir/out" "$dir/help"
        check "$command --help tells how to use it" grep -q "^Usage: shmq $command" "$dir/help"
        expect "help $command" 0 '*' '' "$shmq" help $command
        check "help $command is the same text" cmp "$dir/out" "$dir/help"
        expect "$command with an unknown option" 2 '' "unknown option '--frob'" \
            "$shmq" $command --frob
        expect "$command with an unknown letter" 2 '' "unknown option '-Z'" "$shmq" $command -Z
    done
    for command in create put get peek purge rm browse find update remove redrive \
        subscribe unsubscribe groups seek part pause resume policy; do
        expect "$command without a name" 2 '' ' needed' "$shmq" $command
        case $command in
        rm | remove) ;;
        *) expect "$command with too much" 2 '' ' needed' "$shmq" $command a 1 c d ;;
        esac
    done
    expect 'ls with an argument' 2 '' 'too many' "$shmq" ls x
    expect 'an option without its value' 2 '' 'needs a value' "$shmq" get x --timeout
    expect 'a value for an option without' 2 '' 'takes no value' "$shmq" put x --lines=3
    expect 'help on a closed standard output' 3 '*' 'standard output' \
        closed_output --help
    report_name_errors
}

report_name_errors() {
    local command

    for command in create 'put --timeout 0' get peek purge browse redrive groups part pause \
        resume policy; do
        expect "$command: a name that is none" 2 '' "${command%% *} no/name" \
            "$shmq" $command no/name </dev/null
    done
    for command in put get peek purge rm browse redrive groups part pause resume policy; do
        expect "$command: no such queue" 3 '' "$command $self.none" \
            "$shmq" $command "$self.none" </dev/null
    done
}

# --- create, ls, rm ------------------------------------------------------------

test_create() {
    local bad

    q=$self.create
    expect 'create' 0 '' '' "$shmq" create "$q"
    expect 'create what exists' 3 '' '--exist-ok' "$shmq" create "$q"
    expect 'create --exist-ok' 0 '' '' "$shmq" create --exist-ok "$q"
    check 'mode 0600 by default' [ "$(command stat -c %a "/dev/shm/shmq.$q")" = 600 ]
    (umask 077 && "$shmq" create "$q.mode" --mode 0664)
    check 'create --mode ignores the umask' \
        [ "$(command stat -c %a "/dev/shm/shmq.$q.mode")" = 664 ]
    "$shmq" create "$q.big" --capacity 64K --max-messages 7
    check 'create --capacity' has "$q.big" capacity_bytes 65536
    check 'create --max-messages' has "$q.big" max_messages 7
    "$shmq" create "$q.bytes" --capacity 131072
    check 'create --capacity in bytes' has "$q.bytes" capacity_bytes 131072
    expect 'create -- -x has a name of that kind' 0 '' '' "$shmq" create -- "$q.--"
    for bad in '--capacity 0' '--capacity 1X' '--capacity -5' '--capacity 99999999999T' \
        '--max-messages 0' '--max-messages many' '--max-message-size K' '--full maybe' \
        '--mode 888' '--mode 07777' '--mode rw'; do
        expect "create $bad" 2 '' "${bad% *}" "$shmq" create "$q.bad" $bad
    done
    check 'nothing was created by these' [ ! -e "/dev/shm/shmq.$q.bad" ]
    "$shmq" rm "$q" "$q.mode" "$q.big" "$q.bytes" "$q.--"
}

test_ls() {
    q=$self.ls
    "$shmq" create "$q.b" --capacity 64K --mode 0640
    "$shmq" create "$q.a"
    "$shmq" put "$q.b" hello
    "$shmq" ls | grep "^$q" >"$dir/names"
    check 'ls is sorted' cmp "$dir/names" <(printf '%s.a\n%s.b\n' "$q" "$q")
    "$shmq" ls -l >"$dir/long"
    check 'ls -l has a header' grep -q '^MODE .*NAME$' "$dir/long"
    check 'ls -l shows mode, depth and size' \
        grep -qE "^0640  $(id -un) +1 +[0-9]+ +64.0K +0  $q.b\$" "$dir/long"
    "$shmq" ls --json | grep -F "$q" >"$dir/json"
    check 'ls --json' json "$dir/json" "len(v) == 2 and v[1] == {'name': '$q.b', 'mode': '0640',
        'owner': '$(id -un)', 'depth': 1, 'used_bytes': v[1]['used_bytes'],
        'capacity_bytes': 65536, 'attached': 0} and 5 <= v[1]['used_bytes'] <= 64"
    expect 'ls -l --json' 2 '' contradict "$shmq" ls -l --json
    "$shmq" rm "$q.a" "$q.b"
}

test_rm() {
    q=$self.rm
    "$shmq" create "$q.1"
    "$shmq" create "$q.2"
    expect 'rm goes on after one that is not there' 3 '' "rm $q.none" \
        "$shmq" rm "$q.none" "$q.1" "$q.2"
    check 'rm removed the others' [ ! -e "/dev/shm/shmq.$q.1" -a ! -e "/dev/shm/shmq.$q.2" ]
    expect 'rm -f of nothing' 0 '' '' "$shmq" rm -f "$q.1"
    expect 'rm -f of a wrong name' 2 '' 'rm a/b' "$shmq" rm -f a/b
}

# --- put, get, peek, purge -----------------------------------------------------

test_put_get() {
    queue plain
    expect 'put' 0 '' '' "$shmq" put "$q" one
    expect 'put a second' 0 '' '' "$shmq" put "$q" 'two words'
    expect 'put an empty message' 0 '' '' "$shmq" put "$q" ''
    expect 'put one that begins with a hyphen' 0 '' '' "$shmq" put "$q" -- --lines
    expect 'peek' 0 'one\n' '' "$shmq" peek "$q"
    expect 'peek -n 2' 0 'one\ntwo words\n' '' "$shmq" peek "$q" -n 2
    expect 'peek --all' 0 'one\ntwo words\n\n--lines\n' '' "$shmq" peek --all "$q"
    expect 'peek -0' 0 'one\0two words\0' '' "$shmq" peek -0 -n2 "$q"
    expect 'peek more than there is' 0 'one\ntwo words\n\n--lines\n' '' "$shmq" peek -n 9 "$q"
    expect 'get' 0 'one\n' '' "$shmq" get "$q"
    expect 'get --raw' 0 'two words' '' "$shmq" get --raw "$q"
    expect 'get -n, empty message, NUL at the end' 0 '\0--lines\0' '' "$shmq" get -0 -n 2 "$q"
    expect 'get of nothing, not waiting' 1 '' '' "$shmq" get "$q" --timeout 0
    expect 'peek at nothing' 1 '' '' "$shmq" peek "$q"
    expect 'put with message and --lines' 2 '' 'standard input' "$shmq" put "$q" x --lines
    expect 'put with a wrong timeout' 2 '' '--timeout' "$shmq" put "$q" x --timeout soon
    expect 'get with a wrong timeout' 2 '' '--timeout' "$shmq" get "$q" --timeout -1
    expect 'get -n 0' 2 '' '--count' "$shmq" get "$q" -n 0
    expect 'get -n and --follow' 2 '' '--follow' "$shmq" get "$q" -n 3 --follow
    expect 'peek -n and --all' 2 '' '--all' "$shmq" peek "$q" -n 3 --all
    expect 'get --json --raw' 2 '' '--json' "$shmq" get "$q" --json --raw
    expect 'get --frob after the name' 2 '' "'--frob'" "$shmq" get "$q" --frob
    expect 'purge of nothing' 0 '0\n' '' "$shmq" purge "$q"
    input 'a\nb\nc\n' "$shmq" put --lines "$q"
    expect 'purge' 0 '3\n' '' "$shmq" purge "$q"
    expect 'nothing is left after it' 1 '' '' "$shmq" get "$q" --timeout 0
    "$shmq" rm "$q"
    expect 'put --create' 0 '' '' "$shmq" put --create "$q" x
    expect 'get what it put' 0 'x\n' '' "$shmq" get "$q"
    "$shmq" rm "$q"
}

test_bytes() {
    queue bytes --capacity 1M
    for value in 0 1 10 127 128 254 255; do
        printf "\\$(printf %o $value)"
    done >"$dir/binary"
    head -c 300000 /dev/urandom >>"$dir/binary"
    printf '\0\0\n' >>"$dir/binary"
    "$shmq" put "$q" <"$dir/binary"
    check 'a binary message of 300 KB is one message' has "$q" depth 1
    "$shmq" peek --raw "$q" | cmp - "$dir/binary"
    report 'peek shows its bytes' $?
    in_time "$shmq" get --raw "$q" | cmp - "$dir/binary"
    report 'get hands out its bytes' $?
    expect 'put of empty standard input' 0 '' '' "$shmq" put "$q" </dev/null
    expect 'is an empty message' 0 '\n' '' "$shmq" get "$q" --timeout 0
    expect 'a message longer than the queue' 3 '' 'message 1' \
        input_file /dev/zero 2000000 "$shmq" put "$q"
    "$shmq" rm "$q"
    queue short --max-message-size 8
    expect 'put of 8 bytes where 8 are allowed' 0 '' '' "$shmq" put "$q" 12345678
    expect 'put of 9 bytes where 8 are allowed' 3 '' "put $q" "$shmq" put "$q" 123456789
    printf '%s\n' 1 12345678 3 123456789 5 >"$dir/lines"
    expect 'lines before one that is too long' 3 '' 'message 4' \
        "$shmq" put --lines "$q" <"$dir/lines"
    expect 'were put, and those behind it not' 0 '12345678\n1\n12345678\n3\n' '' \
        "$shmq" get "$q" --follow --timeout 0
    expect 'a line without an end that is too long' 3 '' 'message 1' \
        input_file /dev/zero 3000000 "$shmq" put --lines "$q"
    "$shmq" rm "$q"
}

# input_file FILE BYTES COMMAND...: run it with that much of FILE; its exit code.
input_file() {
    local file=$1 bytes=$2

    shift 2
    in_time "$@" < <(head -c "$bytes" "$file" 2>/dev/null)
}

test_lines() {
    queue lines --capacity 64K
    input 'a\n\nb' "$shmq" put --lines "$q"
    expect 'lines: an empty one, and one without a newline' 0 'a\n\nb\n' '' "$shmq" get "$q" -n 3
    input 'a\nb\0\0c' "$shmq" put -0 "$q"
    expect 'put -0' 0 'a\nb\0\0c\0' '' "$shmq" get "$q" -0 -n 3
    expect 'nothing more came of it' 1 '' '' "$shmq" get "$q" --timeout 0
    mkfifo "$dir/fifo"
    "$shmq" put --lines "$q" <"$dir/fifo" &
    exec 3>"$dir/fifo"
    echo first >&3
    expect 'a line is put while more may come' 0 'first\n' '' "$shmq" get "$q" --timeout 20
    printf 'sec' >&3
    printf 'ond\nthird' >&3
    expect 'so is one that came in parts' 0 'second\n' '' "$shmq" get "$q" --timeout 20
    exec 3>&-
    check 'put ends with its input' ended $! 0
    expect 'the last line came at the end' 0 'third\n' '' "$shmq" get "$q" --timeout 0
    "$shmq" put --lines "$q" <"$dir/fifo" 2>"$dir/err" &
    exec 3>"$dir/fifo"
    printf 'whole\npart' >&3
    await has "$q" depth 1
    kill -TERM $!
    check 'put ends at SIGTERM' ended $! 1
    check 'and says how far it came' grep -q 'after 1 messages: interrupted' "$dir/err"
    exec 3>&-
    expect 'what was read by then was put' 0 'whole\n' '' "$shmq" get "$q" -n 9 --timeout 0
    seq -f 'line %.0f of many' 100000 >"$dir/many"
    "$shmq" put --lines "$q" --timeout 60 <"$dir/many" &
    "$shmq" get "$q" -n 100000 --timeout 60 >"$dir/got"
    report 'get -n 100000 beside put --lines' $?
    check 'put had room for all' ended $! 0
    check 'all lines came in order' cmp "$dir/many" "$dir/got"
    "$shmq" get "$q" --follow >"$dir/got" &
    in_time "$shmq" put --lines "$q" <"$dir/many"
    check 'get --follow gets all' await has_lines "$dir/got" 100000
    kill -TERM $!
    check 'and ends at SIGTERM' ended $! 1
    check 'these came in order too' cmp "$dir/many" "$dir/got"
    "$shmq" rm "$q"
}

test_many_readers() {
    local pids='' i status=0

    queue readers --capacity 64K
    for i in 1 2 3; do
        "$shmq" get "$q" --follow >"$dir/reader.$i" &
        pids="$pids $!"
    done
    seq 30000 | in_time "$shmq" put --lines "$q"
    await has "$q" got_count 30000
    kill -TERM $pids
    for i in $pids; do
        ended "$i" 1 || status=1
    done
    report 'three readers end at SIGTERM' $status
    sort -n "$dir"/reader.? | cmp - <(seq 30000)
    report 'each message went to one of them' $?
    "$shmq" rm "$q"
}

test_json() {
    queue json
    "$shmq" put "$q" 'plain "text" \ with	tab, ümlaut, 日本 and 😀'
    printf 'a\0b\nc\033\177' | "$shmq" put "$q"
    printf '\377\376 no text' | "$shmq" put "$q"
    printf '\355\240\200' | "$shmq" put "$q"
    printf '\300\257' | "$shmq" put "$q"
    "$shmq" put "$q" ''
    "$shmq" peek --all --json "$q" >"$dir/peeked"
    in_time "$shmq" get -n 6 --json "$q" >"$dir/json"
    check 'get --json: a line for each message' has_lines "$dir/json" 6
    check 'get --json: text' json "$dir/json" \
        "v[0]['message'] == 'plain \"text\" \\\\ with\ttab, ümlaut, 日本 and 😀'"
    check 'get --json: control characters' json "$dir/json" \
        "v[1]['message'] == 'a\\0b\\nc\\x1b\\x7f' and v[1]['length'] == 7"
    check 'get --json: bytes that are no text' json "$dir/json" \
        "base64.b64decode(v[2]['base64']) == b'\xff\xfe no text' and 'message' not in v[2]"
    check 'get --json: surrogates and overlong forms are no text' json "$dir/json" \
        "base64.b64decode(v[3]['base64']) == b'\xed\xa0\x80' and
        base64.b64decode(v[4]['base64']) == b'\xc0\xaf'"
    check 'get --json: empty message, ids and ages' json "$dir/json" \
        "v[5]['message'] == '' and [m['id'] for m in v] == [1, 2, 3, 4, 5, 6] and
        all(0 <= m['age_ns'] < 60e9 for m in v) and v[0]['put_time'].endswith('Z')"
    check 'peek --json shows the same' cmp <(sed 's/"put_time.*"length/"length/' "$dir/peeked") \
        <(sed 's/"put_time.*"length/"length/' "$dir/json")
    "$shmq" rm "$q"
}

# --- waiting -------------------------------------------------------------------

# took LEAST COMMAND...: does it fail with 1 after LEAST ms or more?
took() {
    local least=$1 start status

    shift
    start=$(date +%s%N)
    in_time "$@" 2>/dev/null
    status=$?
    [ $status -eq 1 ] && [ $((($(date +%s%N) - start) / 1000000)) -ge "$least" ]
}

test_full() {
    queue full --max-messages 2
    input 'a\nb\n' "$shmq" put --lines "$q"
    expect 'put into a full queue, not waiting' 1 '' "put $q" "$shmq" put "$q" c --timeout 0
    expect 'put into a full queue in 100 ms' 1 '' "put $q" "$shmq" put "$q" c --timeout 0.1
    check 'it waited that long' took 100 "$shmq" put "$q" c --timeout 100ms
    check 'and as long in other units' took 100 "$shmq" put "$q" c --timeout 100000us
    expect 'purge two of three lines' 0 '2\n' '' "$shmq" purge "$q"
    expect 'lines for which there is no room' 1 '' 'after 2 messages' \
        input '1\n2\n3\n' "$shmq" put --lines "$q" --timeout 0.1
    "$shmq" put "$q" late &
    check 'a put sleeps for room' await has "$q" sleeping_producers 1
    expect 'get makes room' 0 '1\n' '' "$shmq" get "$q"
    check 'the put is done' ended $! 0
    expect 'in its order' 0 '2\nlate\n' '' "$shmq" get "$q" -n 2
    "$shmq" rm "$q"
    queue fail --max-messages 1 --full fail
    "$shmq" put "$q" a
    expect 'full=fail does not wait' 1 '' "put $q" "$shmq" put "$q" b
    "$shmq" rm "$q"
    queue drop --max-messages 2 --full drop
    input '1\n2\n3\n4\n5\n' "$shmq" put --lines "$q"
    check 'full=drop counts what it drops' has "$q" dropped_count 3
    expect 'full=drop keeps the newest' 0 '4\n5\n' '' "$shmq" get "$q" --follow --timeout 0
    "$shmq" rm "$q"
}

test_wait() {
    queue wait
    expect 'get of nothing in 100 ms' 1 '' '' "$shmq" get "$q" --timeout 0.1
    check 'it waited that long' took 100 "$shmq" get "$q" --timeout 100ms
    check 'and longer than a slice' took 700 "$shmq" get "$q" --timeout .7s
    input '1\n2\n3\n' "$shmq" put --lines "$q"
    expect 'get -n of more than there is' 0 '1\n2\n3\n' '' "$shmq" get "$q" -n 5 --timeout 0.1
    "$shmq" get "$q" >"$dir/got" &
    check 'a get sleeps for a message' await has "$q" sleeping_consumers 1
    "$shmq" put "$q" woken
    check 'put wakes it' ended $! 0
    check 'with the message' grep -qx woken "$dir/got"
    "$shmq" get "$q" 2>"$dir/err" &
    await has "$q" sleeping_consumers 1
    kill -TERM $!
    check 'SIGTERM ends a get that sleeps' ended $! 1
    check 'without a word' [ ! -s "$dir/err" ]
    if env --default-signal=INT true 2>/dev/null; then
        # A shell lets its background jobs ignore SIGINT.
        env --default-signal=INT "$shmq" get "$q" &
        await has "$q" sleeping_consumers 1
        kill -INT $!
        check 'SIGINT ends a get that sleeps' ended $! 1
        # And nohup lets its command ignore SIGHUP.
        env --default-signal=HUP "$shmq" get "$q" &
        await has "$q" sleeping_consumers 1
        kill -HUP $!
        check 'SIGHUP ends a get that sleeps' ended $! 1
    fi
    "$shmq" get "$q" 2>"$dir/err" &
    await has "$q" sleeping_consumers 1
    "$shmq" rm "$q"
    check 'rm ends a get that sleeps' ended $! 3
    check 'which says so' grep -q "^shmq: get $q: " "$dir/err"
}

test_killed() {
    local pid i

    queue killed
    for i in 1 2 3 4 5; do
        "$shmq" get "$q" --follow >"$dir/got" &
        pid=$!
        await has "$q" sleeping_consumers 1
        kill -KILL $pid
        wait $pid 2>/dev/null
        "$shmq" put "$q" "message $i"
        expect "the queue works after get was killed, $i" 0 "message $i\n" '' \
            "$shmq" get "$q" --timeout 20
    done 2>/dev/null
    check 'no one is attached any more' await has "$q" attached 0
    "$shmq" rm "$q"
}

test_output() {
    queue output
    "$shmq" put "$q" kept
    expect 'get with standard output closed' 3 '' 'standard output' closed_output get "$q"
    check 'leaves the message' has "$q" depth 1
    if [ -w /dev/full ]; then
        expect 'get onto a full device' 3 '' 'standard output' full_device get "$q"
        check 'says what it lost' grep -q '1 messages were taken' "$dir/err"
    fi
    "$shmq" purge "$q" >/dev/null
    { "$shmq" get "$q" --follow 2>"$dir/err"; echo $? >"$dir/status"; } | head -n 1 >"$dir/got" &
    "$shmq" put "$q" first
    wait $!
    check 'get --follow ends when its reader has left' grep -qx 3 "$dir/status"
    check 'and says so' grep -q "^shmq: get $q: standard output" "$dir/err"
    "$shmq" put "$q" second
    expect 'no message went to nobody' 0 'second\n' '' "$shmq" get "$q" --timeout 0
    check 'the reader had its message' grep -qx first "$dir/got"
    "$shmq" rm "$q"
}

closed_output() {
    in_time "$shmq" "$@" >&-
}

full_device() {
    in_time "$shmq" "$@" >/dev/full
}

# --- shmq-stat -----------------------------------------------------------------

test_stat() {
    local number=$$

    expect 'stat --help' 0 '*' '' "$stat" --help
    check 'tells how to use it' grep -q '^Usage: shmq-stat' "$dir/out"
    expect 'stat with an unknown option' 2 '' "'--frob'" "$stat" --frob
    expect 'stat with an interval of 0' 2 '' "'0'" "$stat" x 0
    expect 'stat with half a count' 2 '' "'1.5'" "$stat" x 1 1.5
    expect 'stat with two forms' 2 '' 'choose one' "$stat" --json --prometheus
    expect 'stat --prometheus with an interval' 2 '' once "$stat" --prometheus x 1
    expect 'stat of no queue' 3 '*' "$self.none" "$stat" "$self.none"
    expect 'stat of a wrong name' 2 '*' 'a/b' "$stat" a/b

    queue stat --capacity 64K --max-messages 100
    input '12345\n12345\n12345\n' "$shmq" put --lines "$q"
    "$shmq" get "$q" >/dev/null
    cp "/dev/shm/shmq.$q" "$dir/before"
    expect 'stat NAME' 0 '*' '' "$stat" "$q"
    check 'its row' grep -qE "^$q +2 +2\.0 +3 +1 +15 +5 +0 +[0-9.]+[mun]?s +0 +0 +0 +0\$" \
        "$dir/out"
    check 'its header' grep -qE '^QUEUE +DEPTH +FULL% +PUT +GOT +IN +OUT +DROP +OLDEST ' "$dir/out"
    expect 'stat of it twice is one row' 0 '*' '' "$stat" "$q" "/$q"
    check 'header and row' has_lines "$dir/out" 2
    expect 'stat NAME INTERVAL COUNT' 0 '*' '' "$stat" "$q" 0.05 4
    check 'has two headers and four rows' has_lines "$dir/out" 6
    check 'the second is of rates' grep -qE '^QUEUE .* PUT/s +GOT/s +IN/s +OUT/s ' "$dir/out"
    expect 'stat NAME INTERVAL COUNT over 20 rows' 0 '*' '' "$stat" "$q" 0.001 42
    check 'repeats its header' [ "$(grep -c ^QUEUE "$dir/out")" -eq 4 ]
    for form in '' --json --processes --histogram --prometheus; do
        "$stat" $form "$q" >/dev/null
    done
    check 'stat leaves the queue as it was' cmp "/dev/shm/shmq.$q" "$dir/before"
    "$stat" >"$dir/out" 2>/dev/null # others may have queues that are damaged
    check 'stat of all shows it' grep -q "^$q " "$dir/out"
    "$shmq" create "$number"
    expect 'stat -q NUMBER' 0 '*' '' "$stat" -q $number
    check 'shows that queue' grep -q "^$number " "$dir/out"
    expect 'stat INTERVAL COUNT -- NUMBER' 0 '*' '' "$stat" 0.01 2 -- $number
    check 'shows it too' [ "$(grep -c "^$number " "$dir/out")" -eq 2 ]
    "$shmq" rm "$number" "$q"
}

# A sleeper is awake for a moment now and then.
reports_of_a_sleeper() {
    "$stat" --json "$q" 0.02 3 >"$dir/json" && ! grep -q '"sleeping_consumers":0' "$dir/json"
}

shows_a_sleeper() {
    "$stat" --processes "$q" >"$dir/out" &&
        grep -qE "^$q +$1 shmq +- +0 +1 +[0-9.]+[mun]?s\$" "$dir/out"
}

test_stat_forms() {
    queue forms --capacity 64K
    "$shmq" get "$q" --follow --timeout 60 >"$dir/got" &
    await has "$q" sleeping_consumers 1
    seq 100 | in_time "$shmq" put --lines "$q"
    await has "$q" got_count 100
    check 'stat --json: who sleeps' await reports_of_a_sleeper
    check 'stat --json: a line for each report' json "$dir/json" 'len(v) == 3'
    check 'stat --json: counters' json "$dir/json" "v[0]['queue'] == '$q' and
        all(r['put_count'] == r['got_count'] == 100 and r['put_bytes'] == 192 and
        r['depth'] == 0 and r['sleeping_consumers'] == 1 and r['attached'] == 1 for r in v)"
    check 'stat --json: every figure' json "$dir/json" "set(v[0]) >= set('''
        put_count put_bytes got_count got_bytes dropped_count purged_count depth peak_depth
        used_bytes capacity_bytes max_messages oldest_age_ns full_wait_count full_wait_ns
        empty_wait_count empty_wait_ns sleeping_producers sleeping_consumers attached
        sole_producer sole_consumer unlinked recoveries dead_count'''.split())"
    check 'stat --json: rates' json "$dir/json" "v[0]['rates'] is None and
        v[1]['rates']['put_count'] == 0 and v[1]['interval_ns'] >= 10e6"
    check 'stat --json: histogram' json "$dir/json" "len(v[0]['wait_histogram']) > 0 and
        0 < sum(c for f, c in v[0]['wait_histogram']) <= 100 and
        0 <= v[0]['wait_p50_ns'] <= v[0]['wait_p99_ns'] and v[1]['wait_p50_ns'] is None"
    check 'stat --json: processes' json "$dir/json" "len(v[0]['processes']) == 1 and
        v[0]['processes'][0]['pid'] == $! and v[0]['processes'][0]['command'] == 'shmq' and
        v[0]['processes'][0]['sleeping_consumers'] == 1"
    expect 'stat --processes' 0 '*' '' "$stat" --processes "$q"
    check 'shows who is attached' await shows_a_sleeper $!
    expect 'stat --histogram' 0 '*' '' "$stat" --histogram "$q"
    check 'has a bar' grep -qE '^ +[0-9.]+[num]?s? to +[0-9.]+[num]?s +[0-9]+  #+$' "$dir/out"
    expect 'stat --prometheus' 0 '*' '' "$stat" --prometheus "$q"
    check 'has the counter' grep -qx "shmq_put_messages_total{queue=\"$q\"} 100" "$dir/out"
    check 'has no line of another form' [ "$(grep -cvE \
        '^(# (HELP|TYPE) shmq_[a-z_]+ .+|shmq_[a-z_]+\{queue="[^"]+"(,(le|group|reason)="[^"]*")*\} [0-9.]+)$' \
        "$dir/out")" -eq 0 ]
    check 'has a whole histogram' grep -q "^shmq_wait_seconds_bucket.*le=\"+Inf\"} [1-9]" "$dir/out"
    test_stat_stopped $!
    kill -TERM $!
    ended $! 1
    "$shmq" rm "$q"
}

# A holder that is stopped does not hold up anybody who only looks.
test_stat_stopped() {
    kill -STOP "$1"
    await grep -q '^State:	T' "/proc/$1/status"
    for form in '' --json --processes --histogram --prometheus; do
        expect "stat $form of a queue whose holder is stopped" 0 '*' '' \
            "$stat" $form "$q"
    done
    check 'it still shows as attached' has "$q" attached 1
    kill -CONT "$1"
}

test_stat_changes() {
    local pid

    queue comes
    "$stat" --json 0.05 >"$dir/json" 2>/dev/null &
    pid=$!
    await grep -q "\"$q\"" "$dir/json"
    "$shmq" create "$q.new"
    check 'stat of all picks up a new queue' await grep -q "\"$q.new\"" "$dir/json"
    "$shmq" rm "$q.new"
    kill -TERM $pid
    wait $pid
    check 'stat ends at SIGTERM' [ $? -le 3 ]
    "$stat" "$q" 0.05 >"$dir/out" 2>"$dir/err" &
    pid=$!
    await grep -q "^$q" "$dir/out"
    kill -TERM $pid
    check 'stat of one ends well at SIGTERM' ended $pid 0
    "$stat" "$q" 0.05 >"$dir/out" 2>"$dir/err" &
    pid=$!
    await grep -q "^$q" "$dir/out"
    "$shmq" rm "$q"
    check 'stat ends when its queue is removed' ended $pid 3
    check 'and says so in one line' has_lines "$dir/err" 1
    check 'that names it' grep -q "^shmq-stat: $q: " "$dir/err"
    queue again
    "$shmq" create "$q.other"
    "$shmq" put "$q" x
    "$stat" --json "$q" "$q.other" 0.05 >"$dir/json" 2>/dev/null &
    pid=$!
    await grep -q "\"$q\"" "$dir/json"
    "$shmq" rm "$q"
    "$shmq" create "$q"
    check 'stat goes on with a queue made anew' await \
        grep -qE "\"$q\",\"put_count\":0,.*\"rates\":null" "$dir/json"
    kill -TERM $pid
    wait $pid
    "$shmq" rm "$q" "$q.other"
}

# Another user sees the queues but may not open them.
test_permission() {
    local nobody=(setpriv --reuid=65534 --clear-groups)

    if ! "${nobody[@]}" true 2>/dev/null; then
        echo '# permissions are not tested: needs root and setpriv'
        return
    fi
    queue private
    "$shmq" create "$q.public" --mode 0644
    "$shmq" put "$q.public" x
    "${nobody[@]}" "$stat" "$q" "$q.public" 0.02 3 >"$dir/out" 2>"$dir/err"
    report 'stat with a queue that may not be read exits 3' $(($? != 3))
    check 'says so once' has_lines "$dir/err" 1
    check 'naming it' grep -q "^shmq-stat: $q: " "$dir/err"
    check 'shows the other one' [ "$(grep -c "^$q.public " "$dir/out")" -eq 3 ]
    expect_as_nobody 'peek needs only permission to read' 0 peek "$q.public"
    expect_as_nobody 'get needs more' 3 get "$q.public"
    expect_as_nobody 'peek needs that' 3 peek "$q"
    "${nobody[@]}" "$shmq" ls -l >"$dir/out" 2>"$dir/err"
    report 'ls -l with a queue that may not be read exits 3' $(($? != 3))
    check 'shows mode and owner of it' \
        grep -qE "^0600  $(id -un) +- +- +- +-  $q\$" "$dir/out"
    "$shmq" rm "$q" "$q.public"
}

expect_as_nobody() {
    timeout 30 "${nobody[@]}" "$shmq" "$3" "$4" >/dev/null 2>&1
    report "$1" $(($? != $2))
}

# --- the end -------------------------------------------------------------------

run_tests test_command_line test_create test_ls test_rm test_put_get test_bytes test_lines \
    test_many_readers test_json test_full test_wait test_killed test_output test_stat \
    test_stat_forms test_stat_changes test_permission
