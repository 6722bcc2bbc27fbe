/*
 * space.pml - where the ring's space ends, and sliding held records together.
 *
 * A record's place may be used again once all groups have passed it with their cursors
 * and none holds an entry for it.  P, who puts, goes by each group's cursor_pos and
 * held_pos (where its entries begin) without taking any group's lock.  So held_pos may
 * lag behind the truth, but never run ahead of it, at no moment and whoever dies:
 *
 *   P looks   the cursor first, then held_pos
 *   receive   the entry's word; held_pos; the cursor
 *   finish    word := FREE; held_pos
 *   rebuild   entries beyond the cursor dropped; then held_pos, by one store
 *   slide     with all groups' locks, and P's: from the highest entry below the lowest
 *             cursor down, the record is copied forward to where the next one begins, if
 *             it does not overlap itself there and nobody has it leased; then the entry
 *             of each group is pointed to the copy, by one store each; at last held_pos.
 *             A sole consumer does it without P's lock (SOLE).
 *
 *   here                          src/ring/ring.c, src/group/pending.c, src/group/pending_rebuild.c, src/group/ring_compact.c
 *   put                           sq_ring_look_room, and a put
 *   note_held                     sq_pending_note_held
 *   slide                         sq_ring_compact
 *   cell                          the ring; a record has one cell, or two (LONG)
 *   reads                         where the holder of a lease reads, in place
 *   got                           finished_id: the ids come in order
 *
 * One worker puts, one gets for all groups; a third takes the place of one that was killed,
 * between any two stores (CUT).  A store that nobody can see before the next one is not a
 * step of its own.  Memory is sequentially consistent; who owns a lease is left to
 * lease.pml, a topic's history is left out.
 *
 * Properties: whatever a group has an entry for is whole where the entry says, and where
 * the holder of a lease reads it (Torn); and so is what its cursor comes to.
 *
 * Parameters: G groups, E entries each, R cells, N records; LONG, DELAYED bit masks of the
 * ids that have two cells, and that are not handed out when first seen; DEATHS, MORTAL a bit
 * mask of the workers that may be killed, NACKS, SLIDES.
 * Mistakes, each of which must be found:
 *   HELD_BEFORE_CURSOR  P looks at held_pos, then at the cursor
 *   HELD_LATE           receive stores the cursor, then held_pos
 *   HELD_FIRST          finish stores held_pos, then the word
 *   REBUILD_CLEARS      rebuild begins by storing "none" into held_pos
 *   HELD_AHEAD          held_pos is stored before all entries point to the copies
 *   SWING_FIRST         an entry points to the copy before it is whole
 *   OVERLAP             a record is slid by less than its length
 *   MOVE_LEASED         a leased record is slid
 *   LIMIT_OWN           records are slid up to one group's cursor, not the lowest
 *
 * By hand:
 *   spin -DG=1 -DDEATHS=1 -a space.pml
 *   cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m20000 -w22
 *
 * States seen, none with an error (the last is not in the run):
 *   G=2 N=4 R=4 NACKS=0 DELAYED=2 LONG=2 DEATHS=1 MORTAL=1   2.3 M
 *   G=2 N=4 R=3 DELAYED=2                                    2.6 M
 *   G=1 N=6 R=5 LONG=10 SLIDES=2 DEATHS=2                    3.6 M
 *   G=1 N=6 R=5 LONG=2 DELAYED=2 SLIDES=2 SOLE DEATHS=1      4.3 M
 *   G=2 N=4 R=4 NACKS=0 DELAYED=2 LONG=2 DEATHS=1            8.9 M
 */
#ifndef G
#define G 2
#endif
#ifndef E
#define E 2
#endif
#ifndef R
#define R 4
#endif
#ifndef N
#define N 5
#endif
#ifndef LONG
#define LONG 0
#endif
#ifndef DELAYED
#define DELAYED 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef MORTAL
#define MORTAL 7
#endif
#ifndef NACKS
#define NACKS 1
#endif
#ifndef SLIDES
#define SLIDES 1
#endif

#define NONE 99                      /* held: there is no entry */
#define LEN(m) (1 + ((LONG >> (m)) & 1))

/* --- the segment ---------------------------------------------------------- */

byte cell[R];                        /* a record's cells: twice its id, and one more */
byte tail, next_id = 1;              /* P */
byte cursor[G], held[G];             /* C, one of each for each group */
#define FREE    0
#define WAITING 1
#define LEASED  2
byte state[G * E], pos[G * E], id[G * E];
byte reads[G * E];                   /* LEASED: where its holder reads, + 1 */
byte plock, glock[G];                /* owner + 1 */

byte got[G];                         /* the last id that the cursor has passed */
bit alive[3];
byte deaths, nacks, slides;

