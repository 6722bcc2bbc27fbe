/*
 * letter.pml - dead letters: one copy in the other queue, whoever dies.
 *
 * A message that is out of tries is DOOMED; a consumer takes it on (DYING, with its
 * owner), puts a copy into the dead-letter queue, and finishes the original.  It may be
 * killed anywhere: then the entry, whose owner left, is DOOMED again, and the next
 * consumer takes it on.  That one cannot know how far the dead one came, so it looks for
 * a copy in the dead-letter queue, by the original's id, before it puts one.
 *
 *   here                          src/api/dead_letter.c, src/group/group_lease.c
 *   state, owner                  the entry's word; rejected: LEASED becomes DYING
 *   put                           one store of the other queue's tail
 *   taken                         the copy has been received and acknowledged there
 *
 * A change under the group's lock is one step (lease.pml), and so is a look at the other
 * queue: what a dead process has put there stays, what it has not put never comes.
 *
 * Properties: never two copies; in the end the original is finished and there is one.
 *
 * Parameters: DEATHS, of 3 consumers.
 * Mistakes, each of which must be found:
 *   NO_LOOK     the successor does not look for a copy
 *   FREE_FIRST  the original is finished, then copied
 *   BY_TIME     DYING ends by time, as a lease does, though its owner lives and is
 *               only slow.  It is none if the owner puts its copy under the other queue's
 *               lock, looks at its entry's word there once more, and successors look under
 *               that lock, too: CHECKED.
 * And a limit of the promise, which must be found as well:
 *   TAKEN       a copy that was put by a dead process, and received and finished
 *               before the successor looks, is not seen: there will be a second one
 *
 * By hand: spin -DDEATHS=2 -a letter.pml
 *          cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan
 */
#ifndef DEATHS
#define DEATHS 2
#endif

#define FREE   0
#define DOOMED 1
#define LEASED 2
#define DYING  3
byte state = LEASED, owner = 1;      /* consumer 0 has received it, and rejects it */
bit alive[3];
byte copies, taken;                  /* ever put; of them, no longer to be seen */
byte lock;                           /* of the other queue's producers: owner + 1 */
byte deaths;

#define MAY_DIE (deaths < DEATHS && alive[0] + alive[1] + alive[2] > 1)
#define CUT     if :: true :: MAY_DIE -> deaths++; goto dead fi
#define MINE    (state == DYING && owner == me + 1)

/* Look for a copy, and put one if there is none.  Not one step: others move on. */
inline send()
{
#ifdef CHECKED
	atomic { (lock == 0 || !alive[lock - 1]) -> lock = me + 1; CUT };
	mine = MINE;
#else
	mine = 1;
#endif
#ifdef NO_LOOK
	found = 0;
#else
	atomic { found = (copies > taken); CUT };
#endif
	atomic {
		if
		:: mine && !found -> copies++; assert(copies <= 1)
		:: else
		fi;
		found = 0;
		mine = 0;
		CUT;
		if
		:: lock == me + 1 -> lock = 0
		:: else
		fi
	}
}

proctype Consumer(byte me)
{
	bit found, mine;

	do
	:: atomic { state == LEASED && owner == me + 1 -> state = DYING; CUT }; goto bury
	:: atomic { state == DOOMED -> state = DYING; owner = me + 1; CUT }; goto bury
	:: atomic {                             /* its owner left */
		(state == LEASED || state == DYING) && !alive[owner - 1] ->
		state = DOOMED;
		CUT }
#ifdef BY_TIME
	:: atomic { state == DYING -> state = DOOMED }
#endif
	:: atomic { state == FREE -> assert(copies == 1); break }
	:: MAY_DIE -> deaths++; goto dead
bury:
#ifdef FREE_FIRST
		atomic { MINE -> state = FREE; owner = 0; CUT };
		send()
#else
		send();
		atomic {
			if
			:: MINE -> state = FREE; owner = 0
			:: else
			fi;
			CUT }
#endif
	od;
	goto end;
dead:
	alive[me] = 0;
end:
	skip
}

#ifdef TAKEN
active proctype Reader()
{
end:
	atomic { copies > taken -> taken++ }
}
#endif

init
{
	atomic {
		alive[0] = 1;
		alive[1] = 1;
		alive[2] = 1;
		run Consumer(0);
		run Consumer(1);
		run Consumer(2)
	}
}
