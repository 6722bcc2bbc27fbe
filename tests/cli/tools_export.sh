#!/bin/bash
# tools_export.sh - tests of shmq export and import: bash tests/cli/tools_export.sh BUILD [FUNCTION | --list]
# shellcheck source=tests/cli/tools_lib.sh
. "$(dirname "$0")/tools_lib.sh"

# essence FILE: what it exports, less what no import keeps.
essence() {
    sed 's/"id":[0-9]*,//; s/"state":"[a-z]*",//; s/"put_time":"[^"]*",//; s/"attempts":[0-9]*,*//
         s/,"reason":[0-9]*//; s/"ttl_ns":[0-9]*/"ttl_ns":N/' "$1"
}

same_essence() {
    essence "$1" >"$dir/one"
    essence "$2" >"$dir/two"
    diff "$dir/one" "$dir/two" | sed 's/^/# /' && cmp -s "$dir/one" "$dir/two"
}

# export_to FILE QUEUE [OPTION...]
export_to() {
    local file=$1

    shift
    in_time "$shmq" export "$@" >"$file"
}

can_import() {
    ! "$shmq" import x /dev/null 2>&1 | grep -q 'without the library jansson'
}

# --- the command line ----------------------------------------------------------

test_command_line() {
    expect 'export --help' 0 '*' '' "$shmq" export --help
    check 'tells how to use it' grep -q '^Usage: shmq export' "$dir/out"
    expect 'export without a name' 2 '' 'name of a queue' "$shmq" export
    expect 'export of two' 2 '' 'name of a queue' "$shmq" export a b
    expect 'export with an unknown option' 2 '' "unknown option '--frob'" "$shmq" export x --frob
    expect 'export of what is not there' 3 '' "$self.none" "$shmq" export "$self.none"
    expect 'import --help' 0 '*' '' "$shmq" import --help
    check 'tells how to use it' grep -q '^Usage: shmq import' "$dir/out"
    expect 'import without a name' 2 '' 'name of a queue' "$shmq" import
    expect 'import of two files' 2 '' 'at most one file' "$shmq" import x a b
    expect 'import with an unknown option' 2 '' "unknown option '--frob'" "$shmq" import x --frob
    expect 'import --timeout soon' 2 '' '--timeout' "$shmq" import x --timeout soon
}

# --- export --------------------------------------------------------------------

test_states() {
    queue states --max-attempts 1 --lease 1h
    "$shmq" put "$q" dead
    "$shmq" put "$q" 'back "and\ forth' -k key -t S -H colour=blue -H 'of=a b' --correlation 18446744073709551615
    printf 'a\0b\377' | "$shmq" put "$q" -k "$(printf 'k\377')" -t 300
    "$shmq" put "$q" later -d 1h --ttl 2h
    "$shmq" put "$q" last --correlation 7
    "$shmq" work "$q" -n 1 --timeout 1 false 2>/dev/null
    check 'export' export_to "$dir/lines" "$q"
    check 'a line for each, in order' json "$dir/lines" '[m["id"] for m in v] == [1, 2, 3, 4, 5]'
    check 'their states' json "$dir/lines" \
        '[m["state"] for m in v] == ["dead", "waiting", "waiting", "delayed", "waiting"]'
    check 'why one is dead' json "$dir/lines" \
        'v[0]["reason"] == 5 and v[0]["attempts"] == 1 and "reason" not in v[1]'
    check 'all that goes along' json "$dir/lines" 'v[1]["key"] == "key" and v[1]["type"] == "S" and
        v[1]["headers"] == {"colour": "blue", "of": "a b"} and v[1]["text"] == "back \"and\\ forth" and
        v[1]["correlation"] == "18446744073709551615" and v[4]["correlation"] == 7'
    check 'what is no text is base64' json "$dir/lines" '"text" not in v[2] and
        base64.b64decode(v[2]["base64"]) == b"a\0b\377" and v[2]["type"] == 300 and
        base64.b64decode(v[2]["key_base64"]) == b"k\377"'
    check 'when, in UTC' json "$dir/lines" 'all(m["put_time"].endswith("Z") for m in v) and
        v[3]["due_time"] > v[3]["put_time"] and "due_time" not in v[4] and
        3600e9 < v[3]["ttl_ns"] <= 7200e9 and "ttl_ns" not in v[4]'
    check 'nothing was taken' has "$q" depth 4
    "$shmq" rm "$q"
    queue states
    expect 'of an empty queue nothing' 0 '' '' "$shmq" export "$q"
    check 'put' sh -c "printf 'a\\0b' | '$shmq' put '$q'"
    expect 'NUL is no text' 0 '*' '' "$shmq" export "$q"
    check 'but base64' grep -q '"base64":"YQBi"' "$dir/out"
    expect 'standard output that is full' 3 '' 'standard output' \
        sh -c '"$0" export "$1" >/dev/full' "$shmq" "$q"
    "$shmq" rm "$q"
}