#define AT(p)       cell[(p) % R]
#define WHOLE(m, p) (AT(p) == 2 * (m) && (LEN(m) == 1 || AT((p) + 1) == 2 * (m) + 1))
#define HAS(e)      (state[e] != FREE && pos[e] < cursor[(e) / E])
#define TORN(e) \
	(HAS(e) && (!WHOLE(id[e], pos[e]) || (state[e] == LEASED && !WHOLE(id[e], reads[e] - 1))))
#if G * E == 1
#define ANY(what) (what(0))
#elif G * E == 2
#define ANY(what) (what(0) || what(1))
#elif G * E == 3
#define ANY(what) (what(0) || what(1) || what(2))
#else
#define ANY(what) (what(0) || what(1) || what(2) || what(3))
#endif

#define TAKEABLE(L) (L == 0 || !alive[L - 1])
#if G == 1
#define LOW_CURSOR cursor[0]
#else
#define LOW_CURSOR (cursor[0] < cursor[1] -> cursor[0] : cursor[1])
#endif

#if DEATHS
#define CUT if :: true :: deaths < DEATHS && ((MORTAL >> me) & 1) -> deaths++; goto dead fi
#else
#define CUT skip
#endif

/* held_pos becomes where the group's entries begin. */
inline note_held(g)
{
	d_step {
		h = NONE;
		k = 0;
		do
		:: k < E ->
			if
			:: state[g * E + k] != FREE && pos[g * E + k] < h -> h = pos[g * E + k]
			:: else
			fi;
			k++
		:: else -> break
		od;
		held[g] = h;
		h = 0;
		k = 0
	}
}

/* The cursor is stored. */
inline pass()
{
	d_step { cursor[g] = cursor[g] + LEN(id[e]); got[g]++ }
}

inline set_free(e)
{
	d_step { state[e] = FREE; reads[e] = 0; pos[e] = 0; id[e] = 0 }
}

/* The highest entry below top: e, at; NONE */
inline find_highest()
{
	skip;
	d_step {
		at = NONE;
		k = 0;
		do
		:: k < G * E ->
			if
			:: state[k] != FREE && pos[k] < top && (at == NONE || pos[k] > at) ->
				at = pos[k];
				e = k
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0
	}
}

/* Where its record would go: to; where it is if somebody reads it there */
inline find_place()
{
	d_step {
		to = top - LEN(id[e]);
		k = 0;
		do
		:: k < G * E ->
			if
#ifndef MOVE_LEASED
			:: state[k] == LEASED && pos[k] == at -> to = at
#endif
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0
	}
}

#ifdef SOLE
#define WITH_P
#else
#define WITH_P atomic
#endif

/* The group's lock, and the rebuild if its owner is dead.  The steps that P may see,
 * which has no group's lock, are steps here. */
inline enter(g)
{
	atomic {
		TAKEABLE(glock[g]) ->
		odied = (glock[g] != 0);
		glock[g] = me + 1;
		if
		:: odied ->
			e = g * E;
			do
			:: e < g * E + E ->
				if
				:: state[e] != FREE && pos[e] >= cursor[g] ->
					set_free(e);
					CUT
				:: else
				fi;
				e++
			:: else -> break
			od;
			e = 0;
#ifdef REBUILD_CLEARS
			held[g] = NONE;
			CUT
#endif
		:: else
		fi
	};
	atomic {
		if
		:: odied -> odied = 0; note_held(g); CUT
		:: else
		fi
	}
}

/* One puts, one gets for all groups; a third one takes the place of who is dead. */
#define P_ROLE (me == 0 || (me == 2 && !alive[0]))
#define C_ROLE (me == 1 || (me == 2 && !alive[1]))
#ifdef SOLE
#define S_ROLE C_ROLE
#else
#define S_ROLE P_ROLE
#endif

