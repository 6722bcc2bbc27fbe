/*
 * layout_group.h - the part of layout.h that is a group's: its side, its entries, its keys.
 */
#ifndef SQ_LAYOUT_GROUP_H
#define SQ_LAYOUT_GROUP_H

#include <stdalign.h>

#include "base/base.h"
#include "shmq.h"
#include "sync/cond.h"
#include "sync/lock.h"

/*
 * A policy in the segment and in files (group/policy.c copies it in and out).  The public
 * struct may grow; this one changes with the format.
 */
struct sq_policy_shm {
    int64_t lease_ns;
    uint32_t max_attempts;
    uint32_t retry; /* enum shmq_retry */
    int64_t retry_delay_ns;
    int64_t retry_max_ns;
    double retry_factor;
    double retry_jitter;
    uint32_t lag; /* enum shmq_lag */
    uint32_t dead_letter_expired;
    int64_t dead_letter_ttl_ns;
    char dead_letter[208];
};

/* How sleeping went, on one side.  Added to by whoever has slept. */
struct sq_waits_shm {
    _Atomic uint64_t count;
    _Atomic int64_t total_ns;
};

enum sq_group_mode {
    SQ_GROUP_HOLDS = 1,         /* there are pending entries */
    SQ_GROUP_ORDERED = 2,       /* another order than FIFO */
    SQ_GROUP_FILTERED = 4,      /* it passes over what does not match */
    SQ_GROUP_PAUSED = 8,        /* it hands out nothing */
    SQ_GROUP_DONE_AWAITED = 16, /* somebody waits until all is done */
    SQ_GROUP_KEYED = 32,        /* the queue is unique: finishing gives a key back */
    SQ_GROUP_NAMED = 64,        /* a topic's: it may be removed */
    SQ_GROUP_JOURNALED = 128,   /* changes of entries are noted for a journal (group/dirty.h) */
};

/*
 * A message that a group has taken from the cursor and not finished.  C alone writes it.
 * `word` is stored last: until then the entry means what it meant before.  Which of the
 * other fields are truth depends on the state.
 */
struct sq_entry_shm {
    _Atomic uint64_t word;         /* sq_word(): state, attempts, owner */
    uint64_t pos;                  /* of its record; one store moves it */
    uint64_t id;                   /* of its record */
    int64_t at_ns;                 /* LEASED: its end; DELAYED: when due; DOOMED, PARKED: since */
    uint64_t seq;                  /* its sequence among equals: sq_seq() */
    int32_t priority;              /* the record's */
    uint32_t reason;               /* DOOMED, PARKED: enum shmq_reason */
    uint32_t pos_prev, pos_next;   /* in the order of positions (derived) */
    uint32_t time_prev, time_next; /* LEASED: by end; FREE: next free one (derived) */
};

enum sq_entry_state {
    SQ_FREE = 0,
    SQ_WAITING = 1, /* in the heap `ready` */
    SQ_DELAYED = 2, /* in the heap `timed` */
    SQ_LEASED = 3,  /* in the list of leases */
    SQ_DYING = 4,   /* leased to whoever makes it a dead letter; in that list */
    SQ_DOOMED = 5,  /* to be made a dead letter; in the heap `timed` */
    SQ_PARKED = 6,  /* a dead letter that stays here */
    SQ_ENTRY_STATES = 7,
};

/* In `reason`: somebody died making it a dead letter, and may have sent it. */
#define SQ_REASON_AGAIN ((uint32_t)1 << 31)

#define SQ_NONE UINT32_MAX

/* An element of a heap: the least (major, minor) first (group/heap.h). */
struct sq_heap_item_shm {
    uint32_t major;
    uint32_t entry;
    uint64_t minor;
};

enum sq_poll_pipe {
    SQ_POLL_PIPE_UNKNOWN = 0,  /* of a new group, and after a death: empty it first */
    SQ_POLL_PIPE_EMPTY = 1,    /* the pipe is empty */
    SQ_POLL_PIPE_READABLE = 2, /* there is a byte in it */
};

