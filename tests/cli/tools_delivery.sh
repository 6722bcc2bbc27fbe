#!/bin/bash
#
# tools_delivery.sh - tests of what the commands shmq and shmq-stat do about
# delivery: what a message has, leases, groups, policies, dead letters.
#
# Usage: tests/cli/tools_delivery.sh [BUILD-DIRECTORY [FUNCTION | --list]]

. "$(dirname "$0")/tools_lib.sh"

# in_group QUEUE GROUP MEMBER: a figure of a group.
in_group() {
    "$shmq" groups --json "$1" | grep -F "{\"group\":\"$2\"," |
        sed -n "s/.*\"$3\":\([0-9a-z]*\).*/\1/p"
}

# group_has QUEUE GROUP MEMBER VALUE: is it just that?
group_has() {
    [ "$(in_group "$1" "$2" "$3")" = "$4" ]
}

# browsed EXPRESSION [OPTION...]: does it hold for the messages of $q?
browsed() {
    local expression=$1

    shift
    "$shmq" browse --json "$q" "$@" >"$dir/json"
    json "$dir/json" "$expression"
}

# --- create --------------------------------------------------------------------

test_create() {
    local bad

    q=$self.create
    for bad in '--order random' '--groups 0' '--groups 65' '--groups some' '--pending 0' \
        '--pending 4294967296' '--compress 0' '--compress 1X' '--lease 0' '--lease soon' \
        '--max-attempts -1' '--max-attempts 4294967296' '--retry often' '--retry-first x' \
        '--retry-most 0' '--retry-factor 0' '--retry-factor two' '--retry-jitter 1.5' \
        '--retry-jitter -1' '--lag maybe'; do
        expect "create $bad" 2 '' "${bad% *}" "$shmq" create "$q" --topic $bad
    done
    expect 'create --groups without --topic' 2 '' '--topic' "$shmq" create "$q" --groups 3
    expect 'create with a dead-letter queue that has no name' 2 '' '--dead-letter' \
        "$shmq" create "$q" --dead-letter 'a/b'
    check 'nothing was created by these' [ ! -e "/dev/shm/shmq.$q" ]
    expect 'create with all there is' 0 '' '' "$shmq" create "$q" --order priority --pending 99 \
        --lease 1m --max-attempts 4 --retry exponential --retry-first 250ms --retry-most 30s \
        --retry-factor 1.5 --retry-jitter 0.1 --lag drop --dead-letter other \
        --dead-letter-ttl 7d --dead-letter-expired
    expect 'policy shows it' 0 '*' '' "$shmq" policy "$q"
    check 'as it was given' cmp "$dir/out" - <<'EOF'
lease                1m
max-attempts         4
retry                exponential
retry-first          250ms
retry-most           30s
retry-factor         1.5
retry-jitter         0.1
dead-letter          other
dead-letter-ttl      7d
dead-letter-expired  yes
lag                  drop
EOF
    "$shmq" policy "$q" --json >"$dir/json"
    check 'policy --json' json "$dir/json" "v == [{'lease_ns': 60 * 10**9, 'max_attempts': 4,
        'retry': 'exponential', 'retry_first_ns': 250 * 10**6, 'retry_greatest_ns': 30 * 10**9,
        'retry_factor': 1.5, 'retry_jitter': 0.1, 'dead_letter': 'other',
        'dead_letter_ttl_ns': 604800000000000, 'dead_letter_expired': True, 'lag': 'drop'}]"
    "$shmq" rm "$q"
}

# --- put -----------------------------------------------------------------------

