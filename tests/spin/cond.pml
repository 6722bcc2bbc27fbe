/*
 * cond.pml - how shmq's processes sleep and wake, and what a death does to it.
 *
 * A ring of SLOTS slots, producers under the producer lock, the consumers of one
 * group under the group lock (both robust), and two condition variables: "items"
 * on which consumers sleep and "room" on which producers sleep.  A condition
 * variable is one word, (counter, S), S being "somebody may sleep":
 *
 *   wait    w = fetch_or(word, S) | S; look again; FUTEX_WAIT if the word still is
 *           w; on waking fetch_or(word, S), since others may still sleep
 *   wake    after publishing, if S is set: CAS to (counter + 1, S = 0), FUTEX_WAKE
 *   baton   who takes a message and finds S set looks at tail afresh, and wakes
 *           the next where messages are left; a producer does so with room
 *   pass    producers may need 1 or 2 slots, so a wake can hit one that it cannot
 *           help.  room_need, under the producer lock, is the least need of those
 *           that sleep: each sleeper enters its need between sq_cond_prepare and
 *           sq_cond_sleep, when it looks again.  Who was woken, finds no room for
 *           itself, but as much as room_need, sets room_need to "nobody" and wakes
 *           all, and they enter their needs anew.
 *
 *   here                          src/sync/cond_futex.c, src/handle/handle.c
 *   S_items = 1, same[me] = 1     sq_cond_prepare on the group's cond
 *   S_room = 1, same[me] = 1      sq_cond_prepare on the producers' cond
 *   sleep(S, ...)                 sq_cond_sleep
 *   wake_items(n), wake_room(n)   sq_cond_wake
 *   tail_seen, cursor_seen        what a side remembers of the other's position,
 *                                 read again only when it seems empty or full
 *   same[i]                       the word is what process i saw; stands for the
 *                                 comparison of the counter, as if it never wrapped
 *   Bound                         the bound of 1 s that each sleep has
 *   Reaper                        SIGKILL, anywhere; only with -DDEATHS=n
 *
 * Memory is sequentially consistent here; fence.pml is about that.  FUTEX_WAKE
 * takes any sleeper, not the one that slept longest.  Consumers may leave after
 * any message and producers before any.  With -DTIMED a wait may end by its
 * deadline at any moment; it then looks once more and leaves.
 *
 * Properties
 *   - Nobody runs, and a message waits though a consumer sleeps, or there is
 *     room for a producer that sleeps: this never happens without a death, and at
 *     most once per death (stalls <= deaths).  Then the sleeps' bound is what heals.
 *   - Nothing is taken that was not put, or twice; when the ring is empty all
 *     that was put was taken.  (A consumer that is killed after its store of the
 *     cursor has taken the message with it; before, it stays in the queue.)
 *   - No process waits for a lock for ever (an invalid end state), and what is
 *     derived from the truth is right whenever a lock's owner did not die.
 *   - Passing on ends: at most one pass per message taken.
 *
 * Parameters: NP, NC processes of each kind, K puts each, SLOTS, BIG a bit mask of
 * the producers that need 2 slots (with MANY: two messages put at once), FULL to
 * start with a full ring, DEATHS how many are killed, TIMED.
 * Mistakes, each of which must be found: NO_RESET, NO_BATON, NO_ROOM_BATON,
 *   STALE_BATON       the baton goes by the remembered position of the other side
 *   ROOM_BY_CURSOR    a woken producer passes on only if the cursor has moved
 *                     since its own last look, and only to one: it swallows a
 *                     wake that is older than its look, meant for another
 *   ROOM_PASS_ALWAYS  it always passes on to one: two big ones wake each other
 *   NO_BOUND          with deaths: the sleeps have no bound
 *
 * By hand:
 *   spin -DNP=2 -DNC=3 -DSLOTS=4 -a cond.pml
 *   cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m20000 -w22
 *   spin -DNP=2 -DNC=3 -DSLOTS=4 -t -p -g cond.pml      (shows a trail)
 *
 * States seen, none with an error (and NP=3 NC=1 BIG=3 FULL, too large for the
 * run: 30.7 M in a bit-state search, -DBITSTATE and pan -w33):
 *   NP=2 NC=3 SLOTS=4                   6.6 M    NP=2 NC=2 DEATHS=1                   5.3 M
 *   NP=3 NC=1 BIG=3                     9.0 M    NP=2 NC=1 BIG=1 FULL DEATHS=1        4.9 M
 *   NP=2 NC=2 BIG=1 FULL (not in run)  12.5 M    NP=2 NC=1 SLOTS=1 DEATHS=2           2.1 M
 *   NP=1 NC=3 SLOTS=4 K=3               1.3 M    NP=1 NC=2 DEATHS=2                   0.2 M
 *   NP=2 NC=2 SLOTS=4 BIG=1 MANY TIMED  1.9 M    NP=1 NC=2 K=2 DEATHS=1               0.3 M
 *   NP=2 NC=1 BIG=1 FULL                0.4 M    NP=2 NC=1 BIG=1 FULL TIMED           2.2 M
 */