/* What keeps the pending entries in order.  All of it C's, and derived. */
struct sq_pending_shm {
    _Atomic uint32_t waiting, delayed, leased, parked; /* how many; dying ones are leased,
                                                          doomed ones delayed */
    uint32_t used_end;                                 /* entries from here on were never used */
    uint32_t free_first;                               /* list of free ones before that */
    uint32_t pos_first, pos_last;                      /* by position */
    uint32_t lease_first, lease_last;                  /* by the lease's end */
    uint32_t ready_count, timed_count;                 /* of the heaps, out-of-date ones included */
    _Atomic int64_t next_due_ns;  /* when the next delay or lease ends; SQ_NEVER */
    _Atomic int64_t watch_ns;     /* until when the sleeper that sees to that sleeps; past: none */
    _Atomic uint64_t stalled_pos; /* cursor where the table was full; UINT64_MAX */
    uint64_t departures_seen;
    uint64_t back_seq;       /* last sequence given at the back */
    uint64_t released_count; /* leases and entries that have ended, and updates */
    /* Of group 0: at the last compaction, the least cursor, how many entries there were
     * and how many had been released in all, and when it was. */
    uint64_t compacted_pos, compacted_count, compacted_released;
    int64_t compacted_ns;
    uint64_t random;           /* for the jitter */
    _Atomic uint32_t pipe;     /* enum sq_poll_pipe: what the pipe for poll() holds */
    _Atomic uint32_t polled;   /* 1: somebody polls it.  Whoever does */
    _Atomic int64_t notify_ns; /* until when the notifiers sleep (api/message_fd.c).  They do */
    _Atomic int64_t found_expiry_ns; /* when what was found for poll() has expired; SQ_NEVER */
    /* With a journal: what of the group is not in the file as it is (group/dirty.h). */
    uint32_t dirty_count, dirty_all;  /* of the list of changed entries; 1: all are */
    uint32_t journaled_end, reserved; /* entries from here on were never in the file */
    uint64_t noted_id;                /* finished_id as it is in the file */
};

/* What a group is, and what it has done.  Written by C unless said otherwise. */
struct sq_delivery_shm {
    struct sq_policy_shm policies[2]; /* one holds: sq_policy_of() */
    _Atomic uint32_t policy_at;       /* which; stored when that is whole */
    uint32_t filter_type;
    char name[SHMQ_GROUP_LONGEST + 1]; /* who makes the group */
    char filter_key[128];              /* likewise, and these */
    char filter_header[256];
    char filter_value[256];
    _Atomic uint64_t delivered_count, redelivered_count, acked_count, nacked_count;
    _Atomic uint64_t lost_lease_count, dead_count, expired_count, filtered_count;
    _Atomic uint64_t removed_count; /* by id */
    _Atomic uint64_t sent_count;    /* to the dead-letter queue */
    uint64_t start_id;              /* first one that is the group's (api/group_stats.c) */
    _Atomic uint64_t dead_by_reason[8];
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
    /* C; enum sq_group_mode.  Not 0: a get must look closer than at the cursor. */
    _Atomic uint32_t mode;
    _Atomic uint32_t generation; /* of groups with this number; whoever makes or removes one */
    _Atomic uint32_t reserved;

    alignas(SQ_SEPARATE) _Atomic uint64_t cursor_pos; /* C; storing it makes a get true */
    /* Beside it, since P reads both: the least position of a pending entry, or UINT64_MAX,
     * and how many there are.  C; stored before the cursor when an entry is made (derived). */
    _Atomic uint64_t held_pos;
    _Atomic uint64_t held_count;
    /* Removed messages before the cursor: all groups' sides count up, C down (derived). */
    _Atomic uint64_t gone_count;

    alignas(SQ_SEPARATE) struct sq_cond_shm items; /* consumers sleep here */
    alignas(SQ_LINE) struct sq_waits_shm waits;    /* of consumers */

    alignas(SQ_SEPARATE) struct sq_pending_shm pending;

    alignas(SQ_SEPARATE) struct sq_cond_shm done; /* shmq_join() sleeps here */
    struct sq_cond_shm notifiers;                 /* notifiers sleep here (api/message_fd.c) */
    alignas(SQ_LINE) struct sq_delivery_shm delivery;

    alignas(SQ_SEPARATE) _Atomic uint64_t waited[SHMQ_HISTOGRAM_BUCKETS]; /* C */
};

/* A cell of the key index of a unique queue (group/key_index.c). */
struct sq_key_shm {
    uint64_t hash;
    uint64_t id; /* 0: free */
    uint64_t pos;
};

#endif