test_put() {
    local bad

    queue put
    for bad in '-p high' '-p 2147483648' '-d soon' '--at noon' '--at 2026-02-30' \
        '--at 2026-11-23T25:00' '--at 2026-11-23T10:00+1' '--ttl 0' '-t ab' '-t 4294967296' \
        '-H =v' '-H novalue' '--correlation -1'; do
        expect "put $bad" 2 '' "put: " "$shmq" put "$q" x $bad
    done
    expect 'put with an empty key' 2 '' '--key' "$shmq" put "$q" x -k ''
    expect 'put with --delay and --at' 2 '' contradict "$shmq" put "$q" x -d 1s --at 4000000000
    check 'none of these put anything' has "$q" put_count 0
    expect 'put --id' 0 '1\n' '' "$shmq" put "$q" --id plain
    expect 'put with all there is' 0 '2\n' '' "$shmq" put "$q" --id 'full ä' -p -7 --ttl 1h \
        -k 'key 1' -t S -H a=1 -H b=x=y -H c= --correlation 18446744073709551615
    printf 'b\377' | "$shmq" put "$q" -t 7 -k "$(printf '\376')"
    expect 'put --lines --id' 0 '4\n5\n' '' input 'a\nb\n' "$shmq" put --lines --id "$q" -t 9
    "$shmq" browse --json "$q" >"$dir/browsed"
    check 'browse --json' json "$dir/browsed" "[m['id'] for m in v] == [1, 2, 3, 4, 5] and
        all(m['state'] == 'waiting' and m['attempts'] == 0 for m in v)"
    in_time "$shmq" get "$q" -n 5 --json >"$dir/json"
    report 'get --json' $?
    check 'a plain message' json "$dir/json" "(lambda m: m['id'] == 1 and m['message'] == 'plain'
        and m['type'] is None and m['key'] is None and m['headers'] == {} and m['priority'] == 0
        and m['correlation'] == 0 and m['attempts'] == 1 and 'ttl_ns' not in m)(v[0])"
    check 'a full message' json "$dir/json" "(lambda m: m['message'] == 'full ä' and
        m['type'] == 'S' and m['key'] == 'key 1' and m['priority'] == -7 and
        m['headers'] == {'a': '1', 'b': 'x=y', 'c': ''} and
        m['correlation'] == 2**64 - 1 and 3500e9 < m['ttl_ns'] <= 3600e9)(v[1])"
    check 'bytes that are no text' json "$dir/json" "(lambda m: m['type'] == 7 and
        base64.b64decode(m['base64']) == b'b\xff' and 'message' not in m and
        base64.b64decode(m['key_base64']) == b'\xfe' and 'key' not in m)(v[2])"
    check 'each line has what was given' json "$dir/json" "[m['type'] for m in v[3:]] == [9, 9]"
    check 'browse showed the same' json "$dir/browsed" "[(m['type'], m['headers'], m['priority'],
        m['correlation'], m['length']) for m in v] == [(m['type'], m['headers'], m['priority'],
        m['correlation'], m['length']) for m in map(json.loads, open('$dir/json'))]"
    "$shmq" rm "$q"
    expect 'put --create with a header' 0 '' '' "$shmq" put --create "$q" x -H a=b
    expect 'get of it' 0 'x\n' '' "$shmq" get "$q"
    "$shmq" rm "$q"
}

test_times() {
    local now

    queue times
    "$shmq" put "$q" late -d 1h
    "$shmq" put "$q" later -d 1.5h
    expect 'a delayed message is not there' 1 '' '' "$shmq" get "$q" --timeout 0
    check 'but counted' group_has "$q" '' delayed 2
    check 'browse shows it so' browsed "[m['state'] for m in v] == ['delayed'] * 2 and
        0 < v[0]['delay_ns'] <= 3600e9 < v[1]['delay_ns'] <= 5400e9"
    check 'browse --state' browsed 'len(v) == 2' --state delayed,dead
    expect 'browse --state of others' 1 '' '' "$shmq" browse "$q" --state waiting,leased
    expect 'browse --state of none' 2 '' '--state' "$shmq" browse "$q" --state asleep
    "$shmq" put "$q" soon -d 0.5
    expect 'a delay ends' 0 'soon\n' '' "$shmq" get "$q" --timeout 20
    now=$(date +%s)
    "$shmq" put "$q" past --at $((now - 5))
    expect 'put --at a time that is over' 0 'past\n' '' "$shmq" get "$q" --timeout 20
    "$shmq" put "$q" soon --at "$(date -u -d "@$((now + 1))" +%Y-%m-%dT%H:%M:%S.5Z)"
    "$shmq" put "$q" local --at "$(date -d "@$((now + 7200))" +%Y-%m-%dT%H:%M:%S)"
    "$shmq" put "$q" zone --at "$(TZ=UTC-3 date -d "@$((now + 7200))" +%Y-%m-%dT%H:%M:%S%:z)"
    "$shmq" put "$q" day --at "$(TZ=UTC date -d "@$((now + 86400))" +%Y-%m-%dT%H%:z |
        sed 's/T..+/T00:00+/')"
    expect 'put --at 1.5 seconds from now or less' 0 'soon\n' '' "$shmq" get "$q" --timeout 20
    check 'local time and one of another zone' browsed "(lambda d: 7000e9 < d['local'] < 7201e9 and
        7000e9 < d['zone'] < 7201e9 and 0 <= d.get('day', 1) < 86401e9)(
        {m['message']: m['delay_ns'] for m in v})" --state delayed
    "$shmq" purge "$q" >/dev/null
    "$shmq" put "$q" brief --ttl 1ms
    sleep 0.05 # longer than a tick of the coarse clock
    expect 'an expired message does not come' 1 '' '' "$shmq" get "$q" --timeout 0.1
    check 'and is counted' group_has "$q" '' expired_count 1
    "$shmq" rm "$q"
}

