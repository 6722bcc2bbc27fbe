/*
 * layout.h - every struct of the segment.
 *
 *     +--------+---------+----------+--------+----------+---------+------+--------------+
 *     | header | control | producer | attach | groups   | pending | keys | ring         |
 *     | what   | gone,   | lock,    | slots: | 0..G-1:  | tables, | only | 2^n bytes,   |
 *     | never  | sweep,  | tail,    | who is | lock,    | one for | if   | mapped twice |
 *     | changes| groups  | room     | there  | cursor.. | a group | uniq | in a row     |
 *     +--------+---------+----------+--------+----------+---------+------+--------------+
 *     0        1024      1536       header.*_off        ...               page-aligned
 *
 * Offsets and fixed-width fields only: every process maps it elsewhere.  A
 * field's comment says who writes it; everybody may read everything.  Fields
 * read without the lock of their writer are _Atomic.
 *
 * Truth is `tail`, each group's `cursor`, the records between them, and the words of
 * the pending entries with the records they stand for.  All else is derived and can be
 * rebuilt from it (ring/ring.c, group/group.c).
 *
 * Positions (_pos) run on for ever; the ring offset is the position modulo the
 * capacity.  cursor_pos <= tail_pos <= cursor_pos + capacity (modulo 2^64).
 */
#ifndef SQ_LAYOUT_H
#define SQ_LAYOUT_H

#include <assert.h>
#include <stdalign.h>

#include "base/base.h"
#include "layout_group.h"
#include "shmq.h"
#include "sync/cond.h"
#include "sync/lock.h"

#define SQ_MAGIC  "shmq\r\n\032"
#define SQ_FORMAT 4

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
    uint32_t order;          /* enum shmq_order */
    uint32_t kind;           /* SHMQ_TOPIC, SHMQ_UNIQUE */
    uint32_t entry_count;    /* of each pending table */
    uint32_t key_count;      /* of the key index, a power of two; 0: none */
    uint32_t compress_bytes; /* 0: never */
    uint32_t reserved;
    uint64_t control_off;
    uint64_t producer_off;
    uint64_t slots_off;
    uint64_t groups_off;
    uint64_t pending_off; /* group_count tables of pending_bytes */
    uint64_t pending_bytes;
    uint64_t keys_off;
    uint64_t file_off; /* struct sq_file_shm */
    uint64_t ring_off;
    uint64_t total_bytes;
    uint64_t capacity_bytes;
    uint64_t max_messages; /* 0: no limit */
    uint64_t max_message_bytes;
    int64_t created_ns;          /* CLOCK_REALTIME */
    struct sq_policy_shm policy; /* of groups that bring none */
    uint64_t check;              /* of the bytes before (segment/segment.c) */
};

struct sq_control_shm {
    alignas(SQ_SEPARATE) _Atomic uint32_t notices; /* enum sq_notice; bits are only ever set */
    /* No slot from here on was ever taken.  Raised by who takes one, before it is
     * marked used. */
    _Atomic uint32_t slots_used_end;
    _Atomic int64_t swept_ns;        /* last look for dead processes; whoever wins the swap */
    _Atomic uint64_t dead_processes; /* attached processes found dead; whoever cleans the slot */
    _Atomic uint64_t recovery_count; /* dead owners of a lock or role; whoever repairs */
    /* Slots given up, by close or death: leases may have lost their owner.  Whoever
     * frees the slot, after that. */
    _Atomic uint64_t departures;
    /* Which groups there are, a bit each: truth.  Whoever holds groups_lock. */
    _Atomic uint64_t groups;
    struct sq_lock_shm groups_lock;  /* making and removing groups */
    struct sq_lock_shm redrive_lock; /* putting a dead letter back, one at a time */
};

