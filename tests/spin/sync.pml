/*
 * sync.pml - what a journal has promised is on the disk, while the file is replaced.
 *
 * Producers append frames, and wait until theirs is on the disk: who finds the lock `sync`
 * free syncs for all.  Meanwhile the file is rewritten: a new one is filled with all that
 * the old one has, the last of it with the journal's lock J held, and takes its name.  The
 * disk is never waited for with J.  Anybody may be killed anywhere, but the last.
 *
 *   here                          src/persist/journal_file.c, persist/journal_sync.c, persist/journal_rewrite.c
 *   gen, frames[]                    generation, the end that holds; frames of a file
 *   name                          the generation of the file that has the path
 *   disk[], dname                 what a power cut leaves: frames of a file, the path's file
 *   synced_gen, synced_off        the word `synced`
 *   kept                          the last frame that somebody was told is on the disk
 *
 * Frames are numbered through all files, and have another offset in each: what is finished
 * is left out of a new one.  A change under a lock is one step where nobody can look at
 * what is between; so is a copy of frames, or a sync, since who dies in the midst of it has
 * done nothing that counts.
 *
 * Property: after a power cut at any moment, in whichever file then has the path (any that
 * had it since the folder was synced last), are all frames up to `kept`.  And nobody waits
 * for ever.
 *
 * Parameters: K frames of each of 2 producers, REWRITES, DEATHS.
 * Mistakes, each of which must be found:
 *   NO_CATCH_UP    what came while the base was written is not synced before the rename
 *   NO_SYNC_LOCK   `sync` is not had from that on to the end
 *   NO_FOLDER      the folder is not synced
 *   BY_GENERATION  a promise about a file that was replaced counts as kept
 *   OFF_ALONE      `synced` without the generation
 *   ADOPT_SYNCED   who takes J over from one who died replacing takes the new file to be on
 *                  the disk
 *
 * By hand: spin -DDEATHS=1 -a sync.pml
 *          cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan
 */
#ifndef K
#define K 2
#endif
#ifndef REWRITES
#define REWRITES 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

#define FILES (REWRITES + 1)
#define OFF(file, frame) (frame + REWRITES - file)

byte gen, last;                 /* of the file, as the segment has it; frames appended */
byte frames[FILES], name;          /* of each file; which one has the path */
byte disk[FILES], dname;        /* on the disk */
byte synced_gen, synced_off;
byte kept;
byte j, sync;                   /* locks: owner + 1 */
bit alive[3];
byte deaths, rewrites;

#define MAY_DIE (deaths < DEATHS && alive[0] + alive[1] + alive[2] > 1)
#define CUT     if :: true :: MAY_DIE -> deaths++; goto dead fi
#define FREE(lock) (lock == 0 || !alive[lock - 1])

/* With J, from whomever: one who died between the rename and saying so is made up for. */
inline adopt()
{
	if
	:: name != gen ->
		gen = name;
#ifdef ADOPT_SYNCED
		synced_gen = gen;
		synced_off = OFF(gen, frames[gen])
#endif
	:: else
	fi
}

#ifdef OFF_ALONE
#define KEPT (synced_off >= OFF(g, frame))
#else
#ifdef BY_GENERATION
#define KEPT (gen != g || (synced_gen == g && synced_off >= OFF(g, frame)))
#else
#define KEPT (synced_gen > g || (synced_gen == g && synced_off >= OFF(g, frame)))
#endif
#endif

/* With `sync`: all that was appended is on the disk. */
inline flush()
{
	atomic { FREE(j) -> adopt(); file = gen; end = frames[gen]; CUT };
	atomic {
		if
		:: disk[file] < end -> disk[file] = end
		:: else
		fi;
		CUT }
#ifndef NO_FOLDER
	atomic {
		if
		:: synced_gen != file -> dname = name
		:: else
		fi;
		CUT }
#endif
	atomic {
		synced_gen = file;
		synced_off = OFF(file, end);
		file = 0;
		end = 0;
		CUT }
}

proctype Producer(byte me)
{
	byte file, end;         /* of a sync of ours */
	byte g, frame, n;

	do
	:: n < K ->
		atomic {
			FREE(j) ->
			adopt();
			last++;
			frames[gen] = last;
			g = gen;
			frame = last;
			CUT
		}
		do
		:: atomic { KEPT ->
			if
			:: frame > kept -> kept = frame
			:: else
			fi;
			g = 0;
			frame = 0;
			break }
		:: atomic { !KEPT && FREE(sync) -> sync = me + 1; CUT };
			flush();
			atomic { sync = 0; CUT }
		od;
		n++
	:: else -> break
	od;
	goto end_;
dead:
	alive[me] = 0;
end_:
	skip
}

proctype Rewriter(byte me)
{
	byte file, end;
	byte new;

	do
	:: rewrites < REWRITES ->
		atomic { rewrites++; FREE(j) -> adopt(); new = gen + 1; frames[new] = frames[gen]; CUT };
		atomic { disk[new] = frames[new]; CUT };   /* the base */
#ifndef NO_SYNC_LOCK
		atomic { FREE(sync) -> sync = me + 1; CUT };
#endif
		atomic { frames[new] = frames[gen]; CUT };    /* what came meanwhile */
#ifndef NO_CATCH_UP
		atomic { disk[new] = frames[new]; CUT };
#endif
		atomic { FREE(j) -> adopt(); j = me + 1; CUT };
		atomic { frames[new] = frames[gen]; name = new; CUT };
		atomic { gen = new; j = 0; CUT };
#ifdef NO_SYNC_LOCK
		atomic { FREE(sync) -> sync = me + 1; CUT };
#endif
		flush();
		atomic { sync = 0; new = 0; CUT }
	:: else -> break
	od;
	goto end_;
dead:
	alive[me] = 0;
end_:
	skip
}

proctype PowerCut()
{
	byte file;

	atomic {
		file = dname;
		do
		:: file <= name -> assert(disk[file] >= kept); file++
		:: else -> break
		od
	}
}

init
{
	atomic {
		synced_off = OFF(0, 0);
		alive[0] = 1;
		alive[1] = 1;
		alive[2] = 1;
		run Producer(0);
		run Producer(1);
		run Rewriter(2);
		run PowerCut()
	}
}