test_unique() {
    queue unique --unique
    expect 'put into a unique queue' 0 '1\n' '' "$shmq" put --id "$q" one -k a
    expect 'another key' 0 '' '' "$shmq" put "$q" two -k b
    expect 'the same key' 1 '' 'its id is 1' "$shmq" put "$q" three -k a
    expect 'no key' 2 '' "put $q" "$shmq" put "$q" four
    expect 'lines with one key' 1 '' 'after 1 messages' \
        input 'x\ny\n' "$shmq" put --lines "$q" -k c
    expect 'what came of it' 0 'one\ntwo\nx\n' '' "$shmq" get "$q" --follow --timeout 0
    expect 'the key is free again' 0 '' '' "$shmq" put "$q" five -k a
    "$shmq" rm "$q"
}

test_order() {
    queue order --order priority
    for i in 1 5 3 5; do
        "$shmq" put "$q" "$i.$((++n))" -p $i
    done
    expect 'peek by priority' 0 '5.2\n5.4\n3.3\n' '' "$shmq" peek "$q" -n 3
    expect 'by priority, equals as they were put' 0 '5.2\n5.4\n3.3\n1.1\n' '' \
        "$shmq" get "$q" -n 4 --timeout 0
    "$shmq" rm "$q"
    queue order --order lifo
    input '1\n2\n3\n' "$shmq" put --lines "$q"
    expect 'the last one first' 0 '3\n2\n' '' "$shmq" get "$q" -n 2 --timeout 0
    "$shmq" put "$q" 4
    expect 'peek the last one first' 0 '4\n1\n' '' "$shmq" peek "$q" --all
    expect 'peek --json' 0 '*' '' "$shmq" peek "$q" --json
    check 'says all' json "$dir/out" "v[0]['id'] == 4 and v[0]['state'] == 'waiting'"
    "$shmq" rm "$q"
}

# What some other way than a put and a get has left is seen by peek as well.
test_peek() {
    queue peek --mode 0644
    input 'a\nb\nc\nd\n' "$shmq" put --lines "$q"
    "$shmq" put "$q" late -d 1h
    if [ -w /dev/full ]; then
        expect 'a message that comes back' 3 '' 'went back' full_device get --safe "$q"
        expect 'peek shows it' 0 'a\n' '' "$shmq" peek "$q"
    fi
    expect 'peek does not show what is delayed' 0 'a\nb\nc\nd\n' '' "$shmq" peek --all "$q"
    expect 'get all of these' 0 'a\nb\nc\nd\n' '' "$shmq" get --safe "$q" --follow --timeout 0
    expect 'peek at nothing that waits' 1 '' '' "$shmq" peek "$q"
    check 'though something is delayed' group_has "$q" '' delayed 1
    "$shmq" put "$q" fresh
    if setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
        expect 'peek without permission to write' 0 '*' '' \
            setpriv --reuid=65534 --clear-groups "$shmq" peek "$q"
        check 'shows what it can' grep -qx fresh "$dir/out"
    fi
    "$shmq" rm "$q"
}

test_compress() {
    q=$self.compress
    "$shmq" rm -f "$q"
    if ! "$shmq" create "$q" --compress 1K 2>"$dir/err"; then
        expect 'create --compress without liblz4' 3 '' "create $q" "$shmq" create "$q" --compress 1K
        return
    fi
    seq 10000 | "$shmq" put "$q"
    check 'put compresses' [ "$(figure "$q" used_bytes)" -lt 40000 ]
    "$shmq" peek --raw "$q" | cmp - <(seq 10000)
    report 'peek shows what was put' $?
    "$shmq" find --raw "$q" 1 | cmp - <(seq 10000)
    report 'find shows what was put' $?
    in_time "$shmq" get --raw "$q" | cmp - <(seq 10000)
    report 'get hands out what was put' $?
    "$shmq" rm "$q"
}

# --- get on lease --------------------------------------------------------------