proctype Worker(byte me)
{
	byte g, e, k, h, m, low, limit, top, at, to;
	bit odied;

end_next:
	if
	:: P_ROLE && next_id <= N -> goto put
	:: C_ROLE && cursor[0] < tail -> g = 0; goto receive
#if G > 1
	:: C_ROLE && cursor[1] < tail -> g = 1; goto receive
#endif
	:: C_ROLE && state[0] != FREE -> m = 0; goto change
#if G * E > 1
	:: C_ROLE && state[1] != FREE -> m = 1; goto change
#endif
#if G * E > 2
	:: C_ROLE && state[2] != FREE -> m = 2; goto change
#endif
#if G * E > 3
	:: C_ROLE && state[3] != FREE -> m = 3; goto change
#endif
	:: S_ROLE && slides < SLIDES && ANY(HAS) -> goto slide
	:: next_id > N && cursor[0] == tail && cursor[G - 1] == tail && !ANY(HAS) -> goto done
	fi;

put:    /* P: look where space ends, which takes no group's lock */
	atomic { TAKEABLE(plock) -> plock = me + 1; low = tail; g = 0 };
	do
	:: g < G ->
#ifdef HELD_BEFORE_CURSOR
		at = held[g];
		limit = cursor[g];
#else
		limit = cursor[g];
		at = held[g];
#endif
		d_step {
			if
			:: limit < low -> low = limit
			:: else
			fi;
			if
			:: at < low -> low = at
			:: else
			fi;
			limit = 0;
			at = 0;
			g++
		}
	:: else -> break
	od;
	atomic {
		g = 0;
		if
		:: tail + LEN(next_id) - low <= R ->
			low = 0;
			AT(tail) = 2 * next_id;
			CUT;
			if
			:: LEN(next_id) == 2 -> AT(tail + 1) = 2 * next_id + 1; CUT
			:: else
			fi;
			tail = tail + LEN(next_id);
			next_id++;
			CUT
		:: else -> low = 0
		fi;
		plock = 0;
		goto end_next
	};

receive: /* C: a fresh record becomes an entry, if there is one free */
	enter(g);
	atomic {
		e = g * E;
		do
		:: e < g * E + E && state[e] != FREE -> e++
		:: else -> break
		od;
		if
		:: e < g * E + E && cursor[g] < tail
		:: else -> goto leave
		fi;
		pos[e] = cursor[g];
		id[e] = got[g] + 1;
		assert(WHOLE(id[e], pos[e]));
		CUT;
		if
		:: (DELAYED >> id[e]) & 1 -> state[e] = WAITING
		:: else -> state[e] = LEASED; reads[e] = pos[e] + 1
		fi;
		CUT
	};
#ifdef HELD_LATE
	atomic { pass(); CUT };
	atomic { note_held(g); CUT };
#else
	atomic { note_held(g); CUT };
	atomic { pass(); CUT };
#endif
leave:
	atomic { glock[g] = 0; e = 0; g = 0; goto end_next };

change: /* C: an ack, a nack or a lease that ends, or what was given back once more */
	g = m / E;
	enter(g);
	atomic {
		e = m;
		m = 0;
		if
		:: state[e] == LEASED && nacks < NACKS ->
			nacks++;
			reads[e] = 0;
			state[e] = WAITING;
			goto leave
		:: state[e] == WAITING ->
			state[e] = LEASED;
			reads[e] = pos[e] + 1;
			goto leave
		:: state[e] == LEASED
		:: state[e] == FREE -> goto leave
		fi;
#ifdef HELD_FIRST
		d_step { state[e] = FREE; note_held(g); state[e] = LEASED };
#else
		set_free(e);
#endif
		CUT
	};
	atomic {
#ifdef HELD_FIRST
		set_free(e);
#else
		note_held(g);
#endif
		CUT;
		goto leave
	};

slide:  /* all groups' locks, and P's unless C is alone and does it */
#ifndef SOLE
	atomic { TAKEABLE(plock) -> plock = me + 1 };
#endif
	enter(0);
#if G > 1
	enter(1);
#endif
	WITH_P {
		slides++;
#ifdef LIMIT_OWN
		limit = cursor[0];
#else
		limit = LOW_CURSOR;
#endif
#ifdef HELD_AHEAD
		held[0] = limit;
		held[G - 1] = limit;
		CUT;
#endif
		top = limit;
		do
		:: true ->
			find_highest();
			if
			:: at == NONE -> break
			:: else
			fi;
			find_place();
			if
#ifdef OVERLAP
			:: to > at ->
#else
			:: to >= at + LEN(id[e]) ->
#endif
#ifdef SWING_FIRST
				pos[e] = to;
				CUT;
#endif
				if
				:: LEN(id[e]) == 2 -> AT(to + 1) = AT(at + 1); CUT
				:: else
				fi;
				AT(to) = AT(at);
				CUT;
				k = 0;
				do
				:: k < G * E ->
					if
					:: state[k] != FREE && pos[k] == at -> pos[k] = to; CUT
					:: else
					fi;
					k++
				:: else -> break
				od;
				k = 0;
				top = to
			:: else -> top = at
			fi;
			to = 0;
			at = 0;
			e = 0
		od;
		at = 0;
		top = 0;
		limit = 0;
		e = 0;
		note_held(0);
		CUT;
#if G > 1
		note_held(1);
		CUT;
		glock[1] = 0;
#endif
		glock[0] = 0;
#ifndef SOLE
		plock = 0;
#endif
		goto end_next
	};
dead:
	alive[me] = 0;
done:
	skip
}

/* What a group has not finished can be read, where its entry says and its holder reads. */
active proctype Torn()
{
end:
	ANY(TORN) -> assert(false)
}

init
{
	atomic {
		held[0] = NONE;
#if G > 1
		held[1] = NONE;
#endif
		alive[0] = 1;
		alive[1] = 1;
		alive[2] = 1;
		run Worker(0);
		run Worker(1)
#if DEATHS
		; run Worker(2)
#endif
	}
}