enum sq_notice {
    /* The name was removed.  Set by whoever notices. */
    SQ_NOTICE_UNLINKED = 1,
    /* A process cannot issue membarrier(), so that sole producers and consumers
     * must fence for themselves.  Set by that process. */
    SQ_NOTICE_FENCE = 2,
    /* Somebody polls the queue's descriptor (api/message_fd.c).  Set by that process. */
    SQ_NOTICE_POLLED = 4,
};

enum { SQ_FILE_PATH_BYTES = 1024 };
#define SQ_NO_PIN UINT64_MAX

/* Up to where the file's frames are true, and the number of the last. */
struct sq_journal_end {
    uint64_t off, number;
};

/* The journal (journal_file.c).  An append stores journal_pos, the other end, which one holds. */
struct sq_journal_shm {
    struct sq_journal_end ends[2];    /* J; one holds */
    _Atomic uint32_t end_at;          /* J; which */
    _Atomic uint32_t broken;          /* a sync failed: nothing more goes into this file; J, sync */
    _Atomic uint32_t queue_frame_due; /* P; its owner died: the next put writes a QUEUE frame */
    _Atomic uint32_t unwritten;       /* anybody: something was done, and could not be written */
    uint64_t zeroed_off;              /* J; zeros were written ahead up to there */
    uint64_t initial_synced_off;      /* J; of this file, synced before anything was appended */
    _Atomic uint64_t look_off;        /* anybody; who appends beyond has it rewritten, if need be */
    _Atomic uint64_t write_count, sync_count; /* J: frames; holder of `sync`: fdatasync()s */
    _Atomic int64_t synced_ns;                /* likewise; when the last of them began */
    struct sq_cond_shm synced;                /* those sleep here who wait for `synced` */
    /* Holder of `sync` (journal_sync.c).  Of the last one: write_count when it began, how many
     * frames it was for and how many came meanwhile, how long it took; how many will not gather. */
    uint64_t sync_began_count, sync_frames, sync_queued, sync_took_ns, gather_pause, gather_futile;
};

/*
 * The queue's file (persist/snapshot.h).  There is one if `path` is not empty.  "S" stands for
 * whoever holds `saver`, "J" for whoever holds `lock`.  Both are leaves but for `saver`,
 * which is taken before the producer's and the groups' sides.  Times are CLOCK_MONOTONIC.
 */
struct sq_file_shm {
    /* Looked at by P when it looks anew where space ends: no record from here on is let
     * go.  UINT64_MAX: none; what is no position in the ring: let go of nothing at all. */
    alignas(SQ_SEPARATE) _Atomic uint64_t pin_pos; /* S */

    alignas(SQ_SEPARATE) struct sq_lock_shm lock; /* J: appending to the journal */
    struct sq_lock_shm saver;                     /* S: the pin, snapshots, rewriting */
    struct sq_lock_shm sync;                      /* fdatasync */
    uint32_t journal_mode;                        /* enum shmq_journal; creator */
    int64_t save_ns;                              /* creator; 0: not by time */
    uint64_t save_changes;                        /* creator; 0: not by puts */
    uint32_t save_at_end;                         /* creator */
    _Atomic int32_t error;        /* errno of the last save or write; 0: all is well */
    _Atomic int64_t failed_ns;    /* since when there is that error */
    _Atomic uint64_t generation;  /* of the file, as in its header; J and S */
    _Atomic uint64_t end_off;     /* J: the file's frames are true up to there */
    _Atomic uint64_t synced;      /* holder of `sync`; on the disk up to there (journal_file.h) */
    _Atomic uint64_t base_bytes;  /* S; what the base takes of the file */
    _Atomic uint64_t journal_pos; /* J; records up to there are in the file */
    _Atomic uint64_t saved_id;    /* S; the last id in the file */
    _Atomic int64_t saved_ns;     /* S; when it was last saved */
    _Atomic uint64_t cut_bytes;   /* creator; the torn end of the file it was made of */
    _Atomic uint64_t changes;     /* S; what sq_capture_changes() said then */
    struct sq_journal_shm journal;
    _Atomic uint64_t reserved[16]; /* 0 */
    char path[SQ_FILE_PATH_BYTES]; /* absolute, ends with a zero; creator */
};

