#!/bin/bash
# tools_check.sh - tests of shmq-check: bash tests/cli/tools_check.sh BUILD [FUNCTION | --list]
# What it saves is tested byte by byte in test_salvage.c and test_check.c.
# shellcheck source=tests/cli/tools_lib.sh
. "$(dirname "$0")/tools_lib.sh"

# flip FILE OFFSET: one bit of the byte there.
flip() {
    local byte

    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "\\$(printf %o $((byte ^ (1 << $2 % 8))))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# member MEMBER: a number out of the JSON in $dir/out.
member() {
    sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$dir/out"
}

# some_file NAME: a queue with six messages that was saved as $dir/NAME, and removed.
some_file() {
    queue "$1"
    printf 'one\ntwo\nthree\n' | "$shmq" put "$q" --lines
    "$shmq" put "$q" late -d 1h
    "$shmq" put "$q" long -H "x=$(head -c 300 /dev/zero | tr '\0' y)"
    "$shmq" put "$q" last
    "$shmq" save "$q" "$dir/$1"
    "$shmq" rm "$q"
}

# --- the command line --------------------------------------------------------------

test_command_line() {
    expect '--help' 0 '*' '' "$check" --help
    check 'tells how to use it' grep -q '^Usage: shmq-check' "$dir/out"
    expect '--version' 0 'shmq-check 0.1.0\n' '' "$check" --version
    expect 'nothing to check' 2 '' 'NAME or FILE' "$check"
    expect 'two at a time' 2 '' 'one argument too many' "$check" a b
    expect 'three' 2 '' 'one argument too many' "$check" a --repair b c
    expect 'an unknown option' 2 '' "unknown option '--frob'" "$check" x --frob
    expect 'no queue' 3 '' 'no such queue' "$check" "$self.none"
    expect 'what has a slash is a file' 3 '' 'No such file' "$check" "./$self.none"
    expect '--file' 3 '' 'No such file' "$check" --file "$self.none"
    expect 'both' 2 '' 'at a time' "$check" -f a -q b
    expect 'a folder' 3 '' 'not a regular file' "$check" "$dir"
    expect 'no name of a queue' 2 '' 'may not contain' "$check" 'a b'
    echo mine >"$dir/letter"
    expect 'no file of ours' 3 '' 'not a file of shmq' "$check" "$dir/letter"
    expect 'nor is it repaired' 3 '' 'not a file of shmq' "$check" "$dir/letter" --repair
    check 'so there is none' test ! -e "$dir/letter.repaired"
}

# A queue and a file with one name.
test_which() {
    some_file which
    check 'create' "$shmq" create "$self.which"
    cp "$dir/which" "$dir/$self.which"
    cd "$dir" || return
    expect 'the file' 0 '*' '' "$check" "$self.which"
    check 'it is that' grep -q '^file' "$dir/out"
    expect 'the queue' 0 '*' '' "$check" --queue "$self.which"
    check 'it is that' grep -q '^ring' "$dir/out"
    expect 'no frames' 2 '' '--frames' "$check" --queue "$self.which" --frames
    cd - >/dev/null || return
    check 'rm' "$shmq" rm "$self.which"
}

# --- files ------------------------------------------------------------------------------

test_whole() {
    some_file whole
    expect 'whole' 0 '*' '' "$check" "$dir/whole"
    check 'it says so' grep -q '^verdict *whole' "$dir/out"
    check 'and what is in it' grep -q '^messages *6 not finished' "$dir/out"
    expect 'as JSON' 0 '*' '' "$check" "$dir/whole" --json --frames
    check 'which it is' json "$dir/out" 'v[0]["verdict"] == "whole" and v[0]["messages"] == 6 and
        v[0]["lost"] == [] and v[0]["groups"][0]["fresh"] == 6 and
        sum(f["kind"] == "records" for f in v[0]["frames"]) == v[0]["frame_kinds"]["records"]'
    expect 'the frames' 0 '*' '' "$check" "$dir/whole" --frames
    check 'where each is' grep -qE '^ +4096 +40 +session +1 +0$' "$dir/out"
    expect 'repaired all the same' 0 '*' '' "$check" "$dir/whole" --repair
    check 'as a copy' "$check" "$dir/whole.repaired"
}

# A frame in the middle of the records is damaged: the others are saved.
test_damaged() {
    local q=$self.damaged at

    queue damaged --snapshot "$dir/damaged" --journal always
    for word in one two three four; do
        "$shmq" put "$q" "$word"
    done
    check 'rm' "$shmq" rm "$q"
    "$check" "$dir/damaged" --frames >"$dir/frames"
    at=$(awk '$3 == "records" && ++n == 2 { print $1 }' "$dir/frames")
    flip "$dir/damaged" $((at + 60))
    cp "$dir/damaged" "$dir/before"
    expect 'damaged' 1 '*' "at offset $at: a frame's content is damaged" "$check" "$dir/damaged"
    check 'it says what to do' grep -q "shmq-check $dir/damaged --repair' saves" "$dir/err"
    check 'and what is lost' grep -q "^damage *offset $at, [0-9]* bytes of records" "$dir/out"
    expect 'load says the same' 3 '' "at offset $at" "$shmq" load "$dir/damaged"
    check 'and names the way out' grep -q 'shmq-check --repair' "$dir/err"
    expect 'repair' 1 '*' "shmq load $dir/damaged.repaired" "$check" "$dir/damaged" --repair
    check 'three are saved' grep -q '^saved *3 messages' "$dir/out"
    check 'only the owner reads it' test "$(command stat -c %a "$dir/damaged.repaired")" = 600
    check 'the old one is as it was' cmp "$dir/damaged" "$dir/before"
    expect 'nothing is written over' 3 '' 'File exists' "$check" "$dir/damaged" --repair
    expect 'to another' 1 '*' 'damaged' "$check" "$dir/damaged" --repair "$dir/other"
    expect 'or so' 1 '*' 'damaged' "$check" --repair="$dir/third" "$dir/damaged" --json
    check 'as JSON' json "$dir/out" 'v[0]["repaired"]["messages"] == 3 and
        v[0]["verdict"] == "damaged" and v[0]["lost"][0]["kind"] == "records"'
    check 'what is saved is whole' "$check" "$dir/other"
    check 'load' "$shmq" load "$dir/other"
    expect 'all but one' 0 'one\nthree\nfour\n' '' "$shmq" get "$q" -n 3
    expect 'no more' 1 '' '' "$shmq" get "$q" --timeout 0
    check 'rm' "$shmq" rm "$q"
    check 'nothing is left beside' sh -c "! ls '$dir'/*.tmp-* 2>/dev/null"
    check 'a queue of its own' "$shmq" create "$q" --snapshot "$dir/damaged.repaired"
    expect 'of it, too' 0 'one\n' '' "$shmq" get "$q"
    check 'rm' "$shmq" rm "$q"
    expect 'no folder for it' 3 '' 'No such file' "$check" "$dir/damaged" --repair "$dir/none/x"
}

# What was not yet on the disk is no damage.
test_torn() {
    local q=$self.torn

    queue torn --snapshot "$dir/torn" --journal os
    check 'put' "$shmq" put "$q" one
    check 'put' "$shmq" put "$q" two
    check 'rm' "$shmq" rm "$q"
    "$check" "$dir/torn" --json >"$dir/out"
    truncate -s $(($("$check" "$dir/torn" --frames | awk '$3 == "records" { print $1 + $2 }' |
        tail -1) - 3)) "$dir/torn"
    expect 'torn' 0 '*' '' "$check" "$dir/torn"
    check 'it says so' grep -q '^verdict *no damage; its end was torn off' "$dir/out"
    check 'and where' grep -q '^torn *offset' "$dir/out"
    check 'load' "$shmq" load "$dir/torn"
    expect 'what is before' 0 'one\n' '' "$shmq" get "$q"
    check 'rm' "$shmq" rm "$q"
    rm "$dir/torn"
    queue torn --snapshot "$dir/torn" --journal os
    for word in one two three; do
        "$shmq" put "$q" "$word"
    done
    check 'rm' "$shmq" rm "$q"
    flip "$dir/torn" $(($("$check" "$dir/torn" --frames |
        awk '$3 == "records" && ++n == 2 { print $1 }') + 60))
    expect 'torn, with a whole frame behind' 0 '*' '' "$check" "$dir/torn" --repair
    check 'it says so' grep -q 'with whole frames behind that, which --repair saves' "$dir/out"
    check 'load' "$shmq" load "$dir/torn"
    expect 'cuts it off' 0 'one\n' '' "$shmq" get "$q"
    expect 'with all there is' 1 '' '' "$shmq" get "$q" --timeout 0
    check 'rm' "$shmq" rm "$q"
    check 'load what is saved' "$shmq" load "$dir/torn.repaired"
    expect 'which has it' 0 'one\nthree\n' '' "$shmq" get "$q" -n 2
    check 'rm' "$shmq" rm "$q"
    truncate -s 5000 "$dir/torn"
    expect 'but the base is damaged' 1 '*' 'a frame is cut' "$check" "$dir/torn"
    : >"$dir/empty"
    expect 'so is an empty file' 1 '*' 'the header is cut' "$check" "$dir/empty" --repair
    check 'of which nothing is saved' test ! -e "$dir/empty.repaired"
}

# Without its header.
test_no_header() {
    some_file headless
    dd if=/dev/zero of="$dir/headless" bs=4096 count=1 conv=notrunc 2>/dev/null
    expect 'damaged' 1 '*' 'header is damaged' "$check" "$dir/headless"
    expect 'repair' 1 '*' 'load' "$check" "$dir/headless" --repair
    check 'all are saved' grep -q '^saved *6 messages' "$dir/out"
    check 'load' "$shmq" load "$dir/headless.repaired" --name "$self.headless"
    expect 'all there' 0 'one\ntwo\nthree\nlong\nlast\n' '' "$shmq" get "$self.headless" -n 5
    check 'rm' "$shmq" rm "$self.headless"
}

# Here and there: what it says agrees with what load does, and its new file can be loaded.
test_agrees() {
    local at size status wrong=0 q=$self.agrees

    some_file agrees
    cp "$dir/agrees" "$dir/flipped"
    size=$(command stat -c %s "$dir/agrees")
    for at in $(seq 0 97 700) $(seq 4096 97 "$size"); do
        [ "$at" -lt "$size" ] || continue
        flip "$dir/flipped" "$at"
        in_time "$check" "$dir/flipped" --repair "$dir/saved" >"$dir/out" 2>"$dir/err"
        status=$?
        "$shmq" load "$dir/flipped" --name "$q" 2>/dev/null
        case $?-$status in
        0-0 | 3-1) ;;
        *) wrong=1 && echo "# offset $at: check says $status" ;;
        esac
        "$shmq" rm -f "$q"
        "$shmq" load "$dir/saved" --name "$q" || wrong=1
        "$shmq" rm -f "$q"
        rm -f "$dir/saved"
        flip "$dir/flipped" "$at"
    done
    check 'the verdict is that of load' test $wrong = 0
}

