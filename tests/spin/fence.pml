/*
 * fence.pml - the fences between "publish, then read S" and "set S, then look".
 *
 * Producers publish by a store of tail and then read S; the consumer sets S and
 * then looks at tail.  A store may stay in its processor's buffer while later loads
 * run, so without a fence on each side both can miss the other.  Each producer
 * has one buffered store of tail and one of "sole", which reach memory in any
 * order: weaker than x86, so that what holds here needs no x86.
 *
 *   here                      src/sync/cond_futex.c, src/handle/handle.c
 *   store_tail                the store that publishes a put
 *   wake                      sq_cond_wake; its CAS empties the buffer
 *   S = 1, same = 1           fetch_or of sq_cond_prepare (a full fence of its own)
 *   membarrier                membarrier(GLOBAL_EXPEDITED) in sq_cond_prepare: each
 *                             processor runs a full fence, one after another; a
 *                             producer must be registered before its first put
 *   sole, sole_role           the flag in the segment; the producer byte's OFD lock
 *   put_locked                a put under the producer lock
 *
 * Variants
 *   FENCE_SLEEPER  the sleeper always does the membarrier, the wakers have no fence
 *   FENCE_WAKER    no membarrier, a waker has a full fence between the two
 *   SOLE           the sleeper does the membarrier only where it reads sole == 1,
 *                  after it set S.  A producer turns sole by sole = 1, a full fence,
 *                  then puts without lock or fence; it leaves by a full fence,
 *                  then sole = 0.  Killed, it leaves sole at 1, which costs only time.
 *                  Other puts end with an unlock that is a full barrier.  Producers
 *                  change roles at any time, also while a sleeper prepares.
 * Property: never does the consumer sleep although a message waits, all producers
 * are done and all stores have reached memory.
 * Mistakes, each of which must be found: NO_FENCE (with any variant), and with SOLE
 *   SOLE_NO_FENCE   no fence after sole = 1 (x86 would forgive this)
 *   LEAVE_NO_FENCE  no fence before sole = 0 (x86 would forgive this)
 *   UNLOCK_RELEASE  the unlock only releases: tail may still be unseen when S is
 *                   read.  A pthread_mutex_unlock promises no more than that, and
 *                   on other machines than x86 does no more.
 *
 * By hand: spin -DSOLE -a fence.pml
 *          cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan
 * States seen: FENCE_SLEEPER 210 k, FENCE_WAKER 125 k, SOLE with PUTS=2 513 k; each
 * mistake is found within 600.
 */
#ifndef NP
#define NP 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef PUTS
#define PUTS 1
#endif

#if !defined(FENCE_SLEEPER) && !defined(FENCE_WAKER) && !defined(SOLE)
#define FENCE_SLEEPER
#endif

/* --- memory, and what each producer has stored but nobody sees yet -------------- */

byte tail, cursor;
byte tail_next;                      /* tail with the buffered stores */
bit S, sole, same;                   /* same: the word is still the sleeper's w */

bit tail_held[NP], sole_held[NP];    /* one entry per producer and variable */
byte tail_value[NP];
bit sole_value[NP];

bit prod_lock, sole_role;
byte shared_role, finished;
bit asleep;

#define DRAINED(p) (!tail_held[p] && !sole_held[p])

proctype Memory(byte p)
{
end:
	do
	:: d_step { tail_held[p] -> tail_held[p] = 0; tail = tail_value[p]; tail_value[p] = 0 }
	:: d_step { sole_held[p] -> sole_held[p] = 0; sole = sole_value[p]; sole_value[p] = 0 }
	od
}

inline fence()
{
	DRAINED(me)
}

inline store_tail()
{
	d_step { !tail_held[me] -> tail_next++; tail_held[me] = 1; tail_value[me] = tail_next }
}

inline store_sole(v)
{
	d_step { !sole_held[me] -> sole_held[me] = 1; sole_value[me] = v }
}

inline wake()
{
	if
	:: S ->
		atomic { DRAINED(me) -> hit = S; S = 0; if :: hit -> same = 0 :: else fi };
		if
		:: hit -> asleep = 0
		:: else
		fi
	:: else
	fi
}

inline put_locked()
{
	atomic { !prod_lock && DRAINED(me) -> prod_lock = 1 };
	store_tail();
#if defined(SOLE) && !defined(UNLOCK_RELEASE)
	fence();                        /* an unlock that is a full barrier */
#endif
	prod_lock = 0;
#if defined(FENCE_WAKER) && !defined(NO_FENCE)
	fence();
#endif
	wake()
}

proctype Producer(byte me)
{
	byte round, n;
	bit hit;
	do
	:: round < ROUNDS ->
		n = 0;
		if
		:: atomic { !sole_role -> shared_role++ };
			do
			:: n < PUTS -> put_locked(); n++
			:: else -> break
			od;
			shared_role--
#ifdef SOLE
		:: atomic { !sole_role && !shared_role && DRAINED(me) -> sole_role = 1 };
			store_sole(1);
#ifndef SOLE_NO_FENCE
			fence();
#endif
			do
			:: n < PUTS ->
				store_tail();
				wake();
				n++
			:: else -> break
			od;
			if
			:: true ->
#ifndef LEAVE_NO_FENCE
				fence();
#endif
				store_sole(0);
				fence()
			:: fence()              /* killed: sole stays set, which is only slower */
			fi;
			sole_role = 0
#endif
		fi;
		round++
	:: else -> break
	od;
	fence();
	finished++
}

inline membarrier()
{
	DRAINED(0);
#if NP > 1
	DRAINED(1)
#endif
}

active proctype Consumer()
{
again:
	if
	:: tail != cursor -> cursor = tail; goto again
	:: else
	fi;
	d_step { S = 1; same = 1 };             /* sq_cond_prepare */
#ifndef NO_FENCE
#if defined(FENCE_SLEEPER)
	membarrier();
#elif defined(SOLE)
	if
	:: sole -> membarrier()
	:: else
	fi;
#endif
#endif
	if
	:: tail != cursor -> goto again         /* look again */
	:: else
	fi;
	atomic {                                /* sq_cond_sleep */
		if
		:: same -> asleep = 1
		:: else -> goto again
		fi
	};
end_asleep:
	!asleep;
	S = 1;
	goto again
}

active proctype Lost()
{
end:
	finished == NP && asleep && tail != cursor -> assert(false)
}

init
{
	byte i;
	atomic {
		do
		:: i < NP -> run Memory(i); run Producer(i); i++
		:: else -> break
		od
	}
}