/* A handle's slot in the attach table.  Its owner holds an OFD lock on the
 * slot's byte (segment/attach.c); whoever gets that lock may clean or take the slot. */
struct sq_slot_shm {
    alignas(SQ_LINE) _Atomic uint32_t state; /* enum sq_slot_state */
    uint32_t generation;                     /* +1 each time it is taken; tells owners apart */
    int32_t pid;                             /* for people */
    uint32_t flags;                          /* SHMQ_SOLE_... */
    int64_t attached_ns;
    _Atomic uint32_t sleeping_producers; /* threads of the owner asleep in a put */
    _Atomic uint32_t sleeping_consumers;
    char command[16];
    uint32_t group;           /* that it reads as */
    _Atomic uint32_t closing; /* 1: about to leave, and looks whether it is the last */
    _Atomic uint64_t left;    /* FREE: by which departure, 0: never used */
};

enum sq_slot_state {
    SQ_SLOT_FREE = 0,
    SQ_SLOT_USED = 1,
    SQ_SLOT_LEAVING = 2, /* given up, but the departure perhaps not yet counted */
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
    uint64_t low_pos;                          /* P; where space ends, as last seen */
    uint64_t low_id;                           /* P; next_id less the depth as last seen */
    _Atomic uint64_t peak_depth;               /* P */
    uint64_t peak_futile_id;                   /* P; when looking for a peak was last in vain */
    uint64_t peak_pause;                       /* P; 1: do not look for a while */
    int64_t tick_ns;                           /* P; put time of the last message */
    uint64_t sleeper_bytes;                    /* P; the least room that a sleeping producer */
    uint64_t sleeper_count;                    /* P; needs (or needed); UINT64_MAX: none */
    uint64_t passed_pos;                       /* P; low when all sleepers were last woken */
    _Atomic uint32_t sole;                     /* 1 while a sole producer is at work */
    uint64_t least_pos;                        /* P; the lowest position of a group, as last seen */
    uint64_t history_pos;     /* P; topics: from here to the tail are whole records in a row.
                                 low_pos is the lower of the two */
    _Atomic uint64_t part_id; /* P; first id of the current part (truth) */

    alignas(SQ_SEPARATE) _Atomic uint64_t tail_pos; /* P; storing it makes a put true */

    alignas(SQ_SEPARATE) struct sq_cond_shm room; /* producers sleep here */
    alignas(SQ_LINE) struct sq_waits_shm waits;   /* of producers */
};

/*
 * A record of the ring: this header, `length` bytes, and padding to a multiple of
 * 8.  Written by P beyond the tail, constant until every group has finished with it,
 * but for `id`: storing that anew makes an update or a removal true (ring/record.h).
 * The bytes are the payload, or with SQ_RECORD_EXTENDED an extension and the payload.
 */
struct sq_record_shm {
    uint32_t length;
    uint32_t tag;        /* enum sq_record_tag; other bits 0 */
    _Atomic uint64_t id; /* one more than the record before; or see enum sq_id_mark */
    int64_t put_ns;      /* CLOCK_MONOTONIC, coarse unless SQ_RECORD_SAMPLED */
};

enum sq_record_tag {
    SQ_RECORD_SAMPLED = 1,  /* put_ns is precise: a sample for the wait histogram */
    SQ_RECORD_EXTENDED = 2, /* an extension precedes the payload */
    SQ_RECORD_COPY = 4,     /* an update of an earlier record: cursors pass over it */
    SQ_RECORD_TAG_PLAIN = SQ_RECORD_SAMPLED,
    SQ_RECORD_TAG_KNOWN = 7,
};