# --- queues -------------------------------------------------------------------------------

test_sound() {
    local q=$self.sound pid

    queue sound --snapshot "$dir/sound"
    "$shmq" put "$q" 'a message'
    expect 'sound' 0 '*' '' "$check" "$q"
    check 'it says so' grep -q '^verdict *sound' "$dir/out"
    check 'its file as well' grep -q '^file .*: whole' "$dir/out"
    expect 'as JSON' 0 '*' '' "$check" "$q" --json
    check 'which it is' json "$dir/out" 'v[0]["verdict"] == "sound" and v[0]["messages"] == 1 and
        v[0]["file"]["verdict"] == "whole" and v[0]["notes"] == [] and v[0]["damage"] == []'
    "$shmq" work "$q" --timeout 60s -- sh -c "touch '$dir/there'; exec sleep 60" &
    pid=$!
    await test -e "$dir/there"
    kill -KILL $pid
    wait $pid 2>/dev/null
    expect 'a dead consumer is no damage' 0 '*' '' "$check" "$q"
    check 'but told' grep -q "^note *process $pid (shmq) died" "$dir/out"
    check 'and what it had' grep -q '^note *the queue: 1 messages are leased by the dead' "$dir/out"
    expect 'to a file' 0 '*' '' "$check" "$q" --repair "$dir/copy"
    flip "$dir/sound" 100
    expect 'its file is damaged' 1 '*' "shmq save $q" "$check" "$q"
    check 'save' "$shmq" save "$q"
    check 'then it is not' "$check" "$q"
    check 'rm' "$shmq" rm "$q"
    check 'load' "$shmq" load "$dir/copy"
    expect 'as it was' 0 'a message\n' '' "$shmq" get "$q"
    check 'rm' "$shmq" rm "$q"
}

