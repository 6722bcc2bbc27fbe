/*
 * shmq.h - message queues in shared memory for the processes of one machine.
 *
 * A queue is a named shared-memory object, /dev/shm/shmq.NAME.  There is no
 * daemon: the library in each attached process does the work.  Whoever is
 * killed, wherever, the others carry on; a message that was put is neither
 * lost nor torn, and it is handed out once.
 *
 * Conventions of every call:
 *  - It returns 0, a count or a length, or a negative errno value.  errno
 *    says nothing then.  shmq_strerror() explains a value in a sentence and
 *    shmq_last_error_detail() gives the figures of this thread's last failure.
 *  - Sizes are bytes.  Times are int64_t nanoseconds on CLOCK_MONOTONIC.
 *  - Timeouts are relative: SHMQ_NOWAIT, SHMQ_FOREVER or a number of
 *    nanoseconds; other negative numbers are -EINVAL.  A call that waits
 *    returns -ETIMEDOUT when the time is over, and -EINTR when a signal handler
 *    ran while it slept.  Nothing has happened to the queue in either case.
 *  - Calls never hold a thread longer than their timeout, even when a process
 *    that holds one of the queue's locks is stopped.  SHMQ_NOWAIT gives such a
 *    holder 10 ms and then returns -ETIMEDOUT, so that -EAGAIN always means
 *    that the queue is full or empty.
 *  - A handle may be used by all threads of a process at once, except that
 *    shmq_close() must be the last call on it.  A handle opened with
 *    SHMQ_SOLE_PRODUCER or SHMQ_SOLE_CONSUMER keeps to that too.
 *  - After fork() the child may go on using its copy of a handle: it attaches
 *    anew by itself at its first call.  What the parent had reserved stays the
 *    parent's, and so do the parent's sole roles.
 *  - A thread that is cancelled while it waits in shmq_put() or shmq_get() ends
 *    within a second, holding nothing.  No other call is a cancellation point.
 *  - No call is async-signal-safe.
 *  - A handle owns a file descriptor, which nobody else may close.
 *
 * Errors that any call may return, besides those it names:
 *   -EINVAL   an argument is wrong, or two contradict each other
 *   -EACCES   the handle was opened with SHMQ_RDONLY and the call would write
 *   -ESTALE   the queue's name was removed: no one can find this queue any
 *             more.  Puts are refused; gets hand out what is left first.  After
 *             shmq_unlink() at once; a name removed by other means (rm) is
 *             noticed by whoever sleeps for a second or asks for statistics.
 *   -EBADMSG  the segment is damaged where this call needed it.  Nothing that
 *             could be read beyond the damage is lost: shmq_browse() shows what
 *             can be read and shmq_purge() makes the queue usable again.
 */
#ifndef SHMQ_H
#define SHMQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHMQ_VERSION "0.1.0"

#if defined(__GNUC__)
#define SHMQ_API __attribute__((visibility("default")))
#else
#define SHMQ_API
#endif

/* A handle on an open queue. */
typedef struct shmq shmq_t;

#define SHMQ_NOWAIT  ((int64_t)0)
#define SHMQ_FOREVER ((int64_t)-1)
#define SHMQ_MS(n)   ((int64_t)(n)*1000000)
#define SHMQ_SEC(n)  ((int64_t)(n)*1000000000)

/* --- opening ----------------------------------------------------------- */

enum {
    SHMQ_CREATE = 1 << 0,        /* create the queue if its name is free */
    SHMQ_EXCL = 1 << 1,          /* with SHMQ_CREATE: -EEXIST if it is not */
    SHMQ_RDONLY = 1 << 2,        /* map read-only: depth, stats, peek, browse */
    SHMQ_SOLE_PRODUCER = 1 << 3, /* no one else may put; puts take no lock */
    SHMQ_SOLE_CONSUMER = 1 << 4, /* no one else may get; gets take no lock */
};

/* What a put does when there is no room. */
enum shmq_full {
    SHMQ_FULL_BLOCK = 0, /* wait for room until the timeout */
    SHMQ_FULL_FAIL = 1,  /* return -EAGAIN at once */
    SHMQ_FULL_DROP = 2,  /* drop the oldest messages (they are counted) */
};

