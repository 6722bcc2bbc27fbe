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