#ifndef NP
#define NP 2
#endif
#ifndef NC
#define NC 2
#endif
#ifndef K
#define K 1
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BIG
#define BIG 0
#endif
#ifndef FULL
#define FULL 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef MORTAL
#define MORTAL 255
#endif

#define N      (NP + NC)
#define NEED(p) (1 + ((BIG >> (p)) & 1))
#define NONE   9                     /* more than any need */

/* --- the segment --------------------------------------------------------- */

byte tail, cursor;                   /* the truth: free-running positions */
byte tail_seen, cursor_seen;         /* what each side remembers of the other */
byte ring[SLOTS];                    /* message number at each position */
byte room_need = NONE;               /* least need of the sleeping producers */
bit S_items, S_room;                 /* the S bit of each word */
bit same[N];                         /* process i's word is still its w */

#define FREE  0                      /* a robust lock: free, owner + 1, ... */
#define ODIED 255                    /* ... or its owner died */
byte prod_lock, group_lock;
#if DEATHS
byte puts, gets;                     /* derived from tail and cursor */
#endif

/* --- the processes, as the kernel sees them --------------------------------- */

#define RUN   0
#define SLEEP 1
#define GONE  2
#define DEAD  3
byte st[N];
bit woken[NP];                       /* FUTEX_WAIT returned 0 */

/* --- bookkeeping of the properties -------------------------------------- */

short put_set, taken_set;            /* bit m: message m */
byte deaths, stalls, passes, takes;

#define ITEMS  (cursor != tail)
#define ROOM   (SLOTS - (tail - cursor))
#define BIT(m) (1 << (m))
#define SECOND(m) ((m) + NP * K)     /* the other record of a put of two */
#ifdef MANY                          /* a put of two slots is two records */
#define RECORDS(p) NEED(p)
#define LENGTH(m)  1
#else                                /* or one record of two slots */
#define RECORDS(p) 1
#define LENGTH(m)  NEED((m) / K)
#endif

inline lock(L)
{
	(L == FREE || L == ODIED) -> odied = (L == ODIED); L = me + 1
}

inline unlock(L)
{
	L = FREE
}

#if DEATHS
/* The next locker repairs what is derived; nobody else ever sees it wrong. */
#define REPAIR(derived, truth) \
	if \
	:: odied -> odied = 0; derived = truth \
	:: else -> assert(derived == truth) \
	fi
#define DERIVE(derived, truth) derived = truth
#define CUT }; atomic {              /* others run, and a death strikes, here */
#else
#define REPAIR(derived, truth) skip
#define DERIVE(derived, truth) skip
#define CUT skip;
#endif

/* sq_cond_wake: CAS to (counter + 1, S = 0) if S is set, then FUTEX_WAKE, which
 * takes any of the sleepers. */
inline wake_items(many)
{
	d_step {
		hit = S_items;
		S_items = 0;
		if
		:: hit ->
			same[NP] = 0;
#if NC > 1
			same[NP + 1] = 0;
#endif
#if NC > 2
			same[NP + 2] = 0;
#endif
		:: else
		fi
	};
	if
	:: hit -> atomic {
		hit = 0;
		left = many;
		do
		:: left && st[NP] == SLEEP -> st[NP] = RUN; left--
#if NC > 1
		:: left && st[NP + 1] == SLEEP -> st[NP + 1] = RUN; left--
#endif
#if NC > 2
		:: left && st[NP + 2] == SLEEP -> st[NP + 2] = RUN; left--
#endif
		:: else -> break
		od;
		left = 0 }
	:: else
	fi
}