/*
 * What a queue is created with.  Start from SHMQ_ATTR_INIT; a field left 0
 * takes its default.  `size` is the size of the struct the caller was compiled
 * with; a longer struct than the library knows is accepted only if the bytes
 * the library does not know are 0.
 */
struct shmq_attr {
    size_t size;                /* sizeof(struct shmq_attr) */
    uint64_t capacity_bytes;    /* of the ring, rounded up to a power of two and
                                   a page; default 1 MiB.  A message takes its
                                   length rounded up to 8, and 24 bytes more */
    uint64_t max_messages;      /* at most so many wait; 0: as many as fit */
    uint64_t max_message_bytes; /* longest message; 0: as long as the ring holds,
                                   which is capacity_bytes - 24 */
    uint32_t full;              /* enum shmq_full */
    uint32_t mode;              /* permission bits of the object, not subject to
                                   the umask; 0: 0600 */
};

#define SHMQ_ATTR_INIT                                                                             \
    {                                                                                              \
        sizeof(struct shmq_attr), 0, 0, 0, 0, 0                                                    \
    }

/*
 * Open the queue `name` and store a handle in *q.  A name has 1 to 200
 * characters of A-Z a-z 0-9 . _ - ; one leading '/' is accepted and ignored.
 *
 * With SHMQ_CREATE a queue that does not exist is created after `attr` (NULL:
 * all defaults); no process ever sees it half made.  If it exists, its own
 * attributes hold and `attr`, which must make sense, is ignored; it is refused with -EACCES when it
 * belongs to a user who is neither the caller nor root (somebody may have
 * planted it; open without SHMQ_CREATE to use it knowingly).
 *
 * SHMQ_SOLE_PRODUCER and SHMQ_SOLE_CONSUMER claim their side at once, and for
 * the life of the handle; when the holder dies the next one can claim it.
 *
 * Blocks at most a second, and only to take a side over from a sole owner that
 * died (-ETIMEDOUT, -EINTR).  Errors: -ENOENT no such queue; -EEXIST with SHMQ_EXCL;
 * -EACCES no permission; -EBUSY a sole role is taken, or others use that side;
 * -ENOSPC /dev/shm has no room (the detail names the bytes needed and free);
 * -EPROTO not a shmq queue, or of another format or lock layout; -EBADMSG
 * damaged; -EUSERS too many handles are attached; -EMFILE, -ENFILE, -ENOMEM.
 */
SHMQ_API int shmq_open(shmq_t **q, const char *name, int flags, const struct shmq_attr *attr);

/*
 * Detach and free the handle; an open reservation is aborted.  NULL is fine.
 * The queue and its messages stay until shmq_unlink().  No other call on this
 * handle may be running.  Does not block.  0, or -EBUSY: another thread has a
 * reservation open on this handle, which stays open.
 */
SHMQ_API int shmq_close(shmq_t *q);

/*
 * Remove the queue's name.  Processes still attached get -ESTALE (see above);
 * the memory is freed when the last of them has closed its handle.
 * Does not block.  Errors: -ENOENT, -EACCES.
 */
SHMQ_API int shmq_unlink(const char *name);

/* The attributes in force, rounded as they were; attr->size must be set. */
SHMQ_API int shmq_attr_of(shmq_t *q, struct shmq_attr *attr);

/* --- plain calls ------------------------------------------------------- */

/* What is known of a message besides its bytes. */
struct shmq_info {
    uint64_t id;    /* counts from 1 in the order of puts, never repeats */
    int64_t put_ns; /* when it was put, CLOCK_MONOTONIC, as coarse as the kernel's
                       coarse clock (1 to 10 ms) */
    size_t length;  /* payload bytes */
    size_t offset;  /* shmq_get_many: where in the caller's buffer it starts */
};

/* One message of shmq_put_many. */
struct shmq_buf {
    const void *data;
    size_t length;
};

/*
 * Append one message of `length` bytes (0 is fine; `data` may then be NULL).
 * Once it returns 0 the message survives the caller.  May block for room as
 * long as `timeout_ns`.  Makes no system call when nobody sleeps.
 *
 * Errors: -EMSGSIZE longer than max_message_bytes; -EAGAIN no room and
 * SHMQ_NOWAIT or full=fail; -ETIMEDOUT; -EINTR; -EBUSY a sole producer has the
 * queue, or this thread holds an open reservation on this handle.
 */
