/*
 * lock_rank.c - see lock_rank.h: a thread's list of the locks it holds.
 */
#include "sync/lock_rank.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef SQ_CHECK

enum {
    HELD_MAX = 256, /* all groups' sides, and many reservations */
    NAME_BYTES = 64,
    RANK_OWN = SQ_RANK_LEAF + 1, /* memory that nobody else sees */
};

struct held {
    uintptr_t from;
    size_t bytes;
    unsigned rank;
    bool kept; /* from an earlier call: restricts nothing */
};

static _Thread_local struct held list[HELD_MAX];
static _Thread_local unsigned count;

static const char *name_of(unsigned rank, char name[NAME_BYTES])
{
    static const char *const names[] = {
        [SQ_RANK_REDRIVE] = "redrive_lock",
        [SQ_RANK_CALLER] = "a caller's lock",
        [SQ_RANK_JOB] = "a job's lock",
        [SQ_RANK_LETTER] = "claim_lock for a dead letter",
        [SQ_RANK_SAVER] = "saver",
        [SQ_RANK_GROUPS] = "groups_lock",
        [SQ_RANK_SYNC] = "sync",
        [SQ_RANK_CLAIMS] = "claim_lock",
        [SQ_RANK_PRODUCER] = "the producer's side",
        [SQ_RANK_CLAIMS_WITHIN] = "claim_lock within the producer's side",
        [SQ_RANK_JOURNAL] = "the journal's lock",
        [SQ_RANK_LEAF] = "a lock that is a leaf",
    };

    if (rank < SQ_RANK_GROUP || rank >= SQ_RANK_JOURNAL)
        return names[rank];
    snprintf(name, NAME_BYTES, "the side of group %u", rank - SQ_RANK_GROUP);
    return name;
}

static struct held *find(const void *lock)
{
    for (unsigned i = 0; i < count; i++)
        if ((uintptr_t)lock - list[i].from < list[i].bytes)
            return &list[i];
    return NULL;
}

static bool restricts(const struct held *held)
{
    return !held->kept && held->rank != RANK_OWN;
}

void sq_lock_wanted(const void *lock, unsigned rank)
{
    char a[NAME_BYTES], b[NAME_BYTES];
    const struct held *own = find(lock);

    if (own != NULL && own->rank != RANK_OWN)
        sq_bug(__FILE__, __LINE__, "%s is wanted by the thread that holds it as %s",
               name_of(rank, a), name_of(own->rank, b));
    for (unsigned i = 0; i < count; i++)
        if (restricts(&list[i]) && list[i].rank >= rank)
            sq_bug(__FILE__, __LINE__, "%s is wanted by a thread that holds %s", name_of(rank, a),
                   name_of(list[i].rank, b));
}

static void add(const void *from, size_t bytes, unsigned rank)
{
    SQ_BUG_ON(count == HELD_MAX);
    list[count++] = (struct held){(uintptr_t)from, bytes, rank, false};
}

void sq_lock_taken(const void *lock, unsigned rank)
{
    sq_lock_wanted(lock, rank);
    add(lock, 1, rank);
}

void sq_lock_tried(const void *lock, unsigned rank)
{
    add(lock, 1, rank);
}

void sq_lock_freed(const void *lock)
{
    struct held *own = find(lock);

    if (own == NULL)
        sq_bug(__FILE__, __LINE__, "a lock is freed by a thread that does not hold it");
    memmove(own, own + 1, (size_t)(&list[--count] - own) * sizeof(*own));
}

void sq_lock_kept(const void *lock)
{
    struct held *own = find(lock);

    SQ_BUG_ON(own == NULL);
    own->kept = true;
}

void sq_lock_own(const void *from, size_t bytes)
{
    add(from, bytes, RANK_OWN);
}

void sq_lock_forget_all(void)
{
    count = 0;
}

bool sq_lock_is_held(const void *lock)
{
    return find(lock) != NULL;
}

void sq_lock_check_none(const char *file, int line, unsigned rank)
{
    char name[NAME_BYTES];

    for (unsigned i = 0; i < count; i++)
        if (restricts(&list[i]) && list[i].rank >= rank)
            sq_bug(file, line, "%s is held", name_of(list[i].rank, name));
}

#endif