test_order() {
    queue order --order priority --pending 600
    for ((i = 1; i <= 500; i++)); do echo "$i"; done | "$shmq" put "$q" --lines
    "$shmq" put "$q" first -p 5
    "$shmq" get "$q" -n 10 >"$dir/taken" # so all have come to the table
    for ((i = 1; i <= 20; i++)); do echo "more $i"; done | "$shmq" put "$q" --lines
    check 'of another order' export_to "$dir/lines" "$q"
    check 'all that are left, by their ids' json "$dir/lines" \
        '[m["id"] for m in v] == list(range(10, 501)) + list(range(502, 522))'
    "$shmq" rm "$q"
    queue order --retry-first 1h --max-attempts 3
    for ((i = 1; i <= 9; i++)); do echo "$i"; done | "$shmq" put "$q" --lines
    "$shmq" work "$q" -n 4 --timeout 1 false 2>/dev/null
    check 'of what was given back and fresh ones' export_to "$dir/lines" "$q"
    check 'likewise' json "$dir/lines" '[m["id"] for m in v] == list(range(1, 10)) and
        [m["state"] for m in v] == ["delayed"] * 4 + ["waiting"] * 5'
    "$shmq" rm "$q"
}

test_group() {
    queue topic --topic
    "$shmq" subscribe "$q" one
    "$shmq" subscribe "$q" two
    printf 'a\nb\nc\n' | "$shmq" put "$q" --lines
    "$shmq" get "$q" --group one >/dev/null
    expect 'a topic without a group' 2 '' 'a group is needed' "$shmq" export "$q"
    expect 'an unknown group' 3 '' 'three' "$shmq" export "$q" --group three
    check 'of one group' export_to "$dir/lines" "$q" --group one
    check 'what it has not finished' json "$dir/lines" '[m["text"] for m in v] == ["b", "c"]'
    check 'of another' export_to "$dir/lines" "$q" --group two
    check 'what that one has not' json "$dir/lines" '[m["text"] for m in v] == ["a", "b", "c"]'
    "$shmq" rm "$q"
}

# --- import --------------------------------------------------------------------

test_round() {
    local from

    queue from
    from=$q
    "$shmq" put "$q" 'one' -k key -t S -H colour=blue -H empty= -p -7 --correlation 18446744073709551615
    printf 'a\0b\377' | "$shmq" put "$q" -k "$(printf 'k\377')" -t 300 -H "odd=$(printf '\377\001')"
    "$shmq" put "$q" '' --ttl 2h
    "$shmq" put "$q" 'grüße, "so" \ und	so' -d 1h --correlation 9223372036854775807
    head -c 100000 /dev/urandom | "$shmq" put "$q"
    head -c 100001 /dev/urandom | "$shmq" put "$q"
    check 'export' export_to "$dir/lines" "$from"
    queue to
    expect 'import' 0 '' '' "$shmq" import "$q" "$dir/lines"
    check 'export again' export_to "$dir/again" "$q"
    check 'is the same' same_essence "$dir/lines" "$dir/again"
    check 'with six lines' has_lines "$dir/again" 6
    "$shmq" purge "$q" >/dev/null
    expect 'import from a pipe' 0 '' '' sh -c '"$0" export "$1" | "$0" import "$2"' "$shmq" "$from" "$q"
    check 'export' export_to "$dir/again" "$q"
    check 'is the same, too' same_essence "$dir/lines" "$dir/again"
    "$shmq" rm "$from" "$q"
}

test_plain() {
    queue plain
    expect 'text alone, blank lines, no end' 0 '' '' \
        input '{"text":"one"}\n\n  \r\n{"text":"two\\u0000\\ntoo"}\n{"base64":""}\n{"text":"end"}' \
        "$shmq" import "$q" -
    check 'four messages' has "$q" depth 4
    check 'with every byte' cmp -s <("$shmq" get "$q" -n 4 --raw) <(printf 'onetwo\0\ntooend')
    "$shmq" purge "$q" >/dev/null
    expect 'what became of it does not matter' 0 '' '' \
        input '{"id":9,"state":"dead","put_time":"?","attempts":3,"reason":5,"text":"x","key":null,"type":null}' \
        "$shmq" import "$q"
    check 'it is a new message' has "$q" depth 1
    expect 'delay_ns' 0 '' '' input '{"delay_ns":3600000000000,"text":"x"}' "$shmq" import "$q"
    check 'delays' sh -c "'$shmq' browse '$q' | grep -q delayed"
    "$shmq" rm "$q"
}

