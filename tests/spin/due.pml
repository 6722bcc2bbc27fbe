/*
 * due.pml - sleeping until something is due: who watches over the next due time.
 *
 * A group's consumers sleep on its condition variable (cond.pml) while nothing waits.
 * What will be due later, by the end of a delay or of a lease, is nobody's put, so one
 * of those who sleep must wake by itself in time.  One is enough:
 *
 *   watch     a consumer that has announced itself (S) looks at next_due_ns, and at
 *             watch_ns, until when at the most a sleeper sleeps that takes care of it.
 *             Where that is over, or later than due, it sleeps until due itself and
 *             says so in watch_ns.  The others sleep until their own deadline.
 *   unwatch   awake again, for whatever reason, it takes that back if it still stands
 *   baton     who leaves the group, with a message or without one, wakes the next if
 *             something waits or is due, or will be due and nobody watches
 *
 *   here                          src/handle/wait.c, src/group/pending.c, src/api/consumer.c
 *   due, watch                    next_due_ns, watch_ns
 *   note_due                      sq_pending_note_due, under the group's lock
 *   S = 1, same[me] = 1           sq_cond_prepare
 *   SEEMS_READY                   sq_seems_ready
 *   wake_next                     sq_wake_consumer, after a receive, an ack, a nack, and a
 *                                 wait that ended by its deadline
 *   BUSY                          has a message in hand, and may keep it for ever
 *   Bound                         the bound of 1 s that each sleep has
 *   Clock                         time passes at any moment, from 1 to T
 *
 * What it leaves out: memory is sequentially consistent; a change under the group's
 * lock is one step (lease.pml is about that), and a death under the lock, after which
 * the next owner wakes one, is left to cond.pml.
 *
 * Property: nobody runs, somebody sleeps who would not wake by itself now, and a message
 * waits or is due: this never happens without a death.  A death may swallow a wake
 * and leave a watch that nobody keeps: so at most twice per death, each of which the
 * bound heals.
 *
 * Parameters: NC consumers, M messages with delays of 0 to 2, each given back up to
 * TRIES - 1 times with a delay of 1, or its lease left to end after LEASE; T the end of
 * time, DEATHS, TIMED (consumer 0 may have a deadline).
 * Mistakes, each of which must be found:
 *   NO_BATON           who leaves with a message wakes nobody
 *   NACK_SILENT        who gives back or finishes a message wakes nobody
 *   LEAVE_SILENT       with TIMED: who leaves by its deadline wakes nobody
 *   KEEP_WATCH         the watch stands although the one who kept it is awake
 *   BATON_FOR_WAITING  the baton is passed for what waits, not for what will be due
 *   WATCH_FIRST        next_due_ns is read before the sleeper announces itself
 *
 * By hand:
 *   spin -DNC=2 -a due.pml
 *   cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m20000 -w22
 *
 * States seen, none with an error (the last two are not in the run):
 *   NC=2                       1.8 M    NC=2 DEATHS=1              3.3 M
 *   NC=2 T=2 TIMED             1.7 M    NC=3 M=1 T=2 DEATHS=1      3.1 M
 *   NC=2 M=1 TIMED DEATHS=1    0.5 M
 *   NC=3 M=2 T=2 TRIES=1       9.3 M    NC=3 M=1 T=2 TIMED         4.1 M
 */
#ifndef NC
#define NC 2
#endif
#ifndef M
#define M 2
#endif
#ifndef T
#define T 3
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef LEASE
#define LEASE 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

#define NEVER 99

/* --- the segment ----------------------------------------------------------- */

#define NONE    0                    /* not yet put */
#define FRESH   1                    /* in the ring, not yet looked at */
#define WAITING 2
#define DELAYED 3
#define LEASED  4
#define DONE    5
byte state[M], at[M];                /* DELAYED, LEASED: when that ends; FRESH: when due */
byte tries[M];
byte due = NEVER;                    /* next_due_ns */
byte watch;                          /* watch_ns; 0: nobody watches */
bit S;                               /* the S bit of the word that consumers sleep on */
bit same[NC];                        /* that word is still what consumer i saw */

byte now = 1;

#define RUN   0
#define SLEEP 1
#define BUSY  2                      /* has a message in hand, for as long as it likes */
#define GONE  3
byte st[NC];
byte until[NC];                      /* of who sleeps */
bit putting;                         /* put, and has not yet looked for sleepers */
byte deaths, stalls;

#if M == 1
#define ANY(what) (what(0))
#elif M == 2
#define ANY(what) (what(0) || what(1))
#else
#define ANY(what) (what(0) || what(1) || what(2))
#endif
#define IS_READY(m) (state[m] == FRESH || state[m] == WAITING)
#define ENDED(m)    ((state[m] == DELAYED || state[m] == LEASED) && at[m] <= now)

/* sq_seems_ready */
#define SEEMS_READY (ANY(IS_READY) || due <= now)
#define WATCHED(d)  (watch > now && watch <= (d))

#if DEATHS
#define CUT if :: true :: deaths < DEATHS -> deaths++; goto done fi
#else
#define CUT skip
#endif