test_safe() {
    local pid

    queue safe
    seq 1000 | "$shmq" put --lines "$q"
    in_time "$shmq" get --safe "$q" -n 1000 | cmp - <(seq 1000)
    report 'get --safe' $?
    check 'finished them all' group_has "$q" '' acked_count 1000
    check 'nothing is leased' group_has "$q" '' backlog 0
    if [ -w /dev/full ]; then
        input 'a\nb\n' "$shmq" put --lines "$q"
        expect 'get --safe onto a full device' 3 '' 'went back into the queue' \
            full_device get --safe "$q" -n 2
        expect 'loses nothing' 0 'a\nb\n' '' "$shmq" get "$q" -n 2 --timeout 0
    fi
    # A reader that takes nothing: more than a pipe holds cannot be written.
    for i in 1 2 3 4; do
        head -c 100000 /dev/zero | tr '\0' "$i" | "$shmq" put "$q"
    done
    mkfifo "$dir/pipe"
    "$shmq" get --safe --follow "$q" >"$dir/pipe" &
    pid=$!
    exec 3<"$dir/pipe"
    check 'get --safe leases what it writes' await group_has "$q" '' leased 1
    kill -KILL $pid
    wait $pid 2>/dev/null
    exec 3<&-
    rm "$dir/pipe"
    expect 'one that was killed loses nothing' 0 '*' '' "$shmq" get "$q" -n 4 --timeout 20
    check 'all of it came' [ "$(tr -d '\n' <"$dir/out" | wc -c)" -eq 400000 ]
    check 'as it was put' cmp <(cut -c 1 "$dir/out" | sort) <(seq 4)
    "$shmq" rm "$q"
}

full_device() {
    in_time "$shmq" "$@" >/dev/full
}

test_lease_over() {
    local pid

    queue over --lease 100ms --capacity 4M
    head -c 300000 /dev/zero | tr '\0' x | "$shmq" put "$q"
    mkfifo "$dir/pipe"
    "$shmq" get --safe "$q" >"$dir/pipe" 2>"$dir/err" &
    pid=$!
    exec 3<"$dir/pipe"
    await group_has "$q" '' leased 1
    in_time "$shmq" get "$q" --timeout 20 >"$dir/got"
    report 'another gets what was not printed in time' $?
    check 'all of it' [ "$(wc -c <"$dir/got")" -eq 300001 ]
    check 'which is counted' group_has "$q" '' lost_lease_count 1
    cat <&3 >/dev/null
    check 'the first one ends with a failure' ended $pid 3
    exec 3<&-
    rm "$dir/pipe"
    check 'reports that in one line' has_lines "$dir/err" 1
    check 'and gives advice' grep -q "^shmq: get $q: .*--lease" "$dir/err"
    "$shmq" rm "$q"
}

# --- by id ---------------------------------------------------------------------

test_by_id() {
    queue byid
    input 'one\ntwo\nthree\n' "$shmq" put --lines "$q" -k key
    expect 'find' 0 'two\n' '' "$shmq" find "$q" 2
    expect 'find --raw' 0 'two' '' "$shmq" find --raw "$q" 2
    expect 'find --json' 0 '*' '' "$shmq" find --json "$q" 2
    check 'says all' json "$dir/out" "v[0]['id'] == 2 and v[0]['message'] == 'two' and
        v[0]['key'] == 'key' and v[0]['state'] == 'waiting'"
    expect 'find what is not there' 1 '' 'no such message' "$shmq" find "$q" 4
    expect 'find 0' 2 '' "'0'" "$shmq" find "$q" 0
    expect 'find --json --raw' 2 '' '--json' "$shmq" find "$q" 1 --json --raw
    expect 'update' 0 '' '' "$shmq" update "$q" 2 TWO
    expect 'update from standard input' 0 '' '' input 'a longer text' "$shmq" update "$q" 1
    expect 'update what is not there' 1 '' 'no such message' "$shmq" update "$q" 9 x
    expect 'update without a number' 2 '' "'x'" "$shmq" update "$q" x y
    expect 'remove' 0 '' '' "$shmq" remove "$q" 3
    expect 'remove it again' 1 '' 'no such message' "$shmq" remove "$q" 3
    expect 'remove several, of which one is gone' 1 '' 'no such message' \
        "$shmq" remove "$q" 3 2
    expect 'what is left' 0 'a longer text\n' '' "$shmq" get "$q" --follow --timeout 0
    expect 'browse of nothing' 1 '' '' "$shmq" browse "$q"
    head -c 200000 /dev/zero | "$shmq" put "$q"
    check 'find of a long one' [ "$("$shmq" find --raw "$q" 4 | wc -c)" -eq 200000 ]
    printf 'tab\tescape\033[31m ümlaut \302\233 and more than there is room for in a row' |
        "$shmq" put "$q" -k "$(printf 'a key\nof two lines')" -t x
    expect 'browse as a table' 0 '*' '' "$shmq" browse "$q"
    check 'has a header and a row each' has_lines "$dir/out" 3
    check 'shows what there is' grep -qE '^ +5 waiting +0 +0 +[0-9.]+[mun]?s +[0-9]+ +x a key\.of two +\.\.\. tab' \
        "$dir/out"
    check 'without control characters' grep -q 'tab\.escape\.\[31m ümlaut \. and' "$dir/out"
    expect 'browse -n' 0 '*' '' "$shmq" browse "$q" -n 1
    check 'stops there' has_lines "$dir/out" 2
    "$shmq" rm "$q"
}

