/*
 * fork.c - see fork.h.
 *
 * The list's mutex is taken across fork(), so that the child finds the list
 * whole; the child's handler makes only async-signal-safe calls, since other
 * threads may have been anywhere.
 */
#include "segment/fork.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "segment/segment_reopen.h"
#include "sync/mutex.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sq_forkable list = {.next = &list, .prev = &list};
static int handlers_error = 0;

static void before(void)
{
    sq_mutex_lock(&list_lock, SQ_RANK_LEAF);
}

static void in_parent(void)
{
    sq_mutex_unlock(&list_lock);
}

/*
 * Map the same by `fd` instead: a mapping keeps the open file description alive
 * that it was made from, and with it the parent's locks.  In place, in one step
 * each.  Without a descriptor, zeros: an empty queue to look at.
 */
static void remap(const struct sq_segment *s, int fd)
{
    int protection = s->readable_only ? PROT_READ : PROT_READ | PROT_WRITE;
    int flags = MAP_FIXED | (fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    size_t capacity = (size_t)s->ring.capacity_bytes, total = s->mapped_bytes - capacity;

    mmap(s->base, total, protection, flags, fd, 0);
    mmap(s->base + total, capacity, protection, flags, fd, fd >= 0 ? s->ring.bytes - s->base : 0);
}

static void in_child(void)
{
    for (struct sq_forkable *h = list.next; h != &list; h = h->next) {
        int fd = sq_segment_reopen(h->segment, &h->path);
        /* Where that failed the first call says so; the parent's descriptor
         * must go in any case. */
        close(h->segment->fd);
        remap(h->segment, fd);
        h->segment->fd = fd < 0 ? -1 : fd;
        h->in_child(h);
    }
    sq_mutex_unlock(&list_lock);
    sq_lock_forget_all();
}

static void install(void)
{
    handlers_error = pthread_atfork(before, in_parent, in_child);
}

int sq_fork_hold(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install);
    if (handlers_error != 0)
        return sq_fail(-handlers_error, "cannot watch for fork()");
    sq_mutex_lock(&list_lock, SQ_RANK_LEAF);
    return 0;
}

void sq_fork_release(void)
{
    sq_mutex_unlock(&list_lock);
}

void sq_fork_add(struct sq_forkable *handle)
{
    sq_assert_held(&list_lock);
    SQ_BUG_ON(handle->next != NULL); /* it is watched already */
    handle->next = list.next;
    handle->prev = &list;
    handle->next->prev = handle->prev->next = handle;
}

void sq_fork_remove(struct sq_forkable *handle)
{
    sq_assert_held(&list_lock);
    SQ_BUG_ON(handle->next->prev != handle || handle->prev->next != handle);
    handle->next->prev = handle->prev;
    handle->prev->next = handle->next;
}
