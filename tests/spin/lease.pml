/*
 * lease.pml - leases: handing out, ack, nack, their end by time and by death.
 *
 * A ring of K messages, the cursor of one group and E pending entries.  NC consumers,
 * each with HANDS messages at a time in its hands, share them under the group's lock.
 * Each of them may be killed between any two stores, or close its handle with leases
 * open, and may come back (BIRTHS times) in whatever attach slot is free: as a forked
 * child that still has copies of its parent's leases, or as somebody new.
 *
 *   receive   a waiting entry: word := LEASED(attempts + 1, owner)
 *             a fresh record: the entry's fields; word := LEASED(1, owner); cursor
 *   ack       the entry's id, and all of its word, are as handed out: word := FREE
 *   nack      likewise: word := WAITING, with its attempts
 *   leaving   who holds the slot's byte (the owner in close, a sweeper, the slot's next
 *             owner): state := LEAVING; departures + 1; state := FREE.  It may die in
 *             between: the slot is not free, and the next sweeper does it again.
 *   return    under the group's lock: departures is read; each lease whose owner's slot
 *             is not USED, or of another generation, becomes WAITING; what was read becomes
 *             departures_seen.  WAITING also where a lease's time is over.
 *   rebuild   by who takes the lock from the dead: entries at or beyond the cursor
 *             become FREE, and the list of free ones is made anew
 *
 *   here                          src/layout.h, src/segment/attach.c, src/group/group_lease.c, src/group/pending_rebuild.c
 *   e_state, e_att, e_own         the word; e_pos position and id; e_over: at_ns is past
 *   spare                         the list of free entries, the one derived thing here
 *   s_state, s_gen, s_byte        a slot's state and generation, its byte's OFD lock
 *   my, OWN                       what sq_lock_word() says of slot and generation
 *   CUT                           killed here, or not
 *   Timer                         any lease may end by time, at any moment
 *   held, holder, counted, acked  only for the properties
 *
 * What it leaves out: memory is sequentially consistent; times are not numbers, so a
 * lease may end at any moment (TIMES of them); the ring holds all K messages from the
 * start and never fills; nobody sleeps (due.pml does), but whoever finds nothing waits for
 * something worth a look under the lock, and looks for the dead at any time.  A store
 * under the lock that no one reads without it is not interleaved, only cut by death.
 * A process killed in the middle has died at the last store it made.
 *
 * Properties
 *   - A message is in one consumer's hands at a time, as long as its lease holds.
 *   - What was acked is never handed out again, and in the end all are acked.
 *   - Each delivery has one attempt more than the one before.
 *   - An ack or nack that is accepted is about the very delivery it was handed out by,
 *     to this owner; one that is refused is not of a lease that holds.
 *   - It never happens that somebody lives, nobody has anything left to do, and a
 *     message is not finished (Lost).
 *   - What is derived is right whenever the lock is given back.
 *
 * Parameters: NC, K, E, HANDS, SLOTS; DEATHS (kills and closes), BIRTHS, TIMES, NACKS.
 * Mistakes, each of which must be found:
 *   CURSOR_FIRST    the cursor is stored before the entry's word
 *   REBUILD_KEEPS   entries at or beyond the cursor stay
 *   NO_REBUILD      the list of free entries stays as the dead left it
 *   NO_GENERATION   a lease is its owner's as long as anybody uses the slot
 *   ASK_KERNEL      ... as long as the slot's byte is locked: a sweeper locks it, too
 *   NOT_COUNTED     a slot is given up, and departures stays
 *   COUNT_LAST      state := FREE; departures + 1, and who does it dies in between
 *   SEEN_LATE       departures is read after the leases were looked through
 *   RETURN_FORGETS  a returned message's attempts begin anew
 *   ACK_BY_ENTRY    an ack is good where the entry is leased at all
 *   ACK_BY_WORD     ... where its word is the same, of whatever message: a lease of
 *                   another one, also its first, by the same owner in the same entry
 *   ACK_BY_OWNER    ... where message and owner are the same, at whatever attempt
 *   ACK_BY_SLOT     ... without the owner's generation: a forked child has its parent's
 *                   slot, and its leases in copy
 *   ACK_BY_COPY     ... where the entry is as the lease says, though that is a copy of
 *                   the parent's and the handle now has an owner's word of its own
 * (To store departures_seen before the leases are looked through is no mistake: who
 * dies in between is a departure more.)
 *
 * By hand:
 *   spin -DDEATHS=2 -DBIRTHS=1 -a lease.pml
 *   cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m20000 -w22
 *
 * States seen, none with an error:
 *   DEATHS=3 BIRTHS=2 K=1 E=1           2.6 M    DEATHS=1 BIRTHS=1 TIMES=1 SLOTS=3     2.5 M
 *   DEATHS=1 BIRTHS=1 TIMES=1 NACKS=1   4.0 M    DEATHS=1 BIRTHS=1 HANDS=2             0.9 M
 *   DEATHS=2 BIRTHS=1                   0.8 M    DEATHS=1 BIRTHS=1 K=3                 0.7 M
 *   K=3 TIMES=2 HANDS=2 NACKS=1         0.6 M    NC=3 DEATHS=2 K=1 E=1                 0.4 M
 */
