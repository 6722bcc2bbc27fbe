/*
 * layout.h - every struct of the segment.
 *
 *     +--------+---------+----------+--------------+----------+----------------+
 *     | header | control | producer | attach slots | group 0  | ring           |
 *     | what   | gone,   | lock,    | who is       | lock,    | 2^n bytes,     |
 *     | never  | sweep   | tail,    | attached     | cursor,  | mapped twice   |
 *     | changes|         | room     |              | items    | in a row       |
 *     +--------+---------+----------+--------------+----------+----------------+
 *     0        512       1024       header.*_off   ...        page-aligned
 *
 * Offsets and fixed-width fields only: every process maps it elsewhere.  A
 * field's comment says who writes it; everybody may read everything.  Fields
 * read without the lock of their writer are _Atomic.
 *
 * Truth is what the records between `cursor` and `tail` say, `cursor` and
 * `tail`.  All else is derived and can be rebuilt from it (ring.c).
 *
 * Positions (_pos) run on for ever; the ring offset is the position modulo the
 * capacity.  cursor_pos <= tail_pos <= cursor_pos + capacity (modulo 2^64).
 */
#ifndef SQ_LAYOUT_H
#define SQ_LAYOUT_H

#include <assert.h>
#include <stdalign.h>

#include "base.h"
#include "cond.h"
#include "lock.h"
#include "shmq.h"

#define SQ_MAGIC  "shmq\r\n\032"
#define SQ_FORMAT 1

/*
 * Features a segment needs.  One that does not know a `compatible` bit may go
 * on, one that does not know a `read_compatible` bit may only read, and one that
 * does not know an `incompatible` bit must keep out.
 */
enum {
    SQ_COMPATIBLE_KNOWN = 0,
    SQ_READ_COMPATIBLE_KNOWN = 0,
    SQ_INCOMPATIBLE_KNOWN = 0,
};

/* Written by the creator before the object has a name; never afterwards.
 * `check` covers the bytes before it. */
struct sq_header_shm {
    char magic[8];
    uint32_t format;
    uint32_t header_bytes;
    uint32_t compatible;
    uint32_t read_compatible;
    uint32_t incompatible;
    uint32_t lock_stamp; /* SQ_LOCK_STAMP */
    uint32_t cond_stamp; /* sq_cond_stamp() */
    uint32_t full;       /* enum shmq_full */
    uint32_t mode;       /* permission bits */
    uint32_t slot_count;
    uint32_t slot_bytes;
    uint32_t group_count;
    uint32_t group_bytes;
    uint32_t reserved;
    uint64_t control_off;
    uint64_t producer_off;
    uint64_t slots_off;
    uint64_t groups_off;
    uint64_t ring_off;
    uint64_t total_bytes;
    uint64_t capacity_bytes;
    uint64_t max_messages; /* 0: no limit */
    uint64_t max_message_bytes;
    int64_t created_ns; /* CLOCK_REALTIME */
    uint64_t check;     /* of the bytes before (segment.c) */
};

struct sq_control_shm {
    alignas(SQ_SEPARATE) _Atomic uint32_t notices; /* enum sq_notice; bits are only ever set */
    /* No slot from here on was ever taken.  Raised by who takes one, before it is
     * marked used. */
    _Atomic uint32_t slots_touched;
    _Atomic int64_t swept_ns;    /* last look for dead processes; whoever wins the swap */
    _Atomic uint64_t dead_count; /* attached processes found dead; whoever cleans the slot */
    _Atomic uint64_t recoveries; /* dead owners of a lock or role; whoever repairs */
};

enum sq_notice {
    /* The name was removed.  Set by whoever notices. */
    SQ_NOTICE_GONE = 1,
    /* A process cannot issue membarrier(), so that sole producers and consumers
     * must fence for themselves.  Set by that process. */
    SQ_NOTICE_FENCE = 2,
};

/* A handle's place in the attach table.  Its owner holds an OFD lock on the
 * slot's byte (attach.c); whoever gets that lock may clean or take the slot. */
struct sq_slot_shm {
    alignas(SQ_LINE) _Atomic uint32_t state; /* enum sq_slot_state */
    uint32_t generation;                     /* +1 each time it is taken; tells owners apart */
    int32_t pid;                             /* for people */
    uint32_t flags;                          /* SHMQ_SOLE_... */
    int64_t attached_ns;
    _Atomic uint32_t sleeping_producers; /* threads of the owner asleep in a put */
    _Atomic uint32_t sleeping_consumers;
    char command[16];
};

