#!/bin/sh
# Runs every model through Spin: those that must hold, and the seeded mistakes,
# which Spin must find.  One line each, with the states explored; the last line is
# "N passed, M failed".  Exit 0 if none failed, 77 if spin is missing.
#
# Two searches at a time (JOBS=n for another number), each under 900 MB.  All
# files are written to a temporary folder, which is removed.
set -u

here=$(cd "$(dirname "$0")" && pwd)

# one WORK LINE: a line is "holds|fails MODEL DEFINES : TITLE"
one()
{
	work=$1
	title=${2##*: }
	# shellcheck disable=SC2086 # the line is made of words
	set -- ${2%% : *}
	expect=$1
	model=$2
	shift 2
	opt=-O2
	[ "$expect" = holds ] || opt=-O1
	dir=$(mktemp -d "$work/job.XXXXXX")
	cd "$dir" || return
	cp "$here/$model.pml" model.pml
	if spin "$@" -a model.pml > log 2>&1 &&
	    "${CC:-cc}" "$opt" -w -DSAFETY -DCOLLAPSE -DMEMLIM=900 -o pan pan.c >> log 2>&1
	then
		./pan -m20000 -w22 > out 2>&1
	else
		cat log > out
	fi
	states=$(sed -n 's/^ *\([0-9][0-9]*\) states, stored.*/\1/p' out)
	saw=trouble
	if grep -q '^pan:1: assertion violated' out; then
		saw=fails
	elif grep -q 'errors: 0$' out &&
	    ! grep -qE 'depth too small|reached -DMEMLIM|not completed' out; then
		saw=holds
	fi
	if [ "$saw" = "$expect" ]; then
		word=ok
	else
		word='not ok'
		sed 's/^/# /' out >&2
	fi
	printf '%s - %s: %s (%s states)\n' "$word" "$model" "$title" "${states:-0}" |
	    tee -a "$work/results"
	cd / && rm -rf "$dir"
}

if [ "${1:-}" = --one ]; then
	one "$2" "$3"
	exit 0
fi

if ! command -v spin > /dev/null 2>&1; then
	echo "models: spin is not installed, nothing was checked"
	exit 77
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/shmq-models.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# Long ones first, so that both processors are busy to the end.
cat > "$work/list" <<'END'
holds cond -DNP=3 -DNC=1 -DBIG=3 : two big and a small producer, no room is lost and wakes are bounded
holds cond -DNP=2 -DNC=3 -DSLOTS=4 : 2 producers, 3 consumers, no message is lost
holds cond -DNP=2 -DNC=2 -DDEATHS=1 : 2 producers, 2 consumers, one killed anywhere
holds cond -DNP=2 -DNC=1 -DBIG=1 -DFULL=1 -DDEATHS=1 : full ring, big and small producer, one process killed anywhere
holds cond -DNP=2 -DNC=2 -DSLOTS=4 -DBIG=1 -DMANY -DTIMED : puts of two messages, and waits that end by their deadline
holds cond -DNP=2 -DNC=1 -DSLOTS=1 -DDEATHS=2 : ring of one slot, two producers and a consumer, two killed anywhere
holds cond -DNP=1 -DNC=3 -DSLOTS=4 -DK=3 : 3 messages of one producer, 3 consumers
holds cond -DNP=1 -DNC=2 -DDEATHS=2 : one producer, 2 consumers, two killed anywhere
holds cond -DNP=1 -DNC=2 -DK=2 -DDEATHS=1 : 2 messages of one producer, 2 consumers, one killed anywhere
holds cond -DNP=2 -DNC=1 -DBIG=1 -DFULL=1 : full ring, big and small producer
holds cond -DNP=2 -DNC=1 -DBIG=1 -DFULL=1 -DTIMED : full ring, big and small producer, waits that end by their deadline
holds fence -DFENCE_SLEEPER : the sleeper's membarrier pays for both
holds fence -DFENCE_WAKER : the waker's own fence
holds fence -DSOLE -DPUTS=2 : producers that turn sole and back, membarrier only then
fails cond -DNP=2 -DNC=3 -DSLOTS=4 -DNO_RESET : mistake found, S not set again on waking
fails cond -DNP=2 -DNC=3 -DSLOTS=4 -DNO_BATON : mistake found, no baton between consumers
fails cond -DNP=1 -DNC=3 -DSLOTS=4 -DK=3 -DSTALE_BATON : mistake found, baton decided by the remembered tail
fails cond -DNP=3 -DNC=1 -DBIG=1 -DNO_ROOM_BATON : mistake found, no baton between producers
fails cond -DNP=2 -DNC=1 -DBIG=1 -DFULL=1 -DROOM_BY_CURSOR : mistake found, room passed on only if the cursor moved since the last look
fails cond -DNP=3 -DNC=1 -DBIG=3 -DROOM_PASS_ALWAYS : mistake found, room always passed on wakes in circles
fails cond -DNP=1 -DNC=2 -DDEATHS=1 -DNO_BOUND : mistake found, a death and sleeps without bound
fails fence -DFENCE_SLEEPER -DNO_FENCE : mistake found, no membarrier
fails fence -DFENCE_WAKER -DNO_FENCE : mistake found, no fence
fails fence -DSOLE -DNO_FENCE : mistake found, no membarrier beside a sole producer
fails fence -DSOLE -DSOLE_NO_FENCE : mistake found, no fence after turning sole
fails fence -DSOLE -DLEAVE_NO_FENCE : mistake found, no fence before leaving the sole role
fails fence -DSOLE -DUNLOCK_RELEASE : mistake found, unlock that is only a release before S is read
END

tr '\n' '\0' < "$work/list" | xargs -0 -P "${JOBS:-2}" -n 1 sh "$0" --one "$work"

total=$(wc -l < "$work/list")
passed=$(grep -c '^ok - ' "$work/results")
echo "$passed passed, $((total - passed)) failed"
[ "$passed" -eq "$total" ]