/* C, before it is left (sq_pending_note_due) */
inline note_due()
{
	i = 0;
	due = NEVER;
	do
	:: i < M ->
		if
		:: (state[i] == DELAYED || state[i] == LEASED) && at[i] < due -> due = at[i]
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* sq_wake: CAS to (counter + 1, S = 0) if S is set, FUTEX_WAKE takes any sleeper */
inline wake_one()
{
	if
	:: S ->
		S = 0;
		same[0] = 0;
#if NC > 1
		same[1] = 0;
#endif
#if NC > 2
		same[2] = 0;
#endif
		if
		:: st[0] == SLEEP -> st[0] = RUN
#if NC > 1
		:: st[1] == SLEEP -> st[1] = RUN
#endif
#if NC > 2
		:: st[2] == SLEEP -> st[2] = RUN
#endif
		:: else
		fi
	:: else
	fi
}

/* sq_wake_consumer */
inline wake_next()
{
	if
	:: S ->
		atomic {
#ifdef BATON_FOR_WAITING
			pass = ANY(IS_READY);
#else
			pass = (SEEMS_READY || (due != NEVER && !WATCHED(due)));
#endif
		};
		atomic {
			if
			:: pass -> pass = 0; wake_one()
			:: else
			fi
		}
	:: else
	fi
}

proctype Consumer(byte me)
{
	byte i, m, known, last = NEVER;
	bit pass;

	atomic {
		if
		:: true
#ifdef TIMED
		:: me == 0 -> last = 2
		:: me == 0 -> last = 3
#endif
		fi
	};
again:
	atomic {                                /* under the lock: sq_group_pick */
		m = 0;
		do
		:: m < M ->
			if
			:: state[m] == FRESH && at[m] > now -> state[m] = DELAYED
			:: state[m] == FRESH && at[m] <= now -> state[m] = WAITING; at[m] = 0
			:: ENDED(m) -> state[m] = WAITING; at[m] = 0
			:: else
			fi;
			m++
		:: else -> break
		od;
		m = 0;
		if
		:: state[0] == WAITING -> m = 0; goto take
#if M > 1
		:: state[1] == WAITING -> m = 1; goto take
#endif
#if M > 2
		:: state[2] == WAITING -> m = 2; goto take
#endif
		:: else -> note_due(); goto nothing
		fi;
take:
		tries[m]++;
		state[m] = LEASED;
		at[m] = now + LEASE;
		note_due();
		CUT
	};
#ifndef NO_BATON
	wake_next();
#endif
	st[me] = BUSY;
	atomic {
		st[me] = RUN;
		if
		:: state[m] == LEASED -> state[m] = DONE; at[m] = 0
		:: tries[m] < TRIES && state[m] == LEASED -> state[m] = DELAYED; at[m] = now + 1
		:: true                         /* never finished: its lease ends by time */
		fi;
		note_due();
		m = 0;
		CUT
	};
#ifndef NACK_SILENT
	wake_next();
#endif
	if
	:: goto again
	:: goto done
	fi;

nothing:
#ifdef WATCH_FIRST
	known = due;
#endif
	atomic { S = 1; same[me] = 1 };         /* sq_cond_prepare, and look again */
	atomic {
		if
		:: SEEMS_READY -> same[me] = 0; goto again
		:: else
		fi
	};
	atomic {                                /* watch_due */
		until[me] = last;
#ifndef WATCH_FIRST
		known = due;
#endif
		if
		:: known == NEVER || WATCHED(known) -> known = 0; goto bed
		:: else
		fi;
		if
		:: known < until[me] -> until[me] = known
		:: else
		fi;
		known = 0
	};
	watch = until[me];
bed:
	atomic {                                /* sq_cond_sleep */
		if
		:: same[me] -> same[me] = 0; st[me] = SLEEP
		:: else
		fi
	};
end_asleep:
	atomic {
		if
		:: st[me] == RUN
		:: st[me] == SLEEP && until[me] <= now -> st[me] = RUN
#if DEATHS
		:: deaths < DEATHS -> deaths++; goto done
#endif
		fi;
		S = 1
	};
	atomic {                                /* unwatch */
#ifndef KEEP_WATCH
		if
		:: watch == until[me] -> watch = 0
		:: else
		fi;
#endif
		until[me] = 0;
		CUT
	};
	atomic {
		if
		:: SEEMS_READY -> goto again
		:: !SEEMS_READY && last > now -> goto nothing
		:: !SEEMS_READY && last <= now
		fi
	};
#ifndef LEAVE_SILENT
	wake_next();
#endif
done:
	atomic { same[me] = 0; until[me] = 0; st[me] = GONE }
}

active proctype Producer()
{
	byte m;
	do
	:: m < M ->
		atomic {
			if
			:: at[m] = now
			:: at[m] = now + 1
			:: at[m] = now + 2
			fi;
			state[m] = FRESH;
			putting = 1 };
		atomic { wake_one(); putting = 0 };
		m++
	:: else -> break
	od
}

active proctype Clock()
{
end:
	do
	:: now < T -> now++
	od
}

#define STUCK(i) (st[i] >= BUSY || (st[i] == SLEEP && until[i] > now))
#if NC == 1
#define ALL_STUCK STUCK(0)
#define ASLEEP (st[0] == SLEEP)
#elif NC == 2
#define ALL_STUCK (STUCK(0) && STUCK(1))
#define ASLEEP (st[0] == SLEEP || st[1] == SLEEP)
#else
#define ALL_STUCK (STUCK(0) && STUCK(1) && STUCK(2))
#define ASLEEP (st[0] == SLEEP || st[1] == SLEEP || st[2] == SLEEP)
#endif

/* The bound of every sleep: needed where all sleep, and a message waits or is due. */
active proctype Bound()
{
	byte i;
end:
	do
	:: d_step { !putting && ALL_STUCK && ASLEEP && (ANY(IS_READY) || ANY(ENDED)) ->
			stalls++;
			assert(stalls <= 2 * deaths);
			i = 0;
			do
			:: i < NC ->
				if
				:: st[i] == SLEEP -> st[i] = RUN
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0
		}
	od
}

init
{
	byte i;
	atomic {
		do
		:: i < NC -> run Consumer(i); i++
		:: else -> break
		od
	}
}
