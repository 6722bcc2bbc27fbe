#!/bin/sh
# layers.sh BUILD - the layers of src/ (the table below, lowest first) use lower ones only:
# by what their files include, and by what the objects in BUILD call, since a call through
# shmq.h is invisible to includes.  No more than two files of the library use each other in
# a circle.  A header declares what its own source defines.  Tools know the library from outside, shmq-check excepted.  A source file stays
# under 450 lines, a function under 60.  Prints each breach.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1

# Layers on one line do not use each other.
layers='base
sync
layout_group.h
layout.h
ring file
group
segment message
handle
persist
api
service'

work=$(mktemp -d "${TMPDIR:-/tmp}/layers.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
echo "$layers" >"$work/layers"

# uses: lines "FILE FILE ..." (who, whom, how), paths below src/; prints those that go up.
goes_up()
{
    awk '
    function layer(path) { sub(/\/.*/, "", path); return path }
    FNR == NR { for (i = 1; i <= NF; i++) level[$i] = FNR; next }
    {
        from = layer($1)
        to = layer($2)
        if (!(from in level) || !(to in level))
            print "src/" $1 ": " (from in level ? to : from) " is no layer; see tests/run/layers.sh"
        else if (from != to && level[to] >= level[from])
            print "src/" $1 ": uses " $2 " of a layer that is not lower (" $3 " " $4 ")"
    }' "$work/layers" -
}

# "FILE HEADER LINE" of each include of a file of the library.
includes()
{
    awk '
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, parts, "\"")
        if (parts[2] == "shmq.h")
            next
        name = FILENAME
        sub(/^src\//, "", name)
        print name, parts[2], "line " FNR
    }' src/*.h src/*/*.[ch]
}

# "SYMBOL FILE" of each global definition.
definitions()
{
    (cd "$build/src" && nm -A --defined-only -g -- */*.o) |
        awk '{ file = $1; sub(/\.o:.*/, ".c", file); print $NF, file }'
}

# "SYMBOL HEADER" of each declaration of a function, but for those that only the checking
# builds have.
declarations()
{
    awk '
    /^#ifdef SQ_CHECK/ { checking = 1 }
    /^#(else|endif)/ { checking = 0 }
    !checking && /^[a-z]/ && !/^(static|typedef)/ && match($0, /sq_[a-z0-9_]+\(/) {
        name = FILENAME
        sub(/^src\//, "", name)
        print substr($0, RSTART, RLENGTH - 1), name
    }' src/*.h src/*/*.h
}

# A header declares what its own source defines.  (The condition variable has two bodies.)
strangers()
{
    awk '
    FNR == NR { home[$1] = $2; next }
    {
        own = $2
        sub(/\.h$/, ".c", own)
        if (home[$1] != own && $2 != "sync/cond.h")
            print "src/" $2 ": declares " $1 "() of " ($1 in home ? "src/" home[$1] : "no source")
    }' "$work/definitions" "$work/declarations"
}

# "FILE FILE SYMBOL": who uses whose symbol.
calls()
{
    (cd "$build/src" && nm -A -u -- */*.o) |
        awk '
        FNR == NR { home[$1] = $2; next }
        $NF in home {
            file = $1
            sub(/\.o:.*/, ".c", file)
            if (home[$NF] != file)
                print file, home[$NF], $NF
        }' "$work/definitions" - |
        sort -u
}

# Files that reach each other: groups of more than two.
circles()
{
    awk '
    { edge[$1, $2] = 1; file[$1] = 1; file[$2] = 1 }
    END {
        for (k in file)
            for (i in file)
                if ((i, k) in edge)
                    for (j in file)
                        if ((k, j) in edge)
                            edge[i, j] = 1
        for (i in file) {
            count = 0
            names = ""
            for (j in file)
                if (i == j || ((i, j) in edge && (j, i) in edge)) {
                    count++
                    names = names " " j
                }
            if (count > 2 && !(names in said)) {
                said[names] = 1
                print "a circle of " count " files:" names
            }
        }
    }'
}

definitions >"$work/definitions"
for list in includes calls declarations; do
    $list >"$work/$list"
    [ -s "$work/$list" ] || { echo "layers.sh: no $list found" && exit 1; }
done
{
    goes_up <"$work/includes"
    goes_up <"$work/calls"
    circles <"$work/calls"
    strangers

    # A tool's own folder, and what tools share; for shmq-check also the library's inside.
    for file in tools/*/*.[ch]; do
        own=$(basename "$(dirname "$file")")
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\(.*\)".*/\1/p' "$file" | while read -r header; do
            case $header in
            shmq.h | common/* | "$own"/*) continue ;;
            esac
            [ "$own" = shmq-check ] && [ -e "src/$header" ] && continue
            echo "$file: includes \"$header\", which is none of this tool's"
        done
    done

    awk '
    FNR == 1 { begun = 0 }
    FNR == 451 { print FILENAME ":451: the file has more than 450 lines" }
    /^{/ { begun = FNR }
    /^}/ {
        if (begun > 0 && FNR - begun - 1 > 60)
            print FILENAME ":" begun ": the function has " FNR - begun - 1 " lines, more than 60"
        begun = 0
    }' src/*.h src/*/*.[ch]
} >"$work/breaches"
cat "$work/breaches"
[ ! -s "$work/breaches" ]