SHMQ_API int shmq_put(shmq_t *q, const void *data, size_t length, int64_t timeout_ns);

/*
 * Append `count` messages in order, with one lock and one wake.  A batch that an
 * empty ring can hold is put whole or not at all, even if the caller is killed:
 * it waits until there is room for all of it.  A larger one is put in parts of
 * that kind.  Returns how many were put: fewer than `count` if the time was over
 * after some parts.
 * Errors: as shmq_put(), when none was put.  A message too long for the queue
 * anywhere in the batch refuses the whole batch.
 */
SHMQ_API int shmq_put_many(shmq_t *q, const struct shmq_buf *messages, unsigned count,
                           int64_t timeout_ns);

/*
 * Take the oldest message: copy it into `buffer` and return its length.  The
 * message is handed out once, to one caller.  `info` may be NULL.  May block
 * for a message as long as `timeout_ns`.  No system call when nobody sleeps.
 *
 * Errors: -EAGAIN empty and SHMQ_NOWAIT; -ETIMEDOUT; -EINTR; -EMSGSIZE `size`
 * is too small: the message stays, and info->length says what it needs; -EBUSY
 * a sole consumer has the queue.
 */
SHMQ_API ssize_t shmq_get(shmq_t *q, void *buffer, size_t size, struct shmq_info *info,
                          int64_t timeout_ns);

/*
 * Take up to `count` messages.  Waits up to `timeout_ns` for the first; then up
 * to `linger_ns` more for the rest (SHMQ_NOWAIT: only what is there).  They are
 * copied one after another into `buffer`, each at a multiple of 8; infos[i] says
 * where and how long.  Returns how many were taken; fewer than `count` also when
 * the next one did not fit into what is left of the buffer (it stays).
 * Errors: as shmq_get(), when none was taken; -EMSGSIZE is about the first.
 */
SHMQ_API int shmq_get_many(shmq_t *q, void *buffer, size_t size, struct shmq_info *infos,
                           unsigned count, int64_t linger_ns, int64_t timeout_ns);

/*
 * Write a message in place: reserve room for up to `length` bytes, fill
 * *data, then shmq_commit() with the length really used (at most the reserved)
 * or shmq_abort().  Nothing is visible before the commit; a process that dies
 * in between leaves nothing behind.
 *
 * The reservation belongs to the calling thread, and until it ends the other
 * producers wait, so fill it quickly; a put by the same thread through another
 * handle would wait for itself.  It is aborted when the thread ends.  One
 * reservation at a time a handle and thread: -EBUSY.  May block as shmq_put(); same errors.
 * shmq_commit() and shmq_abort() do not block; -EINVAL without a reservation of
 * this thread, or when `length` is more than was reserved (it stays open).
 */
SHMQ_API int shmq_reserve(shmq_t *q, size_t length, void **data, int64_t timeout_ns);
SHMQ_API int shmq_commit(shmq_t *q, size_t length);
SHMQ_API int shmq_abort(shmq_t *q);

/*
 * Copy the oldest message without taking it.  Takes no lock and never blocks.
 * Errors: -EAGAIN empty; -EMSGSIZE as shmq_get().
 */
SHMQ_API ssize_t shmq_peek(shmq_t *q, void *buffer, size_t size, struct shmq_info *info);

/*
 * Walk over the waiting messages, oldest first, without taking them: set *place
 * to 0 before the first call and leave it alone between calls.  Messages taken
 * by others meanwhile are passed over; every message shown is whole.  On
 * -EMSGSIZE *place stays, so that the call can be made again with more room.
 * Takes no lock and never blocks.  Errors: -EAGAIN no more (later calls show
 * what was put since); -EMSGSIZE.
 */
SHMQ_API ssize_t shmq_browse(shmq_t *q, uint64_t *place, void *buffer, size_t size,
                             struct shmq_info *info);

/*
 * Remove all messages that wait now; returns how many.  Also the way out of a
 * damaged record.  Needs the consumer's side, and for a damaged ring the
 * producer's too: -EBUSY while another handle has it alone.  Blocks at most a
 * second for their locks: -ETIMEDOUT, -EINTR.
 */
