/*
 * attach.c - see attach.h.
 *
 *     byte LOCK_BASE + 0      producer's side: shared by those who put, or sole
 *     byte LOCK_BASE + 1      consumer's side: likewise
 *     byte LOCK_BASE + 64 + i slot i: its owner lives
 *
 * Invariant: a slot's fields are written only by who holds the slot's byte.
 * Crash rule: a slot in use whose byte is free belongs to a dead process;
 * whoever gets the byte may clean it, and cleaning twice does no harm.
 */
#include "segment/attach.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "segment/segment_reopen.h"

#define LOCK_BASE ((off_t)1 << 60)
#define SLOT_BASE (LOCK_BASE + 64)

static int lock_byte(int fd, off_t byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

static void read_command(char command[16])
{
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, command, 15) : 0;

    if (fd >= 0)
        close(fd);
    command[n > 0 ? n : 0] = '\0';
    char *newline = strchr(command, '\n');
    if (newline != NULL)
        *newline = '\0';
}

/*
 * Free a slot.  Its owner is gone before the departure is counted, so that who sees the
 * count sees the owner gone; and the slot is free only after that, so that if we die in
 * between it is found and counted again.
 */
static void leave_slot(struct sq_segment *s, struct sq_slot_shm *slot)
{
    sq_store_release(&slot->state, SQ_SLOT_LEAVING);
    sq_store(&slot->left, atomic_fetch_add(&s->control->departures, 1) + 1);
    sq_store_release(&slot->state, SQ_SLOT_FREE);
}

/* The slot's byte is ours: forget its owner. */
static void clean(struct sq_segment *s, struct sq_slot_shm *slot)
{
    if (sq_load(&slot->state) == SQ_SLOT_FREE)
        return;
    sq_store(&slot->sleeping_producers, 0);
    sq_store(&slot->sleeping_consumers, 0);
    atomic_fetch_add(&s->control->dead_processes, 1);
    leave_slot(s, slot);
}

/* Slots up to `count` are to be looked through from now on. */
static void raise_used_end(struct sq_segment *s, uint32_t count)
{
    uint32_t used_end = sq_load(&s->control->slots_used_end);

    while (used_end < count &&
           !atomic_compare_exchange_weak(&s->control->slots_used_end, &used_end, count))
        ;
}

/* Take slot `i` if its byte is free: 0, -EAGAIN, or what fcntl() said. */
static int take_slot(struct sq_segment *s, struct sq_attachment *a, uint32_t i, uint32_t flags)
{
    SQ_BUG_ON(i >= s->slot_count);
    struct sq_slot_shm *slot = &s->slots[i];
    int rc = lock_byte(s->fd, SLOT_BASE + i, F_WRLCK);

    if (rc == -EACCES)
        return -EAGAIN;
    if (rc < 0)
        return rc;
    clean(s, slot);
    slot->generation++;
    slot->pid = (int32_t)getpid();
    slot->flags = flags & (SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER);
    slot->attached_ns = sq_clock_ns();
    sq_store(&slot->closing, 0);
    read_command(slot->command);
    raise_used_end(s, i + 1);
    sq_store_release(&slot->state, SQ_SLOT_USED);
    *a = (struct sq_attachment){(int)i, sq_lock_word(i, slot->generation)};
    return 0;
}

/*
 * The slot that has been free for the longest, of those that were ever used, or of some.
 * For who the last one was is told by its slot, until it is taken again: a dead letter made
 * by the successor of one that was killed is to say that.
 */
static uint32_t longest_free(const struct sq_segment *s)
{
    enum { SOME = 32 };
    uint32_t used_end = sq_attach_slots(s), best = 0;
    uint64_t least = UINT64_MAX;

    for (uint32_t i = 0; i < s->slot_count && (i < used_end || i < SOME); i++) {
        uint64_t left = sq_load(&s->slots[i].left);
        if (sq_load(&s->slots[i].state) == SQ_SLOT_FREE && left < least) {
            least = left;
            best = i;
        }
    }
    return best;
}

