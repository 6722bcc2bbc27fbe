#!/bin/sh
# Runs every model through Spin: those that must hold, and the seeded mistakes,
# which Spin must find.  One line each, with the states explored; the last line is
# "N passed, M failed".  Exit 0 if none failed, 77 if spin is missing.
#
# With an argument: only those whose line in the list below contains it (run.sh -DNO_BATON).
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
holds lease -DDEATHS=3 -DBIRTHS=2 -DK=1 -DE=1 : one message, three deaths or closes anywhere, two come back
holds lease -DDEATHS=1 -DBIRTHS=1 -DTIMES=1 -DNACKS=1 : a death anywhere, a lease that ends by time, a nack, one comes back
holds space -DG=2 -DN=4 -DR=4 -DNACKS=0 -DDELAYED=2 -DLONG=2 -DDEATHS=1 -DMORTAL=1 : 2 groups hold a record, and who slides it is killed anywhere
holds space -DG=1 -DN=6 -DR=5 -DDELAYED=2 -DLONG=2 -DSLIDES=2 -DSOLE -DDEATHS=1 : a sole consumer slides beside a producer, one killed anywhere
holds space -DG=1 -DN=6 -DR=5 -DLONG=10 -DSLIDES=2 -DDEATHS=2 : long and short records, two slides, two killed anywhere
holds due -DNC=3 -DM=1 -DT=2 -DDEATHS=1 : 3 consumers, one killed anywhere
holds due -DNC=2 -DDEATHS=1 : 2 messages with delays, 2 consumers, one killed anywhere
holds lease -DDEATHS=1 -DBIRTHS=1 -DTIMES=1 -DSLOTS=3 : a death anywhere, a lease that ends by time, one comes back in any slot
holds cond -DNP=2 -DNC=2 -DSLOTS=4 -DBIG=1 -DMANY -DTIMED : puts of two messages, and waits that end by their deadline
holds cond -DNP=2 -DNC=1 -DSLOTS=1 -DDEATHS=2 : ring of one slot, two producers and a consumer, two killed anywhere
holds cond -DNP=1 -DNC=3 -DSLOTS=4 -DK=3 : 3 messages of one producer, 3 consumers
holds cond -DNP=1 -DNC=2 -DDEATHS=2 : one producer, 2 consumers, two killed anywhere
holds cond -DNP=1 -DNC=2 -DK=2 -DDEATHS=1 : 2 messages of one producer, 2 consumers, one killed anywhere
holds cond -DNP=2 -DNC=1 -DBIG=1 -DFULL=1 : full ring, big and small producer
holds cond -DNP=2 -DNC=1 -DBIG=1 -DFULL=1 -DTIMED : full ring, big and small producer, waits that end by their deadline
holds lease -DK=3 -DTIMES=2 -DHANDS=2 -DNACKS=1 : 3 messages, two in a hand, two leases that end by time, a nack
holds due -DNC=2 : 2 messages with delays, 2 consumers, what is due is watched over
holds due -DNC=2 -DT=2 -DTIMED : 2 messages with delays, waits that end by their deadline
holds due -DNC=2 -DM=1 -DTIMED -DDEATHS=1 : a message, waits that end by their deadline, one killed anywhere
holds space -DG=2 -DN=4 -DR=3 -DDELAYED=2 : 2 groups hold a record that is slid, a lease that ends
holds sync -DDEATHS=2 : what a journal promised is on the disk while it is replaced, two killed anywhere
holds letter -DDEATHS=2 : one copy, two of three killed anywhere
holds letter -DDEATHS=2 -DCHECKED -DBY_TIME : one copy, though the right to send ends by time
holds lease -DDEATHS=2 -DBIRTHS=1 : two deaths anywhere, one comes back
holds lease -DDEATHS=1 -DBIRTHS=1 -DHANDS=2 : two messages in a hand, a death anywhere, one comes back
holds lease -DDEATHS=1 -DBIRTHS=1 -DK=3 : 3 messages in 2 entries, a death anywhere, one comes back
holds lease -DNC=3 -DDEATHS=2 -DK=1 -DE=1 : 3 consumers, two deaths anywhere
holds lease -DDEATHS=1 -DTIMES=1 -DHANDS=2 -DE=1 : one entry, a death anywhere, a lease that ends by time
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
fails lease -DDEATHS=1 -DCURSOR_FIRST : mistake found, cursor stored before the entry's word
fails lease -DDEATHS=1 -DREBUILD_KEEPS : mistake found, entries beyond the cursor kept
fails lease -DDEATHS=1 -DNO_REBUILD : mistake found, free entries not looked for anew
fails lease -DDEATHS=1 -DBIRTHS=1 -DNO_GENERATION : mistake found, a slot's next owner keeps its leases alive
fails lease -DDEATHS=1 -DASK_KERNEL : mistake found, a sweeper's lock taken for the owner's
fails lease -DDEATHS=1 -DNOT_COUNTED : mistake found, a sweep that does not count departures
fails lease -DDEATHS=1 -DCOUNT_LAST : mistake found, a slot freed before the departure is counted
fails lease -DDEATHS=2 -DBIRTHS=1 -DSEEN_LATE : mistake found, departures read after the look at the leases
fails lease -DDEATHS=1 -DRETURN_FORGETS : mistake found, attempts begin anew
fails lease -DTIMES=1 -DHANDS=2 -DACK_BY_ENTRY : mistake found, ack by the entry alone
fails lease -DTIMES=1 -DHANDS=2 -DACK_BY_WORD : mistake found, ack by the word without the id
fails lease -DTIMES=1 -DHANDS=2 -DACK_BY_OWNER : mistake found, ack without the attempts
fails lease -DDEATHS=1 -DBIRTHS=1 -DACK_BY_SLOT : mistake found, ack without the owner's generation
fails lease -DDEATHS=1 -DBIRTHS=1 -DACK_BY_COPY : mistake found, ack by a forked child's copy of a lease
fails space -DG=1 -DN=4 -DR=3 -DHELD_BEFORE_CURSOR : mistake found, held_pos read before the cursor
fails space -DG=1 -DN=4 -DR=3 -DHELD_LATE : mistake found, cursor stored before held_pos
fails space -DG=1 -DN=4 -DR=3 -DDEATHS=1 -DHELD_FIRST : mistake found, held_pos stored before an entry is free
fails space -DG=1 -DN=4 -DR=3 -DDEATHS=1 -DREBUILD_CLEARS : mistake found, rebuild lets held_pos be none meanwhile
fails space -DG=1 -DDEATHS=1 -DHELD_AHEAD : mistake found, held_pos stored before all entries point to the copies
fails space -DG=1 -DDEATHS=1 -DSWING_FIRST : mistake found, an entry points to a copy that is not whole
fails space -DG=1 -DDEATHS=1 -DLONG=2 -DOVERLAP : mistake found, a record slid over itself
fails space -DG=1 -DMOVE_LEASED : mistake found, a leased record slid
fails space -DG=2 -DN=4 -DLIMIT_OWN : mistake found, slid beyond another group's cursor
fails letter -DNO_LOOK : mistake found, the successor does not look for a copy
fails letter -DFREE_FIRST : mistake found, finished before it is copied
fails letter -DBY_TIME : mistake found, the right to send ends by time
fails letter -DTAKEN : limit found, a copy that was received before the successor looks
fails due -DNC=2 -DNO_BATON : mistake found, no baton from who leaves with a message
fails due -DNC=2 -DNACK_SILENT : mistake found, no baton from who gives one back
fails due -DNC=2 -DM=1 -DTIMED -DLEAVE_SILENT : mistake found, no baton from who leaves by its deadline
fails due -DNC=2 -DKEEP_WATCH : mistake found, a watch that stands though nobody keeps it
fails due -DNC=2 -DM=1 -DBATON_FOR_WAITING : mistake found, the baton forgets what will be due
fails due -DNC=2 -DM=1 -DWATCH_FIRST : mistake found, due time read before the sleeper announces itself
fails sync -DNO_CATCH_UP : mistake found, what came meanwhile is not synced before the rename
fails sync -DNO_SYNC_LOCK : mistake found, promises are kept about the old file to the end
fails sync -DNO_FOLDER : mistake found, the folder is not synced
fails sync -DBY_GENERATION : mistake found, promises about a replaced file count as kept
fails sync -DOFF_ALONE : mistake found, an offset on the disk without the file's generation
fails sync -DDEATHS=1 -DADOPT_SYNCED : mistake found, a dead one's new file taken to be on the disk
fails fence -DFENCE_SLEEPER -DNO_FENCE : mistake found, no membarrier
fails fence -DFENCE_WAKER -DNO_FENCE : mistake found, no fence
fails fence -DSOLE -DNO_FENCE : mistake found, no membarrier beside a sole producer
fails fence -DSOLE -DSOLE_NO_FENCE : mistake found, no fence after turning sole
fails fence -DSOLE -DLEAVE_NO_FENCE : mistake found, no fence before leaving the sole role
fails fence -DSOLE -DUNLOCK_RELEASE : mistake found, unlock that is only a release before S is read
END

if [ $# -gt 0 ]; then
	mv "$work/list" "$work/all"
	grep -F -e "$1" "$work/all" > "$work/list" || { echo "models: none has '$1'" && exit 1; }
fi
tr '\n' '\0' < "$work/list" | xargs -0 -P "${JOBS:-2}" -n 1 sh "$0" --one "$work"

total=$(wc -l < "$work/list")
passed=$(grep -c '^ok - ' "$work/results")
echo "$passed passed, $((total - passed)) failed"
[ "$passed" -eq "$total" ]