SHMQ_API int64_t shmq_purge(shmq_t *q);

/* --- state ------------------------------------------------------------- */

/* How many messages wait.  Takes no lock, never blocks. */
SHMQ_API int64_t shmq_depth(shmq_t *q);

#define SHMQ_HISTOGRAM_BUCKETS 48

/*
 * A reading of the queue's counters, taken without a lock while the queue moves
 * on: each figure is right by itself, sums across figures may be off by what
 * went through meanwhile.  Totals are since the queue was created; but for
 * put_count and depth, a process that is killed may leave them off by what it was
 * about to do.
 */
struct shmq_stats {
    size_t size;               /* sizeof(struct shmq_stats), set by the caller */
    uint64_t put_count;        /* messages put */
    uint64_t put_bytes;        /* their payload */
    uint64_t got_count;        /* messages handed out */
    uint64_t got_bytes;        /* their payload */
    uint64_t dropped_count;    /* lost to full=drop */
    uint64_t purged_count;     /* removed by shmq_purge() */
    uint64_t depth;            /* messages waiting */
    uint64_t peak_depth;       /* the most that ever waited (within a few) */
    uint64_t used_bytes;       /* of the ring, headers included */
    uint64_t capacity_bytes;   /* of the ring */
    uint64_t max_messages;     /* 0: no limit */
    int64_t oldest_age_ns;     /* age of the oldest message; 0: empty */
    uint64_t full_wait_count;  /* how often a put slept for room */
    int64_t full_wait_ns;      /* and how long, all together */
    uint64_t empty_wait_count; /* how often a get slept for a message */
    int64_t empty_wait_ns;     /* and how long, all together */
    uint32_t sleeping_producers;
    uint32_t sleeping_consumers;
    uint32_t attached;      /* handles attached (read-only ones do not show) */
    uint32_t sole_producer; /* 1 while a sole producer has the queue */
    uint32_t sole_consumer; /* likewise */
    uint32_t unlinked;      /* 1 once the name was removed */
    int64_t created_ns;     /* when the queue was made, CLOCK_REALTIME */
    uint64_t recoveries;    /* dead owners of a lock or role cleaned up after */
    uint64_t dead_count;    /* attached processes found dead */
    /*
     * How long messages waited: bucket 0 counts those under 2 ns, bucket i
     * those of 2^i up to 2^(i+1) - 1 ns, the last all that is longer.  It is a
     * sample: the first message of each tick of the coarse clock and every 64th.
     */
    uint64_t wait_histogram[SHMQ_HISTOGRAM_BUCKETS];
};

SHMQ_API int shmq_stats(shmq_t *q, struct shmq_stats *stats);

/* An attached handle, for people to read; liveness does not rest on the pid. */
struct shmq_process {
    int32_t pid;                 /* in the process's own PID namespace */
    uint32_t flags;              /* SHMQ_SOLE_... it was opened with */
    int64_t attached_ns;         /* since when, CLOCK_MONOTONIC */
    uint32_t sleeping_producers; /* of its threads, how many sleep in a put */
    uint32_t sleeping_consumers; /* likewise in a get */
    char command[16];            /* as in /proc/PID/comm */
};

/*
 * List the attached handles: fills up to `count` entries and returns how many
 * there are.  Dead ones are left out.  Takes no lock, never blocks.
 */
SHMQ_API int shmq_attached(shmq_t *q, struct shmq_process *list, unsigned count);

/*
 * Call `each` with the name of every queue of this machine, in no order, until
 * it returns non-zero; that value is returned, else 0.
 */
SHMQ_API int shmq_list(int (*each)(const char *name, void *arg), void *arg);

/* --- errors ------------------------------------------------------------ */

/* A sentence for an error value (negative or positive); never NULL, static. */
SHMQ_API const char *shmq_strerror(int error);

/*
 * What this thread's last failed call had to say beyond its error value, such
 * as the bytes needed and free; "" when there is nothing.  Valid until the
 * thread's next failure.
 */
SHMQ_API const char *shmq_last_error_detail(void);

/* The library's version, "MAJOR.MINOR.PATCH". */
SHMQ_API const char *shmq_version(void);

#ifdef __cplusplus
}
#endif

#endif
