/*
 * attach.h - who is attached, who is alive, and who has a side alone.
 *
 * Liveness and roles are OFD locks (F_OFD_SETLK) on bytes of the object far
 * beyond its end: the kernel frees them when the last descriptor of the open
 * file description closes, however its process ends and in whatever PID
 * namespace, and a pid that is used again cannot fool it.
 */
#ifndef SQ_ATTACH_H
#define SQ_ATTACH_H

#include "segment/segment.h"

enum sq_role {
    SQ_ROLE_PRODUCER = 0,
    SQ_ROLE_CONSUMER = 1,
};

/* A handle's entry in the attach table. */
struct sq_attachment {
    int slot;       /* -1: none (read-only) */
    uint32_t owner; /* what we write into locks: sq_lock_word() */
};

/* Take a slot.  0 or -EUSERS. */
int sq_attach(struct sq_segment *segment, struct sq_attachment *attachment, uint32_t flags);

/* Give it back.  The slot's lock ends with the descriptor. */
void sq_detach(struct sq_segment *segment, struct sq_attachment *attachment);

/* Our slot, or NULL. */
static inline struct sq_slot_shm *sq_attach_slot(const struct sq_segment *segment,
                                                 const struct sq_attachment *attachment)
{
    return attachment->slot < 0 ? NULL : &segment->slots[attachment->slot];
}

/* How many slots there are to look through. */
static inline uint32_t sq_attach_slots(const struct sq_segment *segment)
{
    uint32_t used_end = sq_load_acquire(&segment->control->slots_used_end);

    return used_end < segment->slot_count ? used_end : segment->slot_count;
}

/* Whether a slot is taken, and not by the dead. */
bool sq_attach_taken(const struct sq_segment *segment, const struct sq_attachment *self,
                     uint32_t slot);

/* Whether the owner of a slot lives. */
bool sq_attach_alive(const struct sq_segment *segment, uint32_t slot);

/*
 * Whether the owner that a lock names lives.  "Yes" also where that cannot be
 * told.  A word that names nobody (damage) is a dead owner's.
 */
bool sq_attach_owner_lives(const struct sq_segment *segment, const struct sq_attachment *self,
                           uint32_t owner);

/* Whether the owner's slot has been given up, by itself or by a sweep. */
bool sq_attach_owner_left(const struct sq_segment *segment, uint32_t owner);

enum sq_sweep {
    SQ_SWEEP_EVERY_NS = 900 * 1000 * 1000,
    /* Who sleeps looks once a second.  Were that in vain because somebody had swept just
     * before the death, the dead would keep their leases for almost two. */
    SQ_SWEEP_ASLEEP_NS = 100 * 1000 * 1000,
};

/* Whether the last look for the dead was so long ago. */
static inline bool sq_attach_sweep_due(const struct sq_segment *segment, int64_t now_ns,
                                       enum sq_sweep every)
{
    /* A time in the future is another time namespace's, or damage. */
    return (uint64_t)sq_elapsed_ns(now_ns, sq_load(&segment->control->swept_ns)) >= every;
}

/* Clean up after the dead, if that is due. */
void sq_attach_sweep(struct sq_segment *segment, const struct sq_attachment *self, int64_t now_ns,
                     enum sq_sweep every);

/*
 * Claim a side, shared with others or alone, until the descriptor closes.
 * -EBUSY when that cannot be.  When the last one who had it alone died there,
 * the mark `sole` in the side is still set, and the claimer must repair.
 */
int sq_role_claim(const struct sq_segment *segment, enum sq_role role, bool sole);

/* Give a shared side up before that. */
void sq_role_release(const struct sq_segment *segment, enum sq_role role);

#endif
