/*
 * reference.h - what a queue should do, in plain lists: groups, leases, delays, orders,
 * dead letters, removal and update by id.
 *
 * It knows nothing of tables, heaps and bytes, but for where a record stands, which it
 * is told: that decides what full=drop drops first.  Everything is found by looking
 * through all there is.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "shmq.h"

enum {
    REF_GROUPS = 3,
    REF_HELD = 64,       /* entries a group can have */
    REF_MESSAGES = 8192, /* that can be put in a life */
    REF_RECORDS = 16384,
    REF_NONE = -1,
};

#define REF_NEVER INT64_MAX

/* A message as it was put, or last updated. */
struct ref_message {
    uint64_t id, pos; /* of the record with its content */
    uint32_t record;  /* where it was put, in the list of records */
    uint32_t length, version, type;
    int32_t priority;
    int64_t due_ns, expiry_ns; /* 0: none */
    int64_t put_ns;
    int key; /* REF_NONE: none */
    bool removed;
};

struct ref_record {
    uint64_t pos, bytes;
    int message;
    bool copy;
};

enum ref_state {
    REF_FREE = 0,
    REF_WAITING,
    REF_DELAYED,
    REF_LEASED,
    REF_DYING,
    REF_DOOMED,
    REF_PARKED,
    REF_STATES,
};

/* A message that a group has taken up and not finished. */
struct ref_entry {
    enum ref_state state;
    int message;
    uint32_t attempts, owner, reason;
    bool again;       /* somebody died making it a dead letter */
    int64_t at_ns;    /* LEASED: its end; DELAYED: when due; DOOMED: since */
    uint64_t seq_id;  /* its sequence among equals: of this message, ... */
    uint64_t seq_num; /* ... or so far behind it */
};

struct ref_counts {
    uint64_t delivered, redelivered, acked, nacked, lost, dead, by_reason[8], expired, filtered;
    uint64_t removed, sent, purged, dropped, got; /* the last: for good, at once */
};

struct ref_group {
    bool there;
    uint32_t cursor; /* into the list of records: what it has not passed */
    struct ref_entry held[REF_HELD];
    uint64_t back;
    bool has_overdue; /* delays may be over that nobody has looked at yet */
    bool full;        /* no entry was to be had at the last walk */
    struct ref_counts counts;
    uint32_t filter_type, max_attempts;
    bool dead_letter, dead_letter_expired, paused;
};

struct reference {
    uint32_t order, entry_count;
    bool unique, topic;
    int64_t now_ns;
    uint64_t next_id, tail, part_id;
    unsigned message_count, record_count;
    struct ref_group groups[REF_GROUPS];
    struct ref_message messages[REF_MESSAGES];
    struct ref_record records[REF_RECORDS];
};

/* The next message of a group. */
struct ref_pick {
    int entry;   /* or REF_NONE: it is fresh */
    int message; /* or REF_NONE: nothing to be had */
    uint32_t attempts;
};

/* An empty queue with its end at `tail`. */
void ref_begin(struct reference *r, uint32_t order, uint32_t kind, uint32_t entry_count,
               uint64_t tail);

/*
 * Make a group that begins there (enum shmq_start), or remove it, or move it.  `history`
 * is the position of the first record that a topic still has; a queue that is none has
 * nothing from before its group.
 */
void ref_group_begin(struct reference *r, int group, uint64_t history, int start, uint64_t at);
void ref_group_end(struct reference *r, int group);
void ref_seek(struct reference *r, int group, uint64_t history, int start, uint64_t at);

/* The first record from that position on, in the list of records. */
uint32_t ref_record_at(const struct reference *r, uint64_t pos);

/* Append a message; `m` without id, pos and record. */
struct ref_message *ref_put(struct reference *r, const struct ref_message *m, uint64_t bytes);

/* The message that has this key, or 0; the message with an id, or NULL. */
uint64_t ref_key_owner(const struct reference *r, int key);
struct ref_message *ref_find(struct reference *r, uint64_t id);

/* How a group has message `m`: its entry, or REF_NONE.  Whether it is before it. */
int ref_entry_of(const struct reference *r, int group, int message);
bool ref_is_fresh(const struct reference *r, int group, const struct ref_message *m);
bool ref_is_unfinished(const struct reference *r, int group, const struct ref_message *m);

/* End leases and delays that are over.  Whether a message is to be made a dead letter
 * then, and whether entry `e` may be the next such one. */
bool ref_end_overdue(struct reference *r, int group);
bool ref_may_die(const struct reference *r, int group, int e);

/* Find the next message; after ref_end_overdue().  `to_lease`: when there is no entry for a
 * fresh one, the first of those that have one. */
void ref_pick(struct reference *r, int group, bool to_lease, struct ref_pick *pick);

/* Lease what was picked, for which there is an entry. */
int ref_lease(struct reference *r, int group, const struct ref_pick *pick, uint32_t owner,
              int64_t until_ns);
void ref_finish(struct reference *r, int group, const struct ref_pick *pick);

void ref_end_lease(struct reference *r, int group, int e);
void ref_ack(struct reference *r, int group, int e);
void ref_nack(struct reference *r, int group, int e, int64_t due_ns, bool to_back);
void ref_reject(struct reference *r, int group, int e, uint32_t reason);
void ref_dead_letter_made(struct reference *r, int group, int e, bool sent);

int64_t ref_purge(struct reference *r, int group);
int64_t ref_revive(struct reference *r, int group, uint64_t id);

/* Drop the oldest until the group's cursor is beyond `pos` and its depth at most `depth`.
 * False: leased ones are in the way. */
bool ref_drop(struct reference *r, int group, uint64_t pos, uint64_t depth);

/* Removed messages and updates that a group comes to next are passed. */
void ref_pass_removed(struct reference *r, int group);

/* 0, -ENOENT, -EBUSY. */
int ref_changeable(const struct reference *r, const struct ref_message *m);
void ref_remove(struct reference *r, struct ref_message *m);
void ref_update(struct reference *r, struct ref_message *m, uint32_t length, uint64_t bytes);

/* An update's record that never became true. */
void ref_lose_update(struct reference *r, const struct ref_message *m, uint64_t bytes);

/* --- counting ---------------------------------------------------------------- */

unsigned ref_in_state(const struct reference *r, int group, enum ref_state state);
unsigned ref_held(const struct reference *r, int group);
unsigned ref_fresh(const struct reference *r, int group);

/* Where the group's unfinished messages begin. */
uint64_t ref_low(const struct reference *r, int group);

/* When the next lease or delay ends. */
int64_t ref_next_due(const struct reference *r, int group);

#endif