enum sq_slot_state {
    SQ_SLOT_FREE = 0,
    SQ_SLOT_USED = 1,
};

/* How sleeping went, on one side.  Added to by whoever has slept. */
struct sq_waits_shm {
    _Atomic uint64_t count;
    _Atomic int64_t total_ns;
};

/*
 * The side that puts.  "P" stands for whoever holds `lock`, or is the sole
 * producer.  What consumers look at while they wait for a message, `tail`, has
 * a line of its own.
 */
struct sq_producer_shm {
    alignas(SQ_SEPARATE) struct sq_lock_shm lock;

    alignas(SQ_LINE) _Atomic uint64_t next_id; /* P; of the next message (derived) */
    _Atomic uint64_t put_bytes;                /* P; payload so far */
    uint64_t low_pos;                          /* P; where space ends: cursor as last seen */
    uint64_t low_id;                           /* P; first unfinished id as last seen */
    _Atomic uint64_t peak_depth;               /* P */
    uint64_t peak_futile_id;                   /* P; when looking for a peak was last in vain */
    uint64_t peak_pause;                       /* P; 1: do not look for a while */
    int64_t tick_ns;                           /* P; put time of the last message */
    uint64_t sleeper_bytes;                    /* P; the least room that a sleeping producer */
    uint64_t sleeper_count;                    /* P; needs (or needed); UINT64_MAX: none */
    uint64_t passed_pos;                       /* P; cursor when all sleepers were last woken */
    _Atomic uint32_t sole;                     /* 1 while a sole producer is at work */

    alignas(SQ_SEPARATE) _Atomic uint64_t tail_pos; /* P; storing it makes a put true */

    alignas(SQ_SEPARATE) struct sq_cond_shm room; /* producers sleep here */
    alignas(SQ_LINE) struct sq_waits_shm waits;   /* of producers */
};

/*
 * The side that gets.  "C" stands for whoever holds `lock`, or is the sole
 * consumer.  What producers look at when the ring seems full, `cursor`, has a
 * line of its own.
 */
struct sq_group_shm {
    alignas(SQ_SEPARATE) struct sq_lock_shm lock;

    alignas(SQ_LINE) _Atomic uint64_t finished_id; /* C; last id passed (derived) */
    _Atomic uint64_t got_bytes;                    /* C; payload handed out */
    _Atomic uint64_t dropped_count;                /* C, or P for full=drop under this lock too */
    _Atomic uint64_t purged_count;                 /* C */
    uint64_t known_tail_pos;                       /* C; tail as last seen */
    _Atomic uint32_t sole;                         /* 1 while a sole consumer is at work */

    alignas(SQ_SEPARATE) _Atomic uint64_t cursor_pos; /* C; storing it makes a get true */

    alignas(SQ_SEPARATE) struct sq_cond_shm items; /* consumers sleep here */
    alignas(SQ_LINE) struct sq_waits_shm waits;    /* of consumers */

    alignas(SQ_SEPARATE) _Atomic uint64_t waited[SHMQ_HISTOGRAM_BUCKETS]; /* C */
};

/*
 * A record of the ring: this header, `length` bytes of payload, and padding to
 * a multiple of 8.  Written by P beyond the tail, constant until the cursor has
 * passed it.
 */
struct sq_record_shm {
    uint32_t length; /* payload bytes */
    uint32_t tag;    /* enum sq_record_tag; other bits 0 */
    uint64_t id;     /* one more than the record before */
    int64_t put_ns;  /* CLOCK_MONOTONIC, coarse unless SQ_RECORD_SAMPLED */
};

enum sq_record_tag {
    SQ_RECORD_SAMPLED = 1, /* put_ns is precise: a sample for the wait histogram */
    SQ_RECORD_TAG_KNOWN = 1,
};

enum {
    SQ_RECORD_HEADER_BYTES = 24,
    SQ_RECORD_ALIGN = 8,
    SQ_CONTROL_OFF = 512,
    SQ_PRODUCER_OFF = 1024,
    SQ_SLOT_COUNT = 2048,
};

static_assert(sizeof(struct sq_header_shm) <= SQ_CONTROL_OFF, "the header overlaps");
static_assert(sizeof(struct sq_slot_shm) == SQ_LINE, "a slot is a line");
static_assert(sizeof(struct sq_record_shm) == SQ_RECORD_HEADER_BYTES, "record header");
static_assert(SQ_PRODUCER_OFF % SQ_SEPARATE == 0 && SQ_CONTROL_OFF % SQ_SEPARATE == 0, "lines");

#endif