inline wake_room(many)
{
	d_step {
		hit = S_room;
		S_room = 0;
		if
		:: hit ->
			same[0] = 0;
#if NP > 1
			same[1] = 0;
#endif
#if NP > 2
			same[2] = 0;
#endif
		:: else
		fi
	};
	if
	:: hit -> atomic {
		hit = 0;
		left = many;
		do
		:: left && st[0] == SLEEP -> st[0] = RUN; woken[0] = 1; left--
#if NP > 1
		:: left && st[1] == SLEEP -> st[1] = RUN; woken[1] = 1; left--
#endif
#if NP > 2
		:: left && st[2] == SLEEP -> st[2] = RUN; woken[2] = 1; left--
#endif
		:: else -> break
		od;
		left = 0 }
	:: else
	fi
}

/* sq_cond_sleep: FUTEX_WAIT, which returns at once where the word has changed.
 * On waking S is set again, since others may still sleep. */
inline sleep(S, otherwise)
{
	atomic {
		if
		:: same[me] -> same[me] = 0; st[me] = SLEEP
		:: else -> goto otherwise
		fi
	};
end_asleep:
#ifdef TIMED
	if
	:: st[me] == RUN
	:: atomic { st[me] == SLEEP -> st[me] = RUN }; last = 1
	:: st[me] == RUN -> last = 1
	fi;
#else
	st[me] == RUN;
#endif
#ifndef NO_RESET
	S = 1;
#endif
}

proctype Producer(byte me)
{
	byte k, left;
	bit hit, odied, fits, pass, prepared;
#ifdef TIMED
	bit last;
#endif
#ifdef ROOM_BY_CURSOR
	byte looked = 0;
#endif
	{
	k = 0;
again:
	atomic {
		lock(prod_lock);
		REPAIR(puts, tail);
		if
		:: tail + NEED(me) - cursor_seen > SLOTS -> cursor_seen = cursor
		:: else
		fi;
		fits = (tail + NEED(me) - cursor_seen <= SLOTS)
	};
	if
	:: fits -> atomic {
		fits = 0;
		ring[tail % SLOTS] = me * K + k;
		if
		:: NEED(me) == 2 -> ring[(tail + 1) % SLOTS] = SECOND(me * K + k)
		:: else
		fi;
		CUT
		d_step {                        /* the one store that publishes */
			put_set = put_set | BIT(me * K + k);
			if
			:: RECORDS(me) == 2 -> put_set = put_set | BIT(SECOND(me * K + k))
			:: else
			fi;
			tail = tail + NEED(me);
#ifdef STALE_BATON
			pass = (tail - cursor_seen < SLOTS);
#endif
			woken[me] = 0;
			prepared = 0
		};
		CUT
		DERIVE(puts, tail);
		unlock(prod_lock) };
		wake_items(RECORDS(me));
#ifndef NO_ROOM_BATON
#ifdef STALE_BATON
		if
		:: pass -> wake_room(1)
		:: else
		fi;
		pass = 0;
#else
		if
		:: S_room && ROOM > 0 -> wake_room(1)
		:: else
		fi;
#endif
#endif
		k++;
		if
		:: k < K -> goto again
		:: goto done
		fi
	:: else
	fi;
	atomic {                                /* no room */
#if defined(ROOM_BY_CURSOR)
		pass = (woken[me] && cursor_seen != looked);
		looked = cursor_seen;
#elif defined(ROOM_PASS_ALWAYS)
		pass = woken[me];
#else
		pass = (woken[me] && SLOTS - (tail - cursor_seen) >= room_need);
		if
		:: pass -> room_need = NONE
		:: else
		fi;
		if
		:: prepared && NEED(me) < room_need -> room_need = NEED(me)
		:: else
		fi;
#endif
		woken[me] = 0;
		CUT
		unlock(prod_lock)
	};
	if
	:: pass ->
		pass = 0;
		passes++;
		assert(passes <= takes);
#if defined(ROOM_BY_CURSOR) || defined(ROOM_PASS_ALWAYS)
		wake_room(1)
#else
		wake_room(NP)
#endif
	:: else
	fi;
#ifdef TIMED
	if
	:: last -> goto done
	:: else
	fi;
#endif
	if
	:: !prepared ->                         /* sq_cond_prepare, look again */
		d_step { S_room = 1; same[me] = 1; prepared = 1 };
		goto again
	:: else
	fi;
	prepared = 0;
	sleep(S_room, again);
	goto again;
done:
	st[me] = GONE
	} unless { st[me] == DEAD }
}