#ifndef NC
#define NC 2
#endif
#ifndef K
#define K 2
#endif
#ifndef E
#define E 2
#endif
#ifndef HANDS
#define HANDS 1
#endif
#ifndef SLOTS
#define SLOTS NC
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef BIRTHS
#define BIRTHS 0
#endif
#ifndef TIMES
#define TIMES 0
#endif
#ifndef NACKS
#define NACKS 0
#endif

/* --- the segment --------------------------------------------------------- */

#define FREE    0
#define WAITING 1
#define LEASED  2
byte cursor;                         /* the ring holds messages 0 to K - 1 */
byte e_state[E], e_att[E], e_own[E]; /* an entry's word, stored in one step */
byte e_pos[E];                       /* its message */
bit e_over[E];                       /* at_ns, compared with now */

byte spare;                           /* bit e: entry e is spare (derived) */
byte departures, departures_seen;
byte lock;                           /* 0 or the owner */

#define USED    1
#define LEAVING 2
byte s_state[SLOTS];                 /* attach slots: FREE, USED, LEAVING */
byte s_gen[SLOTS];
byte s_byte[SLOTS];                  /* who holds its OFD lock, + 1 */

/* An owner: slot and generation. */
#define OWN(s, g) (1 + (s) + SLOTS * (g))
#define SLOT(own) (((own) - 1) % SLOTS)
#define GEN(own)  (((own) - 1) / SLOTS)

/* --- bookkeeping of the properties ---------------------------------------- */

byte acked;                          /* bit m: message m */
byte counted[K];                     /* its deliveries so far */
byte holder[K];                      /* who may believe to have it, + 1 */
byte held[NC];                       /* messages in its hands */
bit alive[NC], busy[NC];
byte deaths, births, ended, nacks;

#define BIT(n) (1 << (n))
#define ALL    (BIT(K) - 1)

#if E == 1
#define ANY(what) (what(0))
#elif E == 2
#define ANY(what) (what(0) || what(1))
#else
#define ANY(what) (what(0) || what(1) || what(2))
#endif
#define IS_HELD(e)    (e_state[e] != FREE)
#define IS_WAITING(e) (e_state[e] == WAITING)
#define RUNS_ON(e)    (e_state[e] == LEASED && !e_over[e])
#define IS_OVER(e)    (e_state[e] == LEASED && e_over[e])

#if SLOTS == 2
#define ANY_SLOT(what) (what(0) || what(1))
#else
#define ANY_SLOT(what) (what(0) || what(1) || what(2))
#endif
#define IS_DEAD(s) (s_state[s] != FREE && s_byte[s] == 0)
#if NC == 2
#define ANY_C(what) (what(0) || what(1))
#else
#define ANY_C(what) (what(0) || what(1) || what(2))
#endif

#define LIVE(p)  (alive[p])
#define BUSY(p)  (busy[p])
#define HOLDS(p) (alive[p] && held[p])

