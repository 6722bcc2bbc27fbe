/*
 * base.h - the few things every file of the library needs.
 */
#ifndef SQ_BASE_H
#define SQ_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define sq_likely(x)   __builtin_expect(!!(x), 1)
#define sq_unlikely(x) __builtin_expect(!!(x), 0)

/* On the way of every message: worth its code at each use. */
#define SQ_HOT static inline __attribute__((always_inline))

/* Reads what others may be writing, and throws away what it has read if they were:
 * nothing that a thread sanitizer should report. */
#define SQ_RACY static __attribute__((noinline, no_sanitize("thread")))

/* Keeps what two sides write apart: a line of 64 bytes, and its neighbour that
 * some processors fetch along with it. */
#define SQ_SEPARATE 128
#define SQ_LINE     64

/* Shared counters have one writer at a time; these say "no ordering meant". */
#define sq_load(p)             atomic_load_explicit((p), memory_order_relaxed)
#define sq_store(p, v)         atomic_store_explicit((p), (v), memory_order_relaxed)
#define sq_load_acquire(p)     atomic_load_explicit((p), memory_order_acquire)
#define sq_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)

/* Keep the compiler from moving stores across: what a process that dies leaves
 * behind is decided by the order of its instructions. */
static inline void sq_program_order(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* A breath in a spin loop. */
static inline void sq_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static inline uint64_t sq_align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

#endif