proctype Consumer(byte me)
{
	byte id, left;
	bit hit, odied, more;
#ifdef TIMED
	bit last;
#endif
	{
	id = 0;
again:
	atomic {
		lock(group_lock);
		REPAIR(gets, cursor);
		if
		:: cursor == tail_seen -> tail_seen = tail
		:: else
		fi;
		more = (cursor != tail_seen)
	};
	if
	:: more -> atomic {
		id = ring[cursor % SLOTS];
		CUT
		d_step {                        /* the one store that takes */
			assert((put_set & BIT(id)) && !(taken_set & BIT(id)));
			taken_set = taken_set | BIT(id);
			cursor = cursor + LENGTH(id);
			takes++;
			id = 0;
#ifdef STALE_BATON
			more = (cursor != tail_seen)
#else
			more = 0
#endif
		};
		CUT
		DERIVE(gets, cursor);
		unlock(group_lock) };
		wake_room(1);
#ifndef NO_BATON
#ifdef STALE_BATON
		if
		:: more -> more = 0; wake_items(1)
		:: else
		fi;
#else
		if
		:: S_items && ITEMS -> wake_items(1)
		:: else
		fi;
#endif
#endif
		if
		:: goto again
		:: goto done
		fi
	:: else
	fi;
	unlock(group_lock);
#ifdef TIMED
	if
	:: last -> goto done
	:: else
	fi;
#endif
	d_step { S_items = 1; same[me] = 1 };   /* sq_cond_prepare */
	if
	:: ITEMS -> same[me] = 0; goto again    /* look again */
	:: else
	fi;
	sleep(S_items, again);
	goto again;
done:
	st[me] = GONE
	} unless { st[me] == DEAD }
}

#define QUIET_2   (st[0] != RUN && st[1] != RUN)
#define WANTS(p)  (st[p] == SLEEP && ROOM >= NEED(p))
#if NP > 2
#define ROOM_WAITS (WANTS(0) || WANTS(1) || WANTS(2))
#elif NP > 1
#define ROOM_WAITS (WANTS(0) || WANTS(1))
#else
#define ROOM_WAITS WANTS(0)
#endif
#if NC > 2
#define ASLEEP (st[NP] == SLEEP || st[NP + 1] == SLEEP || st[NP + 2] == SLEEP)
#elif NC > 1
#define ASLEEP (st[NP] == SLEEP || st[NP + 1] == SLEEP)
#else
#define ASLEEP (st[NP] == SLEEP)
#endif
#if N > 4
#define QUIET (QUIET_2 && st[2] != RUN && st[3] != RUN && st[4] != RUN)
#elif N > 3
#define QUIET (QUIET_2 && st[2] != RUN && st[3] != RUN)
#elif N > 2
#define QUIET (QUIET_2 && st[2] != RUN)
#else
#define QUIET QUIET_2
#endif

/* The bound of every sleep.  It is needed where nobody runs although a sleeper
 * could go on; the property is that this happens at most once per death, so
 * never without one. */
active proctype Bound()
{
	byte i;
end:
	do
	:: QUIET && ((ITEMS && ASLEEP) || ROOM_WAITS) ->
		d_step {
			stalls++;
#ifdef NO_BOUND
			assert(false);
#endif
			assert(stalls <= deaths);
			i = 0;
			do
			:: i < N ->
				if
				:: st[i] == SLEEP -> st[i] = RUN
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0
		}
	:: !ITEMS && put_set != taken_set -> assert(false)
	od
}

#if DEATHS
#define ALIVE(i) (deaths < DEATHS && st[i] <= SLEEP && ((MORTAL >> (i)) & 1))

inline kill(i)
{
	d_step {
		st[i] = DEAD;
		same[i] = 0;
		deaths++;
		if
		:: prod_lock == i + 1 -> prod_lock = ODIED
		:: else
		fi;
		if
		:: group_lock == i + 1 -> group_lock = ODIED
		:: else
		fi
	}
}

active proctype Reaper()
{
end:
	do
	:: ALIVE(0) -> kill(0)
	:: ALIVE(1) -> kill(1)
#if N > 2
	:: ALIVE(2) -> kill(2)
#endif
#if N > 3
	:: ALIVE(3) -> kill(3)
#endif
#if N > 4
	:: ALIVE(4) -> kill(4)
#endif
	od
}
#endif

init
{
	byte i;
	atomic {
#if FULL
		do
		:: tail < SLOTS ->
			ring[tail] = 2 * NP * K + tail;
			put_set = put_set | BIT(2 * NP * K + tail);
			tail++
		:: else -> break
		od;
#if DEATHS
		puts = tail;
#endif
#endif
		do
		:: i < NP -> run Producer(i); i++
		:: i >= NP && i < N -> run Consumer(i); i++
		:: else -> break
		od
	}
}
