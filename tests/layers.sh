#!/bin/sh
# layers.sh - a file includes its own header and those of its own or lower layers
# only; tools and tests' tools include shmq.h and their own, but for shmq-check, which
# knows the library from inside.  And a source file
# stays under 450 lines, a function under 60.  Prints file:line of each breach.
set -u
cd "$(dirname "$0")/.." || exit 1

{
    awk '
    BEGIN {
        # Lowest first; those in one line are equals.
        layers[1] = "base error clock fault crc shmq policy"
        layers[2] = "futex lock cond cond_futex cond_posix layout"
        layers[3] = "ring dirty record browse heap pending rebuild keys group lease groupall place shortcut space frame image"
        layers[4] = "compress encode unpack handle file frames segment reopen attr attach fork"
        layers[5] = "queue sides pin restore wait token"
        layers[6] = "room bury capture consume groupstats notify snapshot append journal flush compact keep"
        layers[7] = "put send get receive settle groups steer byid redrive look stats open save saver sync"
        layers[8] = "caller call reply hand worker"
        for (n in layers) {
            count = split(layers[n], names, " ")
            for (i = 1; i <= count; i++)
                level[names[i]] = n
        }
    }
    FNR == 1 {
        own = FILENAME
        sub(/.*\//, "", own)
        sub(/\.[ch]$/, "", own)
        if (!(own in level))
            print FILENAME ":1: is in no layer; give it one in tests/layers.sh"
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, parts, "\"")
        header = parts[2]
        sub(/\.h$/, "", header)
        if (!(header in level))
            print FILENAME ":" FNR ": includes \"" parts[2] "\", which is in no layer"
        else if (level[header] > level[own])
            print FILENAME ":" FNR ": includes \"" parts[2] "\" of a higher layer"
    }' src/*.c src/*.h

    # Tools, and the demonstration, know the library from outside.
    for file in tools/*.c tools/*.h tools/*/*.c tools/*/*.h; do
        [ -e "$file" ] || continue
        inside=tools
        case $file in tools/shmq-check.c | tools/check*.[ch] | tools/salvage*.[ch]) inside=src ;; esac
        sed -n '/^[ \t]*#[ \t]*include[ \t]*"/=' "$file" | while read -r line; do
            header=$(sed -n "$line"'s/.*"\(.*\)".*/\1/p' "$file")
            [ "$header" = shmq.h ] || [ -e "tools/$header" ] || [ -e "$inside/$header" ] ||
                [ -e "$(dirname "$file")/$header" ] ||
                echo "$file:$line: includes \"$header\", which is none of the tools'"
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
    }' src/*.c src/*.h
} > "${TMPDIR:-/tmp}/layers.$$"
breaches=$(grep -c . "${TMPDIR:-/tmp}/layers.$$")
cat "${TMPDIR:-/tmp}/layers.$$"
rm -f "${TMPDIR:-/tmp}/layers.$$"
[ "$breaches" = 0 ]