/* Whether a lock's owner lives (sq_attach_owner_lives). */
#define LIVES(own) (s_gen[SLOT(own)] == GEN(own) && s_byte[SLOT(own)] != 0)
/* Whether a lease has lost its owner (sq_attach_owner_left). */
#if defined(NO_GENERATION)
#define LEFT(own) (s_state[SLOT(own)] != USED)
#elif defined(ASK_KERNEL)
#define LEFT(own) (s_byte[SLOT(own)] == 0)
#else
#define LEFT(own) (s_state[SLOT(own)] != USED || s_gen[SLOT(own)] != GEN(own))
#endif

#define DONE (cursor == K && !ANY(IS_HELD) && lock == 0)
/* A look under the lock would change something. */
#define WORTH_A_LOOK \
	((lock != 0 && !LIVES(lock)) || departures != departures_seen || \
	    ANY(IS_OVER) || ANY(IS_WAITING) || (cursor < K && spare != 0))

/* Killed here, or not. */
#define MAY_DIE (deaths < DEATHS && (others(me) || births < BIRTHS))
#if NC == 2
#define others(me) (alive[1 - (me)])
#else
#define others(me) ((alive[0] + alive[1] + alive[2]) > 1)
#endif
#if DEATHS
#define CUT if :: true :: MAY_DIE -> die(); goto dead fi
#else
#define CUT skip
#endif

inline die()
{
	d_step { deaths++; alive[me] = 0; busy[me] = 1 }
}

inline set_word(e, state, att, own)
{
	d_step { e_state[e] = state; e_att[e] = att; e_own[e] = own }
}

/* Delivery number att of message m becomes true. */
inline hand_out(m, att)
{
	d_step {
		assert(!(acked & BIT(m)));
		assert(holder[m] == 0);
		assert(att == counted[m] + 1);
		counted[m] = att;
		holder[m] = me + 1
	}
}

/* The lock's owner died: what is derived is made anew. */
inline rebuild()
{
	i = 0;
	do
	:: i < E ->
#ifndef REBUILD_KEEPS
		if
		:: e_state[i] != FREE && e_pos[i] >= cursor ->
			set_word(i, FREE, 0, 0);
			CUT
		:: else
		fi;
#endif
#ifndef NO_REBUILD
		if
		:: e_state[i] == FREE -> spare = spare | BIT(i)
		:: else -> spare = spare & ~BIT(i)
		fi;
#endif
		i++
	:: else -> break
	od;
	i = 0;
	CUT
}

inline enter()
{
	atomic {
		(lock == 0 || !LIVES(lock)) ->
		odied = (lock != 0);
		lock = my;
		if
		:: odied -> odied = 0; rebuild()
		:: else
		fi
	}
}

inline leave()
{
	d_step {
		i = 0;
		do
		:: i < E -> assert((e_state[i] == FREE) == ((spare >> i) & 1)); i++
		:: else -> break
		od;
		i = 0;
		lock = 0
	}
}

/* Who holds the slot's byte gives the slot up, for itself or for the dead. */
inline clean(s)
{
#ifndef COUNT_LAST
	s_state[s] = LEAVING;
	CUT;
#ifndef NOT_COUNTED
	departures++;
#endif
	CUT;
	s_state[s] = FREE
#else
	s_state[s] = FREE;
	CUT;
	departures++
#endif
}

/* Leases of those who left are returned. */
inline return_left()
{
	if
	:: departures != departures_seen ->
		seen = departures;
		i = 0;
		do
		:: i < E ->
			atomic {
				if
				:: e_state[i] == LEASED && LEFT(e_own[i]) ->
#ifdef RETURN_FORGETS
					set_word(i, WAITING, 0, 0);
#else
					set_word(i, WAITING, e_att[i], 0);
#endif
					e_over[i] = 0
				:: else
				fi;
				CUT;
				i++
			}
		:: else -> break
		od;
		atomic {
			i = 0;
#ifdef SEEN_LATE
			departures_seen = departures;
#else
			departures_seen = seen;
#endif
			seen = 0
		}
	:: else
	fi
}