int sq_attach(struct sq_segment *s, struct sq_attachment *a, uint32_t flags)
{
    *a = (struct sq_attachment){-1, 0};
    if (s->readable_only)
        return 0;
    sq_attach_sweep(s, a, sq_clock_ns(), SQ_SWEEP_EVERY_NS);
    if (take_slot(s, a, longest_free(s), flags) == 0)
        return 0;
    /* Those marked free, and if there is none, those that have died since. */
    for (int marked = 0; marked < 2; marked++)
        for (uint32_t i = 0; i < s->slot_count; i++) {
            if ((sq_load(&s->slots[i].state) != SQ_SLOT_FREE) != marked)
                continue;
            int rc = take_slot(s, a, i, flags);
            if (rc == 0)
                return 0;
            if (rc != -EAGAIN)
                return sq_fail(rc, "cannot lock a slot of the attach table");
        }
    return sq_fail(-EUSERS, "all %u slots of the attach table are taken", s->slot_count);
}

void sq_detach(struct sq_segment *s, struct sq_attachment *a)
{
    struct sq_slot_shm *slot = sq_attach_slot(s, a);

    if (slot != NULL) {
        leave_slot(s, slot);
    }
    a->slot = -1;
}

bool sq_attach_alive(const struct sq_segment *s, uint32_t slot)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SLOT_BASE + slot, .l_len = 1};

    /* Asking does not see our own lock, so a caller's own slot reads as dead. */
    return fcntl(s->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool sq_attach_taken(const struct sq_segment *s, const struct sq_attachment *self, uint32_t slot)
{
    return sq_load_acquire(&s->slots[slot].state) != SQ_SLOT_FREE &&
           ((int)slot == self->slot || sq_attach_alive(s, slot));
}

bool sq_attach_owner_lives(const struct sq_segment *s, const struct sq_attachment *self,
                           uint32_t owner)
{
    uint32_t slot = (owner & ((1u << SQ_OWNER_SLOT_BITS) - 1)) - 1;

    if (owner == self->owner)
        return true; /* another thread, with our handle */
    if (slot >= s->slot_count || sq_lock_word(slot, s->slots[slot].generation) != owner)
        return false;
    /* Somebody else has the slot, and the owner's word had been ours to forget; or
     * the descriptor is no longer ours to ask with (an application closed it). */
    return (int)slot != self->slot && (sq_attach_alive(s, slot) || !sq_segment_has_fd(s));
}

bool sq_attach_owner_left(const struct sq_segment *s, uint32_t owner)
{
    uint32_t slot = (owner & ((1u << SQ_OWNER_SLOT_BITS) - 1)) - 1;

    return slot >= s->slot_count || sq_load_acquire(&s->slots[slot].state) != SQ_SLOT_USED ||
           sq_lock_word(slot, s->slots[slot].generation) != owner;
}

void sq_attach_sweep(struct sq_segment *s, const struct sq_attachment *self, int64_t now_ns,
                     enum sq_sweep every)
{
    int64_t swept_ns = sq_load(&s->control->swept_ns);

    /* Few sweepers a second, however many sleepers wake. */
    if (!sq_attach_sweep_due(s, now_ns, every))
        return;
    if (!atomic_compare_exchange_strong(&s->control->swept_ns, &swept_ns, now_ns))
        return;
    for (uint32_t i = 0, count = sq_attach_slots(s); i < count; i++) {
        if (sq_load(&s->slots[i].state) == SQ_SLOT_FREE || sq_attach_taken(s, self, i))
            continue;
        if (lock_byte(s->fd, SLOT_BASE + i, F_WRLCK) == 0) {
            clean(s, &s->slots[i]);
            lock_byte(s->fd, SLOT_BASE + i, F_UNLCK);
        }
    }
}

int sq_role_claim(const struct sq_segment *s, enum sq_role role, bool sole)
{
    static const char *const sides[] = {"put", "get"};
    int rc = lock_byte(s->fd, LOCK_BASE + (off_t)role, sole ? F_WRLCK : F_RDLCK);

    if (rc == -EAGAIN || rc == -EACCES)
        return sq_fail(-EBUSY,
                       sole ? "other handles %s messages of this queue"
                            : "a handle that is alone to %s has this queue",
                       sides[role]);
    return rc < 0 ? sq_fail(rc, "cannot lock the queue's role bytes") : 0;
}

void sq_role_release(const struct sq_segment *s, enum sq_role role)
{
    lock_byte(s->fd, LOCK_BASE + (off_t)role, F_UNLCK);
}