# --- groups --------------------------------------------------------------------

test_groups() {
    q=$self.topic
    "$shmq" rm -f "$q"
    expect 'create --topic' 0 '' '' "$shmq" create "$q" --topic --groups 3 --lease 7s
    expect 'groups of a new topic' 0 '' '' "$shmq" groups "$q"
    "$shmq" put "$q" early
    expect 'get without a group' 2 '' '--group' "$shmq" get "$q" --timeout 0
    expect 'peek without a group' 2 '' 'a group' "$shmq" peek "$q"
    expect 'subscribe' 0 '' '' "$shmq" subscribe "$q" first
    expect 'subscribe again' 3 '' '--exist-ok' "$shmq" subscribe "$q" first
    expect 'subscribe --exist-ok' 0 '' '' "$shmq" subscribe "$q" first --exist-ok
    expect 'subscribe --from earliest' 0 '' '' "$shmq" subscribe "$q" second --from earliest
    expect 'subscribe --from nowhere' 2 '' '--from' "$shmq" subscribe "$q" bad --from nowhere
    expect 'subscribe with a wrong name' 2 '' "subscribe $q a/b" "$shmq" subscribe "$q" a/b
    "$shmq" put "$q" middle
    expect 'get --group --from makes a group' 1 '' '' \
        "$shmq" get "$q" --group third --from latest --timeout 0
    expect 'one group too many' 3 '' 'as many groups' "$shmq" subscribe "$q" fourth
    "$shmq" put "$q" late
    expect 'a group sees what came after its start' 0 'middle\nlate\n' '' \
        "$shmq" get "$q" --group first -n 9 --timeout 0
    expect 'a group from the earliest' 0 'early\nmiddle\nlate\n' '' \
        "$shmq" get "$q" --group second -n 9 --timeout 0
    expect 'peek --group' 0 'late\n' '' "$shmq" peek "$q" --group third
    expect 'peek --group of none' 3 '' "peek $q none" "$shmq" peek "$q" --group none
    expect 'find --group' 0 'late\n' '' "$shmq" find "$q" 3 --group third
    "$shmq" groups "$q" >"$dir/out"
    check 'groups: a header and a row each' has_lines "$dir/out" 4
    check 'groups: its figures' grep -qE '^third +1 +1 +0 +0 +0 +0 +[0-9.]+[mun]?s +0 +no$' \
        "$dir/out"
    "$shmq" groups --json "$q" >"$dir/json"
    check 'groups --json' json "$dir/json" "sorted(g['group'] for g in v) == ['first', 'second',
        'third'] and [g['acked_count'] for g in v if g['group'] == 'second'] == [3] and
        set(v[0]['dead_by_reason']) == set('''unknown validation processing timeout dependency
        attempts expired application'''.split())"
    test_places
    expect 'unsubscribe' 0 '' '' "$shmq" unsubscribe "$q" first
    expect 'unsubscribe again' 3 '' 'no group' "$shmq" unsubscribe "$q" first
    expect 'purge --group' 0 '1\n' '' "$shmq" purge "$q" --group third
    check 'has emptied it' group_has "$q" third backlog 0
    expect 'get --from without --group' 2 '' '--group' "$shmq" get "$q" --from earliest
    "$shmq" rm "$q"
    queue nogroups
    expect 'subscribe to what is no topic' 2 '' "$q" "$shmq" subscribe "$q" g
    expect 'get --group of what is no topic' 2 '' 'no topic' "$shmq" get "$q" --group g
    expect 'pause of a group of what is no topic' 2 '' 'no topic' "$shmq" pause "$q" g
    expect 'groups of what is no topic' 0 '*' '' "$shmq" groups "$q"
    check 'is one without a name' grep -qE '^- +0 ' "$dir/out"
    "$shmq" rm "$q"
}

# Two who compete in a group, one of whom is killed at work.
test_members() {
    local one two

    q=$self.members
    "$shmq" create "$q" --topic --capacity 64K
    "$shmq" subscribe "$q" g
    "$shmq" get "$q" --group g --follow >"$dir/one" &
    one=$!
    "$shmq" get "$q" --group g --follow >"$dir/two" &
    two=$!
    check 'both are members' await group_has "$q" g members 2
    seq 20000 | in_time "$shmq" put --lines "$q" --timeout 20 &
    await [ -s "$dir/one" ]
    kill -KILL $one
    wait $one 2>/dev/null
    check 'put had room for all' ended $! 0
    check 'all is finished' await group_has "$q" g backlog 0
    kill -TERM $two
    check 'the other one ends' ended $two 1
    sort -nu "$dir/one" "$dir/two" | cmp - <(seq 20000)
    report 'nothing is lost' $?
    check 'hardly anything came twice' [ "$(cat "$dir/one" "$dir/two" | wc -l)" -le 20064 ]
    "$shmq" rm "$q"
}