inline return_over()
{
	d_step {
		i = 0;
		do
		:: i < E ->
			if
			:: IS_OVER(i) -> set_word(i, WAITING, e_att[i], 0); e_over[i] = 0
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline take_in_hand(e)
{
	d_step {
		assert(h_att[h] == 0);
		h_entry[h] = e;
		h_msg[h] = e_pos[e];
		h_att[h] = e_att[e];
		h_own[h] = my;
		held[me]++
	}
}

inline empty_hand()
{
	d_step { h_entry[h] = 0; h_msg[h] = 0; h_att[h] = 0; h_own[h] = 0; held[me]-- }
}

/* Whether the lease in hand is still what the entry says. */
#if defined(ACK_BY_ENTRY)
#define MINE(e) (e_state[e] == LEASED)
#elif defined(ACK_BY_WORD)
#define MINE(e) (e_state[e] == LEASED && e_own[e] == my && e_att[e] == h_att[h])
#elif defined(ACK_BY_OWNER)
#define MINE(e) (e_state[e] == LEASED && e_own[e] == my && e_pos[e] == h_msg[h])
#elif defined(ACK_BY_COPY)
#define MINE(e) \
	(e_state[e] == LEASED && e_own[e] == h_own[h] && e_att[e] == h_att[h] && \
	    e_pos[e] == h_msg[h])
#elif defined(ACK_BY_SLOT)
#define MINE(e) \
	(e_state[e] == LEASED && SLOT(e_own[e]) == SLOT(my) && e_att[e] == h_att[h] && \
	    e_pos[e] == h_msg[h])
#else
#define MINE(e) \
	(e_state[e] == LEASED && e_own[e] == my && e_att[e] == h_att[h] && e_pos[e] == h_msg[h])
#endif

/* An ack or nack that is accepted is about this very delivery. */
#define CHECK_MINE(e) \
	assert(e_pos[e] == h_msg[h] && counted[h_msg[h]] == h_att[h] && h_own[h] == my && \
	    (holder[h_msg[h]] == me + 1 || holder[h_msg[h]] == 0))

proctype Consumer(byte me)
{
	byte my, slot, i, e, h, seen;
	byte h_entry[HANDS], h_msg[HANDS], h_att[HANDS], h_own[HANDS];
	bit odied;

	atomic { my = OWN(me, 1); goto attached };
attach:
	atomic {
		alive[me] = 1;
		busy[me] = 1;
		if
		:: s_byte[0] == 0 -> slot = 0
		:: s_byte[1] == 0 -> slot = 1
#if SLOTS > 2
		:: s_byte[2] == 0 -> slot = 2
#endif
		fi;
		s_byte[slot] = me + 1
	};
	if
	:: s_state[slot] != FREE -> clean(slot)
	:: else
	fi;
	s_gen[slot]++;
	atomic { CUT; s_state[slot] = USED; my = OWN(slot, s_gen[slot]); slot = 0; busy[me] = 0 };
attached:
	do
	:: atomic { DONE -> assert(acked == ALL); break }
	:: atomic { MAY_DIE -> die(); goto dead }
	:: atomic { MAY_DIE -> busy[me] = 1; goto closing }
	:: atomic { ANY_SLOT(IS_DEAD) ->           /* sweep */
		busy[me] = 1;
		if
		:: IS_DEAD(0) -> slot = 0
		:: IS_DEAD(1) -> slot = 1
#if SLOTS > 2
		:: IS_DEAD(2) -> slot = 2
#endif
		fi;
		s_byte[slot] = me + 1 };
		CUT;
		clean(slot);
		atomic { s_byte[slot] = 0; slot = 0; busy[me] = 0 }

	:: atomic { WORTH_A_LOOK && held[me] < HANDS ->  /* receive */
		busy[me] = 1 };
		enter();
		return_left();
		atomic {
			return_over();
			h = 0;
			do
			:: h_att[h] == 0 -> break
			:: else -> h++
			od;
			if
			:: e_state[0] == WAITING -> e = 0; goto again
#if E > 1
			:: e_state[1] == WAITING -> e = 1; goto again
#endif
#if E > 2
			:: e_state[2] == WAITING -> e = 2; goto again
#endif
			:: cursor < K && spare != 0 -> goto fresh
			:: else -> goto out
			fi;
again:
			e_over[e] = 0;
			CUT;
			set_word(e, LEASED, e_att[e] + 1, my);
			hand_out(e_pos[e], e_att[e]);
			CUT;
			take_in_hand(e);
			goto out;
fresh:
			e = 0;
			do
			:: (spare >> e) & 1 -> break
			:: else -> e++
			od;
			assert(e_state[e] == FREE);
			spare = spare & ~BIT(e);
			e_pos[e] = cursor;
			e_over[e] = 0;
			CUT;
#ifdef CURSOR_FIRST
			cursor++;
			CUT;
			set_word(e, LEASED, 1, my);
#else
			set_word(e, LEASED, 1, my);
			CUT;
			cursor++;
#endif
			hand_out(e_pos[e], 1);
			CUT;
			take_in_hand(e);
out:
			e = 0;
			h = 0;
			leave();
			busy[me] = 0
		}

	:: atomic { held[me] > 0 ->                /* ack, or nack */
		busy[me] = 1;
		if
		:: h_att[0] != 0 -> h = 0
#if HANDS > 1
		:: h_att[1] != 0 -> h = 1
#endif
		fi };
		enter();
		atomic {
			e = h_entry[h];
			if
			:: MINE(e) ->
				CHECK_MINE(e);
				if
				:: true ->
					holder[h_msg[h]] = 0;
					acked = acked | BIT(h_msg[h]);
					set_word(e, FREE, 0, 0);
					CUT;
					spare = spare | BIT(e);
				:: nacks < NACKS ->
					nacks++;
					holder[h_msg[h]] = 0;
					set_word(e, WAITING, e_att[e], 0);
				fi;
				e_over[e] = 0;
				CUT
			:: else ->
				assert(holder[h_msg[h]] != me + 1 ||
				    counted[h_msg[h]] != h_att[h] || h_own[h] != my)
			fi;
			empty_hand();
			e = 0;
			h = 0;
			leave();
			busy[me] = 0
		}
	od;
	goto end_all;

closing:
	atomic {
		i = 0;
		do
		:: i < K ->
			if
			:: holder[i] == me + 1 -> holder[i] = 0
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		slot = SLOT(my)
	};
	clean(slot);
	die();

dead:
	atomic {
		i = 0;
		do
		:: i < K ->
			if
			:: holder[i] == me + 1 -> holder[i] = 0
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < SLOTS ->
			if
			:: s_byte[i] == me + 1 -> s_byte[i] = 0
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		busy[me] = 0;
		odied = 0;
		e = 0;
		h = 0;
		seen = 0;
		slot = 0;
		my = 0
	};
end_dead:
	atomic {
		births < BIRTHS ->
		births++;
		if
		:: true                        /* a forked child, which has copies of the leases */
		:: held[me] > 0 ->
			h = 0;
			do
			:: h < HANDS ->
				if
				:: h_att[h] != 0 -> empty_hand()
				:: else
				fi;
				h++
			:: else -> break
			od;
			h = 0
		fi;
		goto attach
	};
end_all:
	busy[me] = 0
}

#if TIMES
active proctype Timer()
{
	byte e;
end:
	do
	:: atomic {
		ended < TIMES && ANY(RUNS_ON) ->
		if
		:: RUNS_ON(0) -> e = 0
#if E > 1
		:: RUNS_ON(1) -> e = 1
#endif
#if E > 2
		:: RUNS_ON(2) -> e = 2
#endif
		fi;
		ended++;
		e_over[e] = 1;
		holder[e_pos[e]] = 0;
		e = 0 }
	od
}
#endif

/* Somebody lives, nobody has anything left to do, and a message is not finished. */
active proctype Lost()
{
end:
	ANY_C(LIVE) && !ANY_C(BUSY) && !ANY_C(HOLDS) && !WORTH_A_LOOK && !ANY_SLOT(IS_DEAD) && !DONE ->
	assert(false)
}

init
{
	byte i;
	atomic {
		spare = BIT(E) - 1;
		do
		:: i < NC ->
			s_state[i] = USED;
			s_gen[i] = 1;
			s_byte[i] = i + 1;
			alive[i] = 1;
			run Consumer(i);
			i++
		:: else -> break
		od
	}
}