# bad WHAT LINE: refused with WHAT, as line 2.
bad() {
    printf '{"text":"good"}\n%s\n{"text":"after"}\n' "$2" >"$dir/bad"
    expect "refuses $2" 3 '' "line 2: $1" "$shmq" import "$q" "$dir/bad"
}

test_bad() {
    queue bad --max-message-size 100
    bad 'not JSON, at column' '{"text":"one"'
    bad 'not JSON, at column' '{"text":"one"} more'
    bad 'not JSON, at column' "$(printf '{"text":"\377"}')"
    bad 'not a JSON object' '["text"]'
    bad 'neither "text" nor "base64"' '{}'
    bad '"text" and "base64" are both given' '{"text":"a","base64":""}'
    bad 'not JSON' '{"text":"a","text":"b"}'
    bad '"text" is not a string' '{"text":1}'
    bad '"base64" is not base64' '{"base64":"abc"}'
    bad '"base64" is not base64' '{"base64":"ab c"}'
    bad '"base64" is not base64' '{"base64":"=abc"}'
    bad '"base64" is not base64' '{"base64":"a==="}'
    bad '"base64" is not base64' '{"base64":"YR=="}'
    bad '"key" and "key_base64"' '{"text":"","key":"a","key_base64":"YQ=="}'
    bad '"priority" is not a whole number' '{"text":"","priority":1.5}'
    bad '"priority" is not from' '{"text":"","priority":2147483648}'
    bad '"type" is not one character' '{"text":"","type":"ab"}'
    bad '"type" is not from' '{"text":"","type":4294967296}'
    bad '"headers" is not an object' '{"text":"","headers":[]}'
    bad 'header "a" is not a string' '{"text":"","headers":{"a":1}}'
    bad 'header "a" has a NUL' '{"text":"","headers":{"a":"\u0000"}}'
    bad '"due_time" is not a time' '{"text":"","due_time":"soon"}'
    bad '"delay_ns" and "due_time"' '{"text":"","due_time":"2030-01-01T00:00Z","delay_ns":1}'
    bad '"delay_ns" is not from' '{"text":"","delay_ns":-1}'
    bad '"ttl_ns" is not from' '{"text":"","ttl_ns":0}'
    bad '"correlation" is not from' '{"text":"","correlation":-1}'
    bad 'there is no member "txt"' '{"txt":""}'
    bad 'the message is too long' "{\"text\":\"$(printf '%0101d' 0)\"}"
    bad 'an argument' '{"text":"","headers":{"a b":"c"}}'
    check 'of each only the line before it was put' has "$q" depth 29
    check 'and it said so' grep -q ': 1 messages of the lines before were put' "$dir/err"
    "$shmq" purge "$q" >/dev/null
    printf '{"text":"one"}\n{]\n{"text":"two"}\nfoo\n{"text":"three"}\n' >"$dir/bad"
    "$shmq" import "$q" "$dir/bad" --skip-bad 2>"$dir/err"
    check '--skip-bad goes on' test $? = 0
    check 'names each' test "$(grep -c 'line [24]: .*passed over' "$dir/err")" = 2
    check 'and counts' grep -qx "shmq: import $q: 3 messages were put, 2 lines passed over" "$dir/err"
    check 'all others are there' test "$("$shmq" get "$q" -n 3 | tr '\n' ' ')" = 'one two three '
    expect 'a file that is not there' 3 '' 'No such file' "$shmq" import "$q" "$dir/none"
    expect 'a folder' 3 '' 'Is a directory' "$shmq" import "$q" "$dir"
    expect 'a queue that is not there' 3 '' "$self.none" "$shmq" import "$self.none" "$dir/bad"
    "$shmq" rm "$q"
}

test_full() {
    queue full --max-messages 2
    expect 'no room' 1 '' 'line 3: there was no room in time' \
        input '{"text":"1"}\n{"text":"2"}\n{"text":"3"}\n' "$shmq" import "$q" --timeout 0
    check 'says how many' grep -q '2 messages' "$dir/err"
    expect 'even with --skip-bad' 1 '' 'line 1: there was no room' \
        input '{"text":"1"}\n' "$shmq" import "$q" --timeout 50ms --skip-bad
    "$shmq" rm "$q"
    queue full --unique
    expect 'a key that is there' 3 '' 'line 2: a message with this key' \
        input '{"text":"1","key":"a"}\n{"text":"2","key":"a"}\n' "$shmq" import "$q"
    "$shmq" rm "$q"
}

test_without_jansson() {
    expect 'import without jansson' 3 '' 'without the library jansson' "$shmq" import x
}

if can_import; then
    import_tests='test_round test_plain test_bad test_full'
else
    import_tests=test_without_jansson
fi
# shellcheck disable=SC2086 # names are words
run_tests test_command_line test_states test_order test_group $import_tests