/* The upper bits of a record's id, once its message was updated or removed. */
#define SQ_ID_MOVED ((uint64_t)1 << 63) /* the rest: how many bytes further the update is */
#define SQ_ID_GONE  ((uint64_t)1 << 62) /* the rest: the id */
#define SQ_ID_REST  (SQ_ID_GONE - 1)
#define SQ_ID_MAX   ((uint64_t)1 << 55)

/* Between header and payload: this, the key, the headers (each "name\0value\0"), and
 * padding to a multiple of 8. */
struct sq_extension_shm {
    uint32_t bytes; /* of all that */
    uint32_t type;
    int32_t priority;
    uint32_t header_bytes;
    uint16_t key_bytes;
    uint16_t flags;       /* enum sq_extension_flag */
    uint32_t plain_bytes; /* SQ_EXTENSION_COMPRESSED: of the payload before */
    int64_t due_ns;       /* CLOCK_MONOTONIC; 0: at once */
    int64_t expiry_ns;    /* likewise; 0: never */
    uint64_t correlation;
};

enum sq_extension_flag {
    SQ_EXTENSION_COMPRESSED = 1,
    SQ_EXTENSION_FLAGS_KNOWN = 1,
};

enum {
    SQ_RECORD_HEADER_BYTES = 24,
    SQ_EXTENSION_BYTES = 48,
    SQ_RECORD_ALIGN = 8,
    SQ_CONTROL_OFF = 1024,
    SQ_PRODUCER_OFF = 1536,
    SQ_SLOT_COUNT = 2048,
    SQ_GROUPS_MAX = 64,
    SQ_ENTRIES_MAX = 1 << 26,
    SQ_KEY_MAX = 1024,
};

/*
 * SQ_FORMAT stands for these sizes.  Whoever changes one raises it: else a queue made by the
 * library of before would be refused as damaged, and not as of another format.
 */
#define SQ_FORMAT_ASSERT(format, type, bytes)                                                      \
    static_assert(SQ_FORMAT == (format) && sizeof(struct type) == (bytes), #type)
SQ_FORMAT_ASSERT(4, sq_header_shm, 480);
SQ_FORMAT_ASSERT(4, sq_control_shm, 128);
SQ_FORMAT_ASSERT(4, sq_slot_shm, 64);
SQ_FORMAT_ASSERT(4, sq_producer_shm, 512);
SQ_FORMAT_ASSERT(4, sq_waits_shm, 16);
SQ_FORMAT_ASSERT(4, sq_entry_shm, 64);
SQ_FORMAT_ASSERT(4, sq_heap_item_shm, 16);
SQ_FORMAT_ASSERT(4, sq_pending_shm, 184);
SQ_FORMAT_ASSERT(4, sq_policy_shm, 272);
SQ_FORMAT_ASSERT(4, sq_delivery_shm, 1408);
SQ_FORMAT_ASSERT(4, sq_group_shm, 2560);
SQ_FORMAT_ASSERT(4, sq_key_shm, 24);
SQ_FORMAT_ASSERT(4, sq_journal_end, 16);
SQ_FORMAT_ASSERT(4, sq_journal_shm, 144 + sizeof(struct sq_cond_shm));
SQ_FORMAT_ASSERT(4, sq_file_shm, 1664);
SQ_FORMAT_ASSERT(4, sq_record_shm, SQ_RECORD_HEADER_BYTES);
SQ_FORMAT_ASSERT(4, sq_extension_shm, SQ_EXTENSION_BYTES);
SQ_FORMAT_ASSERT(4, sq_lock_shm, 4);

static_assert(sizeof(struct sq_header_shm) <= SQ_CONTROL_OFF, "the header overlaps");
static_assert(SQ_CONTROL_OFF + sizeof(struct sq_control_shm) <= SQ_PRODUCER_OFF,
              "the control overlaps");
static_assert(SQ_PRODUCER_OFF % SQ_SEPARATE == 0 && SQ_CONTROL_OFF % SQ_SEPARATE == 0, "lines");

#endif