# While it is in use nothing is found that is not there.
test_busy() {
    local q=$self.busy pids wrong=0

    queue busy --capacity 64K --pending 64
    yes 'some text' | "$shmq" put "$q" --lines --timeout 60s 2>/dev/null &
    pids=$!
    "$shmq" get --follow "$q" >/dev/null &
    pids="$pids $!"
    "$shmq" work "$q" -- false 2>/dev/null &
    pids="$pids $!"
    for _ in 1 2 3 4 5 6 7 8; do
        in_time "$check" "$q" >"$dir/out" 2>"$dir/err" || { wrong=1 && cat "$dir/err"; }
        in_time "$check" "$q" --repair "$dir/busy" >"$dir/out" 2>"$dir/err" ||
            { wrong=1 && cat "$dir/err"; }
        "$check" "$dir/busy" >/dev/null || wrong=1
        rm -f "$dir/busy"
    done
    # shellcheck disable=SC2086 # several
    kill $pids 2>/dev/null
    wait 2>/dev/null
    check 'no false alarm' test $wrong = 0
    check 'rm' "$shmq" rm "$q"
}

# Somebody has written into the object.
test_damaged_queue() {
    local q=$self.hurt object=/dev/shm/shmq.$self.hurt at

    queue hurt
    printf 'one\ntwo\nthree\n' | "$shmq" put "$q" --lines
    "$check" "$q" --json >"$dir/out"
    at=$(($(member total_bytes) - $(member capacity_bytes)))
    flip "$object" $((at + 32 + 1)) # the second one's length
    expect 'damaged' 1 '*' "shmq-check $q --repair' saves" "$check" "$q"
    check 'it says where' grep -q '^damage *the record at position 32: it says' "$dir/out"
    expect 'a get says it, too' 3 '*' "shmq-check NAME --repair" "$shmq" get "$q" -n 3
    expect 'repair' 1 '*' "'shmq rm $q' and 'shmq load" "$check" "$q" --repair "$dir/hurt"
    check 'what is lost' grep -q '^lost *position 32, 32 bytes' "$dir/out"
    check 'rm' "$shmq" rm "$q"
    check 'load' "$shmq" load "$dir/hurt"
    expect 'all that was left' 0 'three\n' '' "$shmq" get "$q"
    flip "$object" 16
    expect 'its header' 1 '' "the header's check sum is wrong" "$check" "$q"
    check 'rm' "$shmq" rm "$q"
}

run_tests test_command_line test_which test_whole test_damaged test_torn test_no_header \
    test_agrees test_sound test_busy test_damaged_queue