# Of the topic $q with three messages and the groups of test_groups.
test_places() {
    local place

    "$shmq" seek "$q" second earliest
    expect 'seek earliest' 0 'early\nmiddle\nlate\n' '' \
        "$shmq" get "$q" --group second -n 9 --timeout 0
    "$shmq" seek "$q" second 2
    expect 'seek to an id' 0 'middle\nlate\n' '' "$shmq" get "$q" --group second -n 9 --timeout 0
    "$shmq" seek "$q" second 1h
    expect 'seek to an hour ago' 0 'early\nmiddle\nlate\n' '' \
        "$shmq" get "$q" --group second -n 9 --timeout 0
    "$shmq" seek "$q" second "$(date -u -d '1 hour' +%Y-%m-%dT%H:%M:%SZ)"
    expect 'seek to a time to come' 1 '' '' "$shmq" get "$q" --group second --timeout 0
    expect 'seek nowhere' 2 '' "'there'" "$shmq" seek "$q" second there
    expect 'seek 1.5' 2 '' "'1.5'" "$shmq" seek "$q" second 1.5
    expect 'seek of no group' 3 '' "seek $q none" "$shmq" seek "$q" none latest
    expect 'part' 0 '' '' "$shmq" part "$q"
    "$shmq" seek "$q" second part
    expect 'nothing is in a new part' 1 '' '' "$shmq" get "$q" --group second --timeout 0
    "$shmq" put "$q" apart
    "$shmq" seek "$q" second earliest
    "$shmq" seek "$q" second part
    expect 'what is put then is' 0 'apart\n' '' "$shmq" get "$q" --group second -n 9 --timeout 0
    "$shmq" seek "$q" third latest
    expect 'seek latest' 1 '' '' "$shmq" get "$q" --group third --timeout 0
    "$shmq" seek "$q" third 4
}

test_filters() {
    q=$self.filters
    "$shmq" rm -f "$q"
    "$shmq" create "$q" --topic --lease 7s --max-attempts 3
    "$shmq" subscribe "$q" type --filter-type S
    "$shmq" subscribe "$q" key --filter-key 'user.*'
    "$shmq" subscribe "$q" header --filter-header level=error --lease 9s
    for bad in '--filter-type xyz' '--filter-header level'; do
        expect "subscribe $bad" 2 '' "${bad% *}" "$shmq" subscribe "$q" bad $bad
    done
    "$shmq" put "$q" 1 -t S -k user.1
    "$shmq" put "$q" 2 -t O -k admin.1 -H level=error
    "$shmq" put "$q" 3 -k user.2 -H level=info
    expect 'a filter by type' 0 '1\n' '' "$shmq" get "$q" --group type -n 9 --timeout 0
    expect 'a filter by key' 0 '1\n3\n' '' "$shmq" get "$q" --group key -n 9 --timeout 0
    expect 'a filter by header' 0 '2\n' '' "$shmq" get "$q" --group header -n 9 --timeout 0
    check 'what was passed over is counted' group_has "$q" header filtered_count 2
    "$shmq" policy "$q" header >"$dir/out"
    check 'a group has the policy that was given' grep -qE '^lease +9s$' "$dir/out"
    check 'and the topic'"'"'s for the rest' grep -qE '^max-attempts +3$' "$dir/out"
    expect 'policy of a topic' 0 '*' '' "$shmq" policy "$q"
    check 'is that of groups that bring none' grep -qE '^lease +7s$' "$dir/out"
    expect 'policy of a topic cannot be changed' 2 '' 'a group' "$shmq" policy "$q" --lease 1s
    expect 'policy with a change' 0 '' '' "$shmq" policy "$q" key --lease 90s --retry linear
    "$shmq" policy "$q" key >"$dir/out"
    check 'changes that' grep -qE '^lease +90s$' "$dir/out"
    check 'and that' grep -qE '^retry +linear$' "$dir/out"
    check 'and nothing else' grep -qE '^max-attempts +3$' "$dir/out"
    expect 'policy --json with a change' 2 '' '--json' "$shmq" policy "$q" key --json --lease 1s
    expect 'policy of no group' 3 '' "policy $q none" "$shmq" policy "$q" none
    "$shmq" rm "$q"
}

