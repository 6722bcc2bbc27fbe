/*
 * poll_pipe.c - see poll_pipe.h.
 *
 * Who polls is like a sleeper that never gets up: the group's condition always has
 * one announced (sq_cond_announce_poller()), so that whoever puts, gets or returns something
 * comes here when it wakes, and does itself what the sleeper would: announce it
 * again, look, and put the byte in or take it out.  That is done with the group's side
 * held, so that looking and changing are one.  No cost where nobody polls.
 *
 * Crash rule.  `pipe` is stored after the pipe has changed.  Who dies holds the
 * group's lock, and whoever repairs sets SQ_POLL_PIPE_UNKNOWN: then the pipe is emptied first.
 */
#include "handle/poll_pipe.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "group/group_bulk.h"
#include "group/table.h"
#include "segment/segment_reopen.h"

/* A little longer than the path of the queue. */
struct pipe_path {
    char text[sizeof(struct sq_path) + 32];
};

/* Of this very queue: who still has one that was removed is not to touch its successor's. */
static void build_path(struct pipe_path *path, const struct sq_path *queue,
                       const struct sq_segment *segment, uint32_t group)
{
    snprintf(path->text, sizeof(path->text), "%s%%%llx.%u", queue->text,
             (unsigned long long)segment->inode, group);
}

/* It must be a pipe, and of nobody who might want to fool us. */
static int check_pipe(const struct shmq *q, int fd)
{
    struct stat pipe, queue;

    if (fstat(fd, &pipe) != 0 || fstat(q->segment.fd, &queue) != 0)
        return sq_fail(-errno, "cannot look at the pipe for poll()");
    if (!S_ISFIFO(pipe.st_mode) ||
        (pipe.st_uid != queue.st_uid && pipe.st_uid != geteuid() && pipe.st_uid != 0))
        return sq_fail(-EPROTO, "the pipe for poll() is none, or another user's");
    return 0;
}

int sq_poll_pipe_open(struct shmq *q, uint32_t group, bool make)
{
    struct pipe_path path;
    int fd = sq_load(&q->poll_pipe_fd[group]) - 1, none = 0;

    if (fd >= 0)
        return fd;
    /* There would be nobody to remove it. */
    if (make && sq_segment_is_unlinked(&q->segment))
        return sq_fail(-ESTALE, "the queue's name was removed");
    build_path(&path, &q->forkable.path, &q->segment, group);
    if (make && mkfifo(path.text, 0600) == 0)
        chmod(path.text, (mode_t)q->segment.attr.mode & 0666);
    /* For writing too: a pipe without a writer reads as ended. */
    fd = open(path.text, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return sq_fail(-errno, "cannot open %s", path.text);
    int rc = check_pipe(q, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    if (!atomic_compare_exchange_strong(&q->poll_pipe_fd[group], &none, fd + 1)) {
        close(fd); /* another thread was faster */
        fd = none - 1;
    }
    return fd;
}

/* C: the pipe is to hold a byte, or not. */
static void set_pipe(struct sq_pending_shm *p, int fd, bool in)
{
    char bytes[64];

    if (sq_load(&p->pipe) == (in ? SQ_POLL_PIPE_READABLE : SQ_POLL_PIPE_EMPTY))
        return;
    while (read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        ;
    if (in && write(fd, "", 1) != 1)
        return;
    sq_program_order();
    sq_store(&p->pipe, in ? SQ_POLL_PIPE_READABLE : SQ_POLL_PIPE_EMPTY);
}

/* Its members are to find out. */
static bool group_is_removed(const struct sq_ring *ring)
{
    return (ring->kind & SHMQ_TOPIC) != 0 &&
           (sq_ring_groups(ring) >> sq_ring_group_index(ring) & 1) == 0;
}

/* C: look, as a receive would, and say so.  When something is due next. */
static int64_t look(struct shmq *q, const struct sq_ring *ring, int fd)
{
    struct sq_group_shm *g = ring->group;
    int64_t now_ns = sq_clock_ns();

    sq_assert_held(&ring->group->lock);
    sq_cond_announce_poller(&g->items); /* before we look: who comes later, comes here */
    if (group_is_removed(ring)) {       /* a receive says so */
        set_pipe(&g->pending, fd, true);
        return SQ_NEVER;
    }
    if (sq_return_lost(q, ring, now_ns) < 0)
        sq_group_rebuild(ring);
    int64_t expiry_ns;
    bool in = sq_group_look(ring, now_ns, &expiry_ns) != -EAGAIN ||
              sq_segment_marked_unlinked(&q->segment);
    sq_store(&g->pending.found_expiry_ns, expiry_ns);
    set_pipe(&g->pending, fd, in);
    return sq_poll_pipe_due_ns(&g->pending);
}

void sq_poll_pipe_update_polled(struct shmq *q, uint32_t group)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_MS(100));
    struct sq_ring ring = q->segment.ring;
    int cancel = sq_cancel_hold();

    sq_ring_read_as(&ring, group);
    int fd = sq_load(&ring.group->pending.polled) == 0 ? -1 : sq_poll_pipe_open(q, group, false);
    /* A handle on a topic that reads no group may still have to write its pipe. */
    if (fd >= 0 && sq_make_ready_attached(q, &deadline) == 0 &&
        sq_enter_group(q, group, &deadline) == 0) {
        int64_t due_ns = look(q, &ring, fd), notify_ns = sq_load(&ring.group->pending.notify_ns);
        sq_leave_group(q, group);
        if (due_ns != SQ_NEVER && (due_ns < notify_ns || notify_ns < sq_clock_ns()) &&
            sq_cond_has_sleepers(&ring.group->notifiers))
            sq_cond_wake(&ring.group->notifiers, UINT32_MAX);
    }
    sq_cancel_release(cancel);
}

void sq_poll_pipe_close(struct shmq *q)
{
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        if (sq_load(&q->poll_pipe_fd[i]) != 0)
            close(sq_load(&q->poll_pipe_fd[i]) - 1);
}

void sq_poll_pipe_unlink(const struct sq_path *path, const struct sq_segment *segment)
{
    struct pipe_path pipe;

    for (uint32_t i = 0; i < segment->ring.group_count; i++) {
        build_path(&pipe, path, segment, i);
        unlink(pipe.text);
    }
}
