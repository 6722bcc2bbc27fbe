#!/bin/bash
# tools_files.sh - tests of shmq save and load: bash tests/cli/tools_files.sh BUILD [FUNCTION | --list]
# shellcheck source=tests/cli/tools_lib.sh
. "$(dirname "$0")/tools_lib.sh"

test_round() {
    local q=$self.round again=$self.again

    check 'create' "$shmq" create "$q" --order priority --pending 64
    check 'put one' "$shmq" put "$q" low -p 1
    check 'put another' "$shmq" put "$q" high -p 9 -k key -H colour=blue
    check 'put a late one' "$shmq" put "$q" late -d 1h
    check 'save' "$shmq" save "$q" "$dir/file"
    check 'save again' "$shmq" save "$q" "$dir/file"
    check 'nothing is left beside' sh -c "! ls '$dir'/file.tmp-* 2>/dev/null"
    check 'only the owner reads it' test "$(command stat -c %a "$dir/file")" = 600
    check 'load' "$shmq" load "$dir/file" --name "$again"
    check 'in order' test "$("$shmq" get "$again" -n 2 | tr '\n' ' ')" = 'high low '
    check 'the late one is there' sh -c "'$shmq' browse '$again' | grep -q delayed"
    check 'rm' "$shmq" rm "$q" "$again"
    check 'load by its own name' "$shmq" load "$dir/file"
    check 'all of it' test "$("$shmq" get "$q" -n 2 | tr '\n' ' ')" = 'high low '
    expect 'it is there' 3 '' 'there is a queue' "$shmq" load "$dir/file"
    check 'rm' "$shmq" rm "$q"
}

test_wrong() {
    local q=$self.wrong

    check 'create' "$shmq" create "$q"
    echo mine >"$dir/letter"
    expect 'no other file' 3 '' 'not a file of shmq' "$shmq" save "$q" "$dir/letter"
    check 'it is as it was' grep -qx mine "$dir/letter"
    expect 'no queue of it' 3 '' 'not a file of shmq' "$shmq" load "$dir/letter"
    expect 'no folder' 3 '' 'No such file' "$shmq" save "$q" "$dir/nowhere/file"
    expect 'no file' 3 '' 'No such file' "$shmq" load "$dir/nothing"
    expect 'no queue' 3 '' 'no such queue' "$shmq" save "$self.none" "$dir/file"
    expect 'arguments' 2 '' 'FILE' "$shmq" save
    expect 'no file of its own' 2 '' 'the queue has no file' "$shmq" save "$q"
    expect 'arguments' 2 '' 'FILE' "$shmq" load
    check 'save' "$shmq" save "$q" "$dir/file2"
    truncate -s 5000 "$dir/file2"
    check 'rm' "$shmq" rm "$q"
    expect 'cut off' 3 '' 'a frame is cut' "$shmq" load "$dir/file2"
    expect 'so it made none' 3 '' 'no such queue' "$shmq" get "$q" --timeout 0
}

test_own_file() {
    local q=$self.own

    check 'create' "$shmq" create "$q" --snapshot "$dir/own" --save-at-end
    check 'put' "$shmq" put "$q" kept
    check 'saved by who left last' test -s "$dir/own"
    check 'rm' "$shmq" rm "$q"
    check 'create of its file' "$shmq" create "$q" --snapshot "$dir/own"
    expect 'it is there' 0 'kept\n' '' "$shmq" get "$q"
    check 'save to it' "$shmq" save "$q"
    check 'rm' "$shmq" rm "$q"
    check 'create of the new one' "$shmq" create "$q" --snapshot "$dir/own"
    expect 'it is empty' 1 '' '' "$shmq" get "$q" --timeout 0
    check 'rm' "$shmq" rm "$q"
    expect 'no file' 2 '' 'snapshot is NULL' "$shmq" create "$q" --save-every 1s
}

test_journal() {
    local q=$self.journal

    check 'create' "$shmq" create "$q" --snapshot "$dir/journal" --journal os
    check 'put' "$shmq" put "$q" one
    check 'put' "$shmq" put "$q" two
    expect 'get' 0 'one\n' '' "$shmq" get "$q"
    check 'rm' "$shmq" rm "$q"
    check 'create of its file' "$shmq" create "$q" --snapshot "$dir/journal" --journal always
    expect 'what was not got' 0 'two\n' '' "$shmq" get "$q"
    expect 'and no more' 1 '' '' "$shmq" get "$q" --timeout 0
    check 'rm' "$shmq" rm "$q"
    expect 'none such' 2 '' 'os, always or a time' "$shmq" create "$q" --snapshot "$dir/x" --journal now
}

test_stat() {
    local q=$self.stat

    check 'create' "$shmq" create "$q" --snapshot "$dir/snap"
    check 'put' "$shmq" put "$q" one
    expect 'stat of a snapshot' 0 '*' '' "$stat" "$q"
    check 'its line' grep -q "^  snapshot $dir/snap: .* lag 1\$" "$dir/out"
    check 'save' "$shmq" save "$q"
    expect 'stat after saving' 0 '*' '' "$stat" "$q"
    check 'its line' grep -q "^  snapshot $dir/snap: .* lag 0, nothing new\$" "$dir/out"
    check 'rm' "$shmq" rm "$q"
    check 'create' "$shmq" create "$q" --snapshot "$dir/snap" --journal 1s
    check 'put' "$shmq" put "$q" two
    expect 'stat of a journal' 0 '*' '' "$stat" "$q"
    check 'its line' grep -q "^  journal interval $dir/snap: .* not on the disk 0\$" "$dir/out"
    "$stat" --json "$q" >"$dir/json"
    check 'in JSON' python3 -c 'import json,sys
f = json.load(open(sys.argv[1]))["file"]
assert f["path"] == sys.argv[2] and f["kind"] == "journal interval"
assert f["error"] == 0 and f["lag"] == 0 and f["stale"] is False
assert f["file_bytes"] == f["synced_bytes"]' "$dir/json" "$dir/snap"
    check 'for Prometheus' sh -c '"$0" --prometheus "$1" | grep -q "^shmq_file_error{queue=\"$1\"} 0\$"' \
        "$stat" "$q"
    rm "$dir/snap"
    expect 'put without the file' 3 '' 'cannot open the journal' "$shmq" put "$q" three
    expect 'stat without the file' 0 '*' '' "$stat" "$q"
    check 'it says so' grep -q '; for [^ ]*: ' "$dir/out"
    check 'save writes it anew' "$shmq" save "$q"
    check 'put' "$shmq" put "$q" four
    expect 'stat with the file' 0 '*' '' "$stat" "$q"
    check 'it says nothing' sh -c '! grep -q "; for" "$0"' "$dir/out"
    check 'rm' "$shmq" rm "$q"
    expect 'a queue without a file' 0 '' '' "$shmq" create "$q"
    check 'put' "$shmq" put "$q" one
    check 'save' "$shmq" save "$q" "$dir/torn"
    printf 'rubbish' >>"$dir/torn"
    check 'load of a torn file' "$shmq" load "$dir/torn" --name "$q.torn"
    expect 'stat of it' 0 '*' '' "$stat" "$q.torn"
    check 'it says so' grep -q '^  made of a file whose last 7 were torn' "$dir/out"
    check 'rm' "$shmq" rm "$q.torn"
    check 'null in JSON' sh -c '"$0" --json "$1" | grep -q "\"file\":null"' "$stat" "$q"
    check 'rm' "$shmq" rm "$q"
}

run_tests test_stat test_journal test_round test_wrong test_own_file