test_pause() {
    queue pause
    expect 'pause' 0 '' '' "$shmq" pause "$q"
    "$shmq" put "$q" x
    expect 'a paused queue hands out nothing' 1 '' '' "$shmq" get "$q" --timeout 0
    "$stat" "$q" >"$dir/out"
    check 'stat says so' grep -q '^  delivery: .*, paused$' "$dir/out"
    "$shmq" get "$q" --timeout 20 >"$dir/got" &
    await has "$q" sleeping_consumers 1
    expect 'resume' 0 '' '' "$shmq" resume "$q"
    check 'wakes who waits' ended $! 0
    check 'with the message' grep -qx x "$dir/got"
    "$shmq" rm "$q"
    "$shmq" create "$q" --topic
    "$shmq" subscribe "$q" g
    expect 'pause of a topic without a group' 2 '' 'a group' "$shmq" pause "$q"
    expect 'pause of a group' 0 '' '' "$shmq" pause "$q" g
    check 'shows' group_has "$q" g paused true
    expect 'pause of no group' 3 '' "pause $q none" "$shmq" pause "$q" none
    "$shmq" rm "$q"
}

# --- dead letters --------------------------------------------------------------

test_dead() {
    queue dead
    parked=$q
    "$shmq" policy "$q" --dead-letter-expired
    "$shmq" put "$q" short -k k --ttl 1ms -H a=b
    sleep 0.05
    expect 'an expired message' 1 '' '' "$shmq" get "$q" --timeout 0.1
    check 'is parked' await group_has "$q" '' dead 1
    check 'browse shows it' browsed "v[0]['state'] == 'dead' and v[0]['message'] == 'short'"
    "$stat" "$q" >"$dir/out"
    check 'stat counts it by reason' \
        grep -q '^  delivery: .* dead 1, .*; dead letters: expired 1$' "$dir/out"
    "$stat" --dead "$q" >"$dir/out"
    check 'stat --dead shows it by age' grep -qE "^$q +expired +1 +1 +0 +0 +0\$" "$dir/out"
    check 'browse --json tells why and since when' \
        browsed "v[0]['reason'] == 6 and 0 <= v[0]['dead_for_ns'] < 60e9"
    expect 'redrive of another' 1 '' 'no such message' "$shmq" redrive "$q" --id 77
    expect 'redrive' 0 '1\n' '' "$shmq" redrive "$q"
    check 'puts it back' group_has "$q" '' dead 0
    test_sent "$parked"
    "$shmq" rm "$parked"
}

test_priorities() {
    queue priorities --order priority
    input 'a\nb\n' "$shmq" put --lines "$q" -p 7
    "$shmq" put "$q" later -p -2147483648 -d 1h
    "$shmq" put "$q" no
    "$shmq" put "$q" short -p 7 --ttl 1ms
    "$shmq" policy "$q" --dead-letter-expired
    sleep 0.05
    "$shmq" put "$q" first -p 9
    expect 'the highest first' 0 'first\n' '' "$shmq" get "$q"
    expect 'the next is rejected' 0 '' '' "$shmq" work "$q" --once -- sh -c 'exit 65'
    "$stat" --priorities "$q" >"$dir/out"
    check 'stat --priorities counts them' cmp <(sed 's/  */ /g' "$dir/out") - <<EOF
QUEUE GROUP PRIORITY WAITING DELAYED LEASED DEAD
$q - 7 1 0 0 2
$q - 0 1 0 0 0
$q - -2147483648 0 1 0 0
EOF
    "$stat" --priorities --json "$q" >"$dir/json"
    check 'stat --priorities --json' json "$dir/json" "v[0]['priorities'][0] == {'group': '',
        'priority': 7, 'waiting': 1, 'delayed': 0, 'leased': 0, 'dead': 2} and
        len(v[0]['priorities']) == 3"
    "$stat" --priorities --dead --prometheus "$q" >"$dir/out"
    check 'stat --priorities --prometheus' grep -qxF \
        "shmq_priority_messages{queue=\"$q\",group=\"\",priority=\"7\",state=\"dead\"} 2" "$dir/out"
    expect 'stat --priorities --dead' 2 '' '--dead' "$stat" --dead --priorities "$q"
    expect 'stat --priorities --processes' 2 '' '--priorities' "$stat" --priorities --processes "$q"
    "$shmq" rm "$q"
    "$shmq" create "$q" --topic
    "$shmq" subscribe "$q" one
    "$shmq" subscribe "$q" two
    seq 3000 | "$shmq" put --lines "$q" -p 1
    "$stat" --priorities "$q" >"$dir/out"
    check 'stat --priorities of a topic, by group' cmp <(sed 's/  */ /g' "$dir/out") - <<EOF
QUEUE GROUP PRIORITY WAITING DELAYED LEASED DEAD
$q one 1 3000 0 0 0
$q two 1 3000 0 0 0
EOF
    "$shmq" rm "$q"
}

test_attempts() {
    [ -w /dev/full ] || return 0
    queue attempts --max-attempts 2
    input 'a\nb\n' "$shmq" put --lines "$q"
    full_device get --safe "$q" -n 2 2>/dev/null
    check 'a message that came back waits' group_has "$q" '' waiting 2
    full_device get --safe "$q" -n 2 2>/dev/null
    check 'until it is out of attempts' group_has "$q" '' dead 2
    check 'browse shows how many it had' browsed "[m['attempts'] for m in v] == [2, 2]" --state dead
    "$stat" "$q" >"$dir/out"
    check 'stat shows why' grep -q ' redelivered 2, .*; dead letters: attempts 2$' "$dir/out"
    expect 'redrive --id' 0 '1\n' '' "$shmq" redrive "$q" --id 2
    expect 'puts back that one' 0 'b\n' '' "$shmq" get "$q" -n 2 --timeout 0
    "$shmq" rm "$q"
}

# Dead letters that are sent to another queue.
test_sent() {
    local from=$1

    queue letters
    "$shmq" purge "$from" >/dev/null
    "$shmq" policy "$from" --dead-letter "$q" --dead-letter-expired
    "$shmq" put "$from" short -k k --ttl 1ms -H a=b -t S
    sleep 0.05
    expect 'one that expired' 1 '' '' "$shmq" get "$from" --timeout 0.1
    check 'was sent' await has "$q" depth 1
    "$shmq" peek "$q" >"$dir/out"
    check 'as it was' grep -qx short "$dir/out"
    check 'with what is known of it' browsed "v[0]['key'] == 'k' and v[0]['type'] == 'S' and
        v[0]['headers']['a'] == 'b' and v[0]['headers']['shmq-queue'] == '$from' and
        'shmq-reason' in v[0]['headers']"
    "$stat" --dead "$q" >"$dir/out"
    check 'stat --dead shows it' grep -qE "^$q +expired +1 +1 +0 +0 +0\$" "$dir/out"
    "$stat" --dead --json "$q" >"$dir/json"
    check 'stat --dead --json' json "$dir/json" "v[0]['dead_letters'] == [{'reason': 'expired',
        'count': 1, 'under_1h': 1, 'under_6h': 0, 'under_24h': 0, 'older': 0}]"
    "$stat" --dead --prometheus "$q" >"$dir/out"
    check 'stat --dead --prometheus' grep -qx \
        "shmq_dead_letters{queue=\"$q\",reason=\"expired\",age=\"1h\"} 1" "$dir/out"
    expect 'stat --dead --histogram' 2 '' '--dead' "$stat" --dead --histogram "$q"
    expect 'redrive of what was sent' 0 '1\n' '' "$shmq" redrive "$q"
    check 'takes it from there' has "$q" depth 0
    check 'and puts it where it came from' has "$from" put_count 3
    "$shmq" rm "$q"
}

# --- shmq-stat -----------------------------------------------------------------

test_stat() {
    q=$self.stat
    "$shmq" create "$q" --topic
    "$shmq" subscribe "$q" a
    "$shmq" subscribe "$q" b
    input '1\n2\n3\n' "$shmq" put --lines "$q"
    "$shmq" get "$q" --group a -n 2 >/dev/null
    "$stat" "$q" >"$dir/out"
    check 'stat has a line for each group' has_lines "$dir/out" 4
    check 'with its figures' grep -qE \
        '^  group a: backlog 1, leased 0, delayed 0, dead 0, redelivered 0, oldest [0-9.]+[mun]?s, members 0$' \
        "$dir/out"
    "$stat" --json "$q" >"$dir/json"
    check 'stat --json' json "$dir/json" \
        "{g['group']: g['backlog'] for g in v[0]['groups']} == {'a': 1, 'b': 3}"
    "$stat" --prometheus "$q" >"$dir/out"
    check 'stat --prometheus' grep -qx \
        "shmq_group_backlog_messages{queue=\"$q\",group=\"b\"} 3" "$dir/out"
    check 'and by reason' grep -qx \
        "shmq_group_dead_letters_total{queue=\"$q\",group=\"b\",reason=\"attempts\"} 0" "$dir/out"
    "$shmq" get "$q" --group b --follow >"$dir/got" &
    check 'a member is counted' await group_has "$q" b members 1
    kill -TERM $!
    ended $! 1
    "$shmq" rm "$q"
}

run_tests test_create test_put test_times test_unique test_order test_peek test_compress \
    test_safe test_lease_over test_by_id test_groups test_members test_filters test_pause \
    test_dead test_priorities test_attempts test_stat
