/*
 * shmq.h - message queues in shared memory for the processes of one machine.
 *
 * A queue is a named shared-memory object, /dev/shm/shmq.NAME.  There is no
 * daemon: the library in each attached process does the work.  Whoever is
 * killed, wherever, the others carry on; a message that was put is neither
 * lost nor torn.  shmq_get() hands it out once; shmq_receive() again and again,
 * to one consumer at a time, until it is acknowledged.
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
    SHMQ_TOPIC = 1 << 5,         /* created as a topic: read by groups only */
    SHMQ_UNIQUE = 1 << 6,        /* created so that one key is there at most once among
                                    messages not finished (parked ones are) */
};

/* What a put does when there is no room. */
enum shmq_full {
    SHMQ_FULL_BLOCK = 0, /* wait for room until the timeout */
    SHMQ_FULL_FAIL = 1,  /* return -EAGAIN at once */
    SHMQ_FULL_DROP = 2,  /* drop the oldest messages (they are counted); where
                            leased ones are in the way, as SHMQ_FULL_BLOCK */
};

/* In which order a group hands out what waits.  In each of them a message may
 * have a delay; once that is over it takes the place it would have had. */
enum shmq_order {
    SHMQ_FIFO = 0,     /* as they were put */
    SHMQ_LIFO = 1,     /* the last one put first */
    SHMQ_PRIORITY = 2, /* the higher priority first, equals as they were put */
};

/* How long a message rests before its next try.  d: retry_first_ns, f:
 * retry_factor, n: how many tries it has had; then the jitter, then the cap. */
enum shmq_retry {
    SHMQ_RETRY_FIXED = 0,       /* d */
    SHMQ_RETRY_LINEAR = 1,      /* d * n */
    SHMQ_RETRY_EXPONENTIAL = 2, /* d * f ^ (n - 1) */
    SHMQ_RETRY_FIBONACCI = 3,   /* d * 1, 1, 2, 3, 5, ... */
    SHMQ_RETRY_RANDOM = 4,      /* evenly between 0 and min(d * n, the greatest) */
};

/* What becomes of a group that does not keep up, when the ring is full. */
enum shmq_lag {
    SHMQ_LAG_DEFAULT = 0, /* as the queue's full policy: drop if that is to drop */
    SHMQ_LAG_HOLD = 1,    /* producers wait for it (or fail) */
    SHMQ_LAG_DROP = 2,    /* it loses its oldest messages; they are counted */
};

/* What a call writes to the queue's file (attr.snapshot) before it returns, see "files". */
enum shmq_journal {
    SHMQ_JOURNAL_NONE = 0,     /* nothing: the file is a snapshot */
    SHMQ_JOURNAL_OS = 1,       /* what it did: that outlives all processes, not the machine */
    SHMQ_JOURNAL_INTERVAL = 2, /* likewise, and it is put on the disk every save_ns: a crash
                                  of the machine loses no more than was done since */
    SHMQ_JOURNAL_ALWAYS = 3,   /* what it did, and waits until it is on the disk: it outlives
                                  a crash of the machine, too */
};

#define SHMQ_NAME_LONGEST  200 /* of a queue */
#define SHMQ_GROUP_LONGEST 63  /* of a group */

/*
 * How a group treats the messages it hands out on lease.  Fields left 0 take the
 * default.  Jitter 0.1 makes each rest up to a tenth shorter or longer.
 */
struct shmq_policy {
    int64_t lease_ns;             /* how long a consumer may keep a message; default 30 s */
    uint32_t max_attempts;        /* deliveries in all; 0: no limit */
    uint32_t retry;               /* enum shmq_retry */
    int64_t retry_first_ns;       /* d; 0: at once */
    int64_t retry_greatest_ns;    /* the cap; 0: an hour, or d if that is longer */
    double retry_factor;          /* f; 0: 2 */
    double retry_jitter;          /* 0 to 1 */
    uint32_t lag;                 /* enum shmq_lag */
    uint32_t dead_letter_expired; /* 1: expired messages become dead letters */
    int64_t dead_letter_ttl_ns;   /* those sent to a queue expire so long after; 0: never */
    char dead_letter[SHMQ_NAME_LONGEST + 8]; /* queue for dead letters; "": they are
                                                parked where they are */
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
    uint32_t order;             /* enum shmq_order, of all its groups */
    uint32_t max_groups;        /* of a topic: 1 to 64, default 16; else 1 */
    uint32_t pending_count;     /* how many messages a group can have leased,
                                   delayed, returned or parked at a time; default
                                   1024.  With another order than FIFO all that
                                   waits counts: default max_messages, or else
                                   capacity / 64; max_messages is at most this */
    uint32_t compress_bytes;    /* shmq_send() compresses payloads of at least so
                                   many bytes, if that makes them shorter; 0: none.
                                   -ENOTSUP from shmq_open() in a library built
                                   without liblz4 */
    uint32_t kind;              /* set by shmq_attr_of(): SHMQ_TOPIC, SHMQ_UNIQUE; to
                                   open with, a flag of shmq_open() says so and this is 0 */
    uint32_t reserved;          /* 0 */
    struct shmq_policy policy;  /* of the queue's own group, and of groups that
                                   bring none */
    const char *snapshot;       /* path of the queue's file, see "files" below; NULL:
                                   none.  From shmq_attr_of() it is valid as long as
                                   the handle is open */
    int64_t save_ns;            /* save so often, if anything has changed; 0: not by time;
                                   at least 1 ms.  With SHMQ_JOURNAL_INTERVAL: put the
                                   journal on the disk so often; default 1 s */
    uint64_t save_changes;      /* save after so many puts; 0: not by number */
    uint32_t save_at_end;       /* 1: save when the last handle closes */
    uint32_t journal;           /* enum shmq_journal */
};

#define SHMQ_ATTR_INIT                                                                             \
    {                                                                                              \
        .size = sizeof(struct shmq_attr)                                                           \
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
 * the life of the handle; when the holder dies the next one can claim it.  A topic,
 * a unique queue and one that drops its oldest have no sole consumer (-EINVAL),
 * since others must enter that side.
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

/* --- files ------------------------------------------------------------- */

/*
 * A queue lives in memory, and with attr.snapshot in a file as well, which brings it back
 * after the machine went down: all messages that were not finished, with their ids, times,
 * keys, headers and deliveries; the groups, where they stood; what was leased waits again.
 * Delays and times to live go on meanwhile.
 *
 * shmq_open() with SHMQ_CREATE and attr.snapshot: if there is the queue, it holds (and its
 * own file, if any).  If there is none, but the file, the queue is made from that, with the
 * attributes that it had, but for how it is saved, which `attr` says.  If there is neither,
 * both are made.  Of processes that come at once one does it.  A relative path is taken
 * from the caller's working directory, once.  Besides shmq_open()'s errors: -EPROTO the
 * path leads to something else (a symbolic link, a folder, a file that is not shmq's or of
 * another format); -EBADMSG the file is damaged; -EBUSY it is another queue's, or
 * others still have this queue open, which was removed; -EACCES it is another
 * user's; and what writing says: -ENOSPC, -EROFS, -ENAMETOOLONG, ...  Nothing is touched then.
 *
 * Nobody waits while the queue is saved, but producers may find less room for a moment:
 * what is being copied is not written over.  A file is replaced whole, by one that was put
 * on the disk before; a crash leaves the old one or the new one.  What comes in while it is
 * written may be in it or not; a message that was put before the call is, unless it
 * was finished meanwhile.
 *
 * If the file cannot be written later on (disk full, folder gone, ...), the queue goes on
 * in memory and the file stays as it was; shmq_file_stats() tells.  A process that cannot
 * open the file uses the queue without it.  A queue is only saved by processes of the user
 * that made it, or if root did.
 *
 * With attr.journal the file is a journal: what is new is appended to it.  A message that
 * was put is in the file when the put returns, and what was
 * handed out by shmq_get() or acknowledged, given back, rejected, purged or removed is
 * noted there when that call returns; ALWAYS also waits for the disk, one sync serving all
 * who wait, and longer than the call's timeout if need be; INTERVAL leaves that to a thread
 * of the handle, and to shmq_close().  What shmq_receive() hands out
 * is not: it is handed out again after a restart, and counts as delivered once more only if
 * anything was written of its group since.  Errors then, of all these calls: -ENOSPC, -EFBIG,
 * -EIO, -EDQUOT, -ENOENT the file was removed (which shows within 0.1 s), ...  A put has
 * then done nothing; but for -EIO from the sync itself, when the message is there and
 * perhaps not on the disk.
 * shmq_get() hands out its message all the same; an acknowledgement holds, but is perhaps
 * forgotten in a restart.  What could not be written is, with what the group writes next, or
 * when the file is rewritten; until that was done shmq_file_stats() tells of it.  After a sync
 * has failed, or the file was removed, nothing more is appended until it was rewritten.  That
 * is tried once a second while there is trouble, and by shmq_save(q, NULL).  Ignore SIGXFSZ
 * if the process has a limit on file sizes.
 *
 * A journal is rewritten when it is longer than a MiB and four times what lives, by a thread
 * of the handles that write to it, while they go on.  If those do not keep up (four times as
 * long again), a call that writes does it, or waits up to a second for who does.
 *
 * shmq_unlink() removes the queue, not the file: a queue created anew has what the file
 * had.  To begin with none, remove the file too.
 */

/*
 * Save the queue to `path`, or if that is NULL to its own file.  Another file must not be
 * there yet, or be one of this queue's.  Blocks for as long as writing takes, and up to
 * 30 s for another process that is saving.  Errors: -EINVAL the queue has no file; -EBUSY
 * the file is another queue's, or a sole consumer of another process has messages leased;
 * -EPROTO, -EACCES as above; -ETIMEDOUT, -EINTR; -EBADMSG; what writing says.
 */
SHMQ_API int shmq_save(shmq_t *q, const char *path);

/*
 * Create queue `name` (NULL: the name in the file) from a file, with the attributes it
 * had.  The queue is not kept in the file from then on; shmq_open() with attr.snapshot does
 * that.  A queue in use can be loaded under another name, as it was last saved.  Errors:
 * -EEXIST there is such a queue; -ENOENT no file; -EBUSY a queue is just being created from
 * it; -EPROTO, -EBADMSG, -EACCES as above; -ENOSPC /dev/shm has no room.
 */
SHMQ_API int shmq_load(const char *name, const char *path);

/*
 * Wait until what was put up to message `id` (0: all that was put), and what is written of
 * groups, is on the disk.  -EINVAL the queue has no journal; -ETIMEDOUT somebody else's sync
 * took too long (one's own is waited for); -EIO and others, what writing says.
 */
SHMQ_API int shmq_sync(shmq_t *q, uint64_t id, int64_t timeout_ns);

/* How a queue's file is. */
struct shmq_file_stats {
    size_t size;          /* sizeof(struct shmq_file_stats), set by the caller */
    char path[1024];      /* "": the queue has no file, and all but cut_bytes is 0 */
    int32_t error;        /* errno of the last try to save or open it; 0: all is well */
    uint32_t save_at_end; /* as in struct shmq_attr, and the next two */
    int64_t save_ns;
    uint64_t save_changes;
    int64_t failed_ns;    /* since when there is that error, CLOCK_MONOTONIC */
    int64_t saved_age_ns; /* how long ago it was saved */
    uint64_t saved_id;    /* the last message that it knows */
    uint64_t lag;         /* how many were put since; of a journal 0 */
    uint64_t stale;       /* 1: something has changed since; of a journal: it is not all on
                             the disk */
    uint64_t generation;  /* counts how often it was replaced */
    uint64_t file_bytes;
    uint32_t journal; /* enum shmq_journal; and of that, since the queue was made: */
    uint32_t reserved;
    uint64_t write_count;  /* frames appended */
    uint64_t sync_count;   /* calls of fdatasync() */
    uint64_t synced_bytes; /* of file_bytes, on the disk; 0 also just after it was replaced */
    uint64_t cut_bytes;    /* of the file that the queue was made of, in which a crash had torn
                              the last write: what was not promised.  Also after shmq_load() */
};

/* Fill in *stats; stats->size must be set.  Takes no lock and never blocks. */
SHMQ_API int shmq_file_stats(shmq_t *q, struct shmq_file_stats *stats);

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
 * queue, or this thread holds an open reservation on this handle; -EINVAL also when
 * the queue is unique, where messages have keys: shmq_send().
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
 * Copy the oldest message, of those that shmq_browse() shows, without taking it.
 * Takes no lock and never blocks.  Errors: -EAGAIN empty; -EMSGSIZE as shmq_get().
 */
SHMQ_API ssize_t shmq_peek(shmq_t *q, void *buffer, size_t size, struct shmq_info *info);

/*
 * Walk over the messages that no consumer has come to, oldest first, whatever the
 * queue's order, and without taking them (shmq_inspect() also shows what was
 * returned, delayed or leased): set *place to 0 before the first call and leave
 * it alone between calls.  A compressed payload is shown as stored.  Messages taken
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

/* --- messages with more to them ------------------------------------------ */

/* What SHMQ_TYPE_... a message is of; any other number is the application's. */
enum {
    SHMQ_TYPE_NONE = 0,
    SHMQ_TYPE_OBJECT = 'O', /* a serialised object */
    SHMQ_TYPE_STRING = 'S', /* text */
};

/* A name and a value to send along, both text; up to 1,024 of them.  Names have 1 to
 * 255 printable ASCII characters without '=' and blanks; values up to 65,535 bytes. */
struct shmq_header {
    const char *name;
    const char *value;
};

/* Where a message is in its group. */
enum shmq_state {
    SHMQ_WAITING = 1, /* would be received now or when its turn comes */
    SHMQ_DELAYED = 2, /* has a delay, or rests before a retry */
    SHMQ_LEASED = 4,  /* in a consumer's hands */
    SHMQ_DEAD = 8,    /* parked: rejected, out of attempts or expired, with no
                         queue named for dead letters */
};

/* Why a message became a dead letter; numbers from 16 on are the application's. */
enum shmq_reason {
    SHMQ_REASON_UNKNOWN = 0,
    SHMQ_REASON_VALIDATION = 1, /* the message makes no sense */
    SHMQ_REASON_PROCESSING = 2, /* dealing with it failed */
    SHMQ_REASON_TIMEOUT = 3,    /* dealing with it took too long */
    SHMQ_REASON_DEPENDENCY = 4, /* something it needs is not there */
    SHMQ_REASON_ATTEMPTS = 5,   /* out of attempts */
    SHMQ_REASON_EXPIRED = 6,    /* its time to live was over */
};

/*
 * A message, to be sent or as received.  Start from SHMQ_MSG_INIT.
 *
 * Received, `data`, `key` and `header_block` point into the ring (or, for a
 * compressed payload, to memory of the library's): they may be read until the
 * lease ends, and are not to be written.
 */
struct shmq_msg {
    size_t size; /* sizeof(struct shmq_msg) */
    const void *data;
    size_t length;
    uint64_t id; /* set by shmq_send() and when received */
    uint32_t type;
    int32_t priority;
    int64_t delay_ns; /* to send: not before so long from now */
    int64_t due_ns;   /* to send: not before this time, CLOCK_REALTIME; 0: none.
                         shmq_find(), shmq_inspect(): when its delay or rest ends */
    int64_t ttl_ns;   /* to send: expires so long from now; received: what is
                         left of it; 0: never */
    const void *key;  /* any bytes, up to 1,024 */
    size_t key_length;
    const struct shmq_header *headers; /* to send; names must differ */
    unsigned header_count;
    uint64_t correlation;     /* the application's, or of shmq_call() */
    const void *header_block; /* received: see shmq_header_value().  To send, with
                                 `headers` NULL: as received */
    size_t header_bytes;
    int64_t put_ns;    /* received: when it was put, as in struct shmq_info */
    uint32_t attempts; /* received: deliveries, this one included */
    uint32_t state;    /* shmq_find(), shmq_inspect(): enum shmq_state */
    uint32_t reason;   /* shmq_find(), shmq_inspect(), of dead ones: enum shmq_reason */
    uint32_t reserved; /* 0 */
    int64_t since_ns;  /* likewise: since when, CLOCK_MONOTONIC */
    uint64_t lease[4]; /* the library's */
};

#define SHMQ_MSG_INIT                                                                              \
    {                                                                                              \
        .size = sizeof(struct shmq_msg)                                                            \
    }

/*
 * The value of a header of a received message, or NULL.  It ends with the lease.
 */
SHMQ_API const char *shmq_header_value(const struct shmq_msg *msg, const char *name);

/*
 * Walk over a received message's headers: set *place to 0 before the first call.
 * 1, or 0 after the last one, or -EBADMSG.
 */
SHMQ_API int shmq_header_next(const struct shmq_msg *msg, size_t *place,
                              struct shmq_header *header);

/*
 * Append a message with type, priority, delay, time to live, key, headers and
 * correlation id, and set msg->id.  Blocks, and fails, as shmq_put(); also:
 * -EEXIST the queue is unique and a message with this key is not finished:
 * msg->id is set to its id; -EINVAL a field makes no sense (the detail says
 * which), or the queue is unique and there is no key; -ENOTSUP it is to be compressed,
 * and the library built without liblz4.
 */
SHMQ_API int shmq_send(shmq_t *q, struct shmq_msg *msg, int64_t timeout_ns);

/*
 * Send `count` messages in order; one that an empty ring can hold is put whole or
 * not at all, as with shmq_put_many().  Returns how many were put.  In a unique
 * queue they are put one by one, up to the first -EEXIST.
 */
SHMQ_API int shmq_send_many(shmq_t *q, struct shmq_msg *msgs, unsigned count, int64_t timeout_ns);

/*
 * Receive the next message on lease: until shmq_ack(), shmq_nack() or
 * shmq_reject() it is in the caller's hands and nobody else's.  The lease ends by
 * itself, and the message is handed out again, when its time is over (the group's
 * policy; shmq_touch() gives more) and, within a second, when the process that
 * has it dies or closes its handle.  Deliveries are counted over all of that.
 * A lease belongs to the handle, so that another thread may acknowledge it; after
 * fork() the parent's leases stay the parent's.
 *
 * Blocks as shmq_get(); same errors.  -EAGAIN or waiting also while the group is
 * paused, or has `pending_count` messages leased, delayed, returned or parked already.
 * -ENOTSUP the message is compressed, and the library built without liblz4: it stays.
 */
SHMQ_API int shmq_receive(shmq_t *q, struct shmq_msg *msg, int64_t timeout_ns);

/*
 * Acknowledge `msg`, and receive the next message into it: shmq_ack() and then
 * shmq_receive(), at half the cost.  A `msg` that holds nothing (SHMQ_MSG_INIT, or
 * nothing came the last time) is only received into.  So a consumer's loop is
 *
 *     while ((rc = shmq_next(q, &msg, SHMQ_FOREVER)) == 0)
 *         work(&msg);
 *
 * and whoever wants another end for a message calls that, shmq_nack() say, before.
 * Errors: those of shmq_ack(), when nothing was received (-ECANCELED: call again for the
 * next); those of shmq_receive(), when the acknowledgement holds and msg holds nothing.
 */
SHMQ_API int shmq_next(shmq_t *q, struct shmq_msg *msg, int64_t timeout_ns);

/*
 * Receive up to `count` messages: waits up to `timeout_ns` for the first, then up
 * to `linger_ns` more for the rest.  How many, or why there is none.
 */
SHMQ_API int shmq_receive_many(shmq_t *q, struct shmq_msg *msgs, unsigned count, int64_t linger_ns,
                               int64_t timeout_ns);

/*
 * The message is dealt with.  Of the calls that end a lease, or prolong it, none waits
 * for longer than a second for the lock of a stopped process (-ETIMEDOUT, and the
 * lease goes on), but for a dead letter once more.
 * Errors: -EINVAL not leased with this handle, or its lease was ended by it
 * before (a surplus acknowledgement); -ECANCELED the lease had ended by itself,
 * and the message is or was handed out again, or was removed.
 */
SHMQ_API int shmq_ack(shmq_t *q, struct shmq_msg *msg);

/* Acknowledge several; how many were, or the first error if none was. */
SHMQ_API int shmq_ack_many(shmq_t *q, struct shmq_msg *msgs, unsigned count);

/* Acknowledge all that this handle has leased with ids up to `id`; how many. */
SHMQ_API int shmq_ack_upto(shmq_t *q, uint64_t id);

/* As queue.Queue: acknowledge the message that this handle has had the longest, which is
 * the one whose lease ends first.  -EINVAL it has none. */
SHMQ_API int shmq_task_done(shmq_t *q);

#define SHMQ_BY_POLICY ((int64_t)-1)

enum {
    SHMQ_TO_BACK = 1 << 0, /* behind all that waits now (of its priority), not in its own place */
};

/*
 * Give the message back, to be handed out again after `delay_ns`, or
 * SHMQ_BY_POLICY.  When it has had the policy's max_attempts deliveries it becomes
 * a dead letter instead (SHMQ_REASON_ATTEMPTS).
 */
SHMQ_API int shmq_nack(shmq_t *q, struct shmq_msg *msg, int64_t delay_ns, int flags);

/* The same, and what went wrong: the dead letter says so, if it becomes one; or NULL. */
SHMQ_API int shmq_fail(shmq_t *q, struct shmq_msg *msg, int64_t delay_ns, int flags,
                       const char *text);

/*
 * The message is no good: to the group's dead-letter queue with it, or parked
 * where none is named (or that one has no room, or cannot be opened).  A queue of
 * that name is made if there is none, as large as this one and with its mode.
 * `reason`: enum shmq_reason or the application's; `text`: what went wrong, or NULL
 * (of more than 65,535 bytes the end).
 *
 * A dead letter has the message's payload, type, priority, key, headers and
 * correlation id, and headers of its own: shmq-reason, shmq-error, shmq-attempts,
 * shmq-first-put (CLOCK_REALTIME ns), shmq-dead-at (likewise), shmq-id, shmq-queue,
 * shmq-group, shmq-pid and shmq-command (of the last consumer).
 */
SHMQ_API int shmq_reject(shmq_t *q, struct shmq_msg *msg, uint32_t reason, const char *text);

/*
 * The lease ends `lease_ns` from now; 0: the policy's time.  One thread may do so while
 * another reads the message: also after -ECANCELED, memory of the library's that it
 * points to stays until one of those above is called, or shmq_close().
 */
SHMQ_API int shmq_touch(shmq_t *q, struct shmq_msg *msg, int64_t lease_ns);

/*
 * Wait until all that was put is finished: handed out by shmq_get(),
 * acknowledged, dead or gone.  Of a topic's group: of this group.  What is expired,
 * or passed over by a filter, is finished when a consumer comes to it.
 * -ETIMEDOUT, -EINTR.
 */
SHMQ_API int shmq_join(shmq_t *q, int64_t timeout_ns);

/* --- groups ---------------------------------------------------------------- */

/*
 * Each group of a topic sees every message put after its start; members of one
 * group compete.  A group is durable: it exists with no member attached, and
 * holds its place.  A queue that is no topic has one group, which has no name.
 */
enum shmq_start {
    SHMQ_LATEST = 0,   /* what is put from now on */
    SHMQ_EARLIEST = 1, /* the oldest that the ring still has */
    SHMQ_AT_ID = 2,    /* the first with this id or a later one */
    SHMQ_AT_TIME = 3,  /* the first put at this time or later (CLOCK_MONOTONIC ns) */
    SHMQ_AT_PART = 4,  /* the start of the current part (shmq_part_begin()) */
};

/* What a group is made with.  Start from SHMQ_GROUP_INIT. */
struct shmq_group_attr {
    size_t size;         /* sizeof(struct shmq_group_attr) */
    uint32_t start;      /* enum shmq_start */
    uint32_t has_policy; /* 1: `policy` holds, else the queue's */
    uint64_t start_at;   /* the id, or the time */
    /* A filter: the group passes over all that does not match all of these. */
    uint32_t filter_type;            /* 0: any */
    const char *filter_key;          /* NULL: any; else a shell pattern, up to 127 bytes */
    const char *filter_header;       /* NULL: any; else a header's name, ... */
    const char *filter_header_value; /* ... which must have this value */
    struct shmq_policy policy;
};

#define SHMQ_GROUP_INIT                                                                            \
    {                                                                                              \
        .size = sizeof(struct shmq_group_attr)                                                     \
    }

/*
 * Join the group `name` of the topic, which is made (after `attr`, NULL: all
 * defaults) if it is not there, and store in *g a handle that reads as this group.
 * It is closed by shmq_close(), which leaves the group as it is; `q` may be
 * closed before.  Names are as those of queues, up to SHMQ_GROUP_LONGEST.
 * Blocks at most a second.  Errors: -EINVAL not a topic; -ENOSPC the topic has
 * max_groups groups; -EBUSY a sole producer has the topic and the start is not
 * SHMQ_LATEST; those of shmq_open().
 */
SHMQ_API int shmq_subscribe(shmq_t *q, const char *name, const struct shmq_group_attr *attr,
                            shmq_t **g);

/*
 * Remove a group and its place, from any process.  Calls of its members say
 * -ESTALE from then on.  -ENOENT no such group.
 */
SHMQ_API int shmq_unsubscribe(shmq_t *q, const char *name);

/*
 * Move the group to another place within what the ring still holds (enum
 * shmq_start; `at` is the id or time); a queue that is no topic holds nothing from
 * before its place.  What the group had delayed, returned or parked is forgotten.
 * Blocks at most a second.  -EBUSY messages are leased, or the queue has a sole
 * producer or consumer.
 */
SHMQ_API int shmq_seek(shmq_t *g, int start, uint64_t at);

/*
 * Begin a new part of the log here: groups made with SHMQ_AT_PART from now on
 * start with what is put next.  Groups that exist read on through all parts.
 */
SHMQ_API int shmq_part_begin(shmq_t *q);

/* The group's policy, and changing it for what is handed out from now on. */
SHMQ_API int shmq_policy_of(shmq_t *g, struct shmq_policy *policy);
SHMQ_API int shmq_policy_set(shmq_t *g, const struct shmq_policy *policy);

/* Hand out nothing more, for anybody in the group, until shmq_resume(). */
SHMQ_API int shmq_pause(shmq_t *g);
SHMQ_API int shmq_resume(shmq_t *g);

/* A group's figures, as struct shmq_stats: taken without a lock. */
struct shmq_group_stats {
    char name[SHMQ_GROUP_LONGEST + 1]; /* "": of a queue that is no topic */
    uint64_t backlog;                  /* not finished: waiting + delayed + leased */
    uint64_t waiting;                  /* of them, to be had now, and all that no consumer
                                          has come to: delayed, expired or filtered too */
    uint64_t delayed;
    uint64_t leased;
    uint64_t dead;              /* parked */
    uint64_t delivered_count;   /* handed out, on lease or not */
    uint64_t redelivered_count; /* of them, not for the first time */
    uint64_t acked_count;
    uint64_t nacked_count;
    uint64_t lost_lease_count;  /* leases ended by time or death */
    uint64_t dead_count;        /* became dead letters, parked or sent away */
    uint64_t dead_by_reason[8]; /* of them, by enum shmq_reason; [7]: the application's */
    uint64_t expired_count;
    uint64_t dropped_count;
    uint64_t filtered_count;
    int64_t oldest_age_ns; /* of what is not finished; 0: nothing */
    int64_t next_due_ns;   /* how long until the next delay or lease ends; 0: none */
    uint32_t members;      /* attached handles that read as this group */
    uint32_t paused;
};

/* The group of this handle.  -EINVAL a topic's handle without a group. */
SHMQ_API int shmq_group_stats(shmq_t *g, struct shmq_group_stats *stats);

/* All groups: fills up to `count` entries and returns how many there are. */
SHMQ_API int shmq_groups(shmq_t *q, struct shmq_group_stats *list, unsigned count);

/* --- by id -------------------------------------------------------------------- */

/*
 * Copy a message that is not finished, whatever its state: payload, key and
 * headers into `buffer`, to which msg's fields then point.  Payload length.
 * -ENOENT finished or never there; -EMSGSIZE: msg->length (rounded up to 8),
 * key_length and header_bytes say what it needs.
 */
SHMQ_API ssize_t shmq_find(shmq_t *q, uint64_t id, struct shmq_msg *msg, void *buffer, size_t size);

/*
 * Replace the payload of a message that is not finished (for all groups); id,
 * place, key, headers and all else stay.  Needs room for a whole new record; may
 * block for it.  -ENOENT; -EBUSY it is leased somewhere, or a sole producer or
 * consumer has the queue.
 */
SHMQ_API int shmq_update(shmq_t *q, uint64_t id, const void *data, size_t length,
                         int64_t timeout_ns);

/* Remove a message, for all groups.  -ENOENT; -EBUSY it is leased somewhere, or a sole
 * consumer has the queue. */
SHMQ_API int shmq_remove(shmq_t *q, uint64_t id);

/*
 * Walk over the group's messages in the given states (enum shmq_state, or-ed),
 * one a call, as shmq_find(): set *place to 0 before the first call.  First those that
 * the group has taken up (leased, delayed, returned, parked), in no order, then the
 * others as they were put.  Payload length; -EAGAIN no more; -EMSGSIZE *place stays.
 */
SHMQ_API ssize_t shmq_inspect(shmq_t *q, unsigned states, uint64_t *place, struct shmq_msg *msg,
                              void *buffer, size_t size);

/*
 * Put dead letters back where they came from, all (id 0) or the one with this id
 * in `q`: what is parked in q's group waits again, with its attempts forgotten;
 * what has the headers of a dead letter goes back to the queue it names (and stays
 * where that is gone).  Several may do so at once.  How many.  -ENOENT no such dead letter.
 * For each it may block up to a second for room there: -ETIMEDOUT, or with full=fail
 * -EAGAIN, if none was put back.
 */
SHMQ_API int64_t shmq_redrive(shmq_t *q, uint64_t id);

/* --- waiting in event loops ----------------------------------------------------- */

/*
 * A descriptor for poll(), epoll and the like, readable exactly while a receive
 * would succeed (or say something else than "nothing there").  Poll it for
 * reading, level-triggered; neither read nor close it.  It belongs to the handle,
 * which from now on has a thread that keeps time for it, with all signals blocked.
 * -EMFILE, -ENFILE, -EAGAIN (no more threads); -EINVAL the handle is a sole consumer's.
 * After fork() ask anew in the child.
 */
SHMQ_API int shmq_fd(shmq_t *q);

/*
 * Wait until a receive would succeed on one of up to 128 queues; its index.
 * Another consumer may be faster: receive with SHMQ_NOWAIT.  -EAGAIN none and
 * SHMQ_NOWAIT; -ETIMEDOUT; -EINTR, but not for a signal handler set with SA_RESTART;
 * -ESTALE one of them was removed.
 */
SHMQ_API int shmq_wait_any(shmq_t *const *qs, unsigned count, int64_t timeout_ns);

/* --- request and reply ------------------------------------------------------------ */

/*
 * Send `request` to `q` and wait for the reply, which comes by a private queue of
 * the handle's; copy it to `buffer` and return its length.  Several threads may
 * call at once.  A reply that comes after its caller has left is thrown away.
 * request->correlation is set, and the header shmq-reply-to is added.  The private
 * queue, named reply.*, is as large as `q`, up to 16 MiB, and has its mode; it is
 * removed with the handle, or once its process is dead.
 * Errors: as shmq_send(); -ETIMEDOUT; -EMSGSIZE the reply was longer than `size`
 * and is lost; -ESTALE somebody removed the private queue (the next call makes another).
 */
SHMQ_API ssize_t shmq_call(shmq_t *q, struct shmq_msg *request, void *buffer, size_t size,
                           int64_t timeout_ns);

/*
 * Answer a received request, before it is acknowledged.  -EINVAL it asks for no
 * answer; -ENOENT its sender is gone; -EAGAIN its queue is full.
 */
SHMQ_API int shmq_reply(shmq_t *q, const struct shmq_msg *request, const void *data, size_t length);

/* --- workers ------------------------------------------------------------------------ */

/* What a handler says became of the message. */
enum shmq_verdict {
    SHMQ_DONE = 0,   /* acknowledge it */
    SHMQ_RETRY = 1,  /* give it back, by the group's policy */
    SHMQ_REJECT = 2, /* to the dead letters, with the outcome's reason */
    SHMQ_LATER = 3,  /* give it back for the outcome's delay_ns; it counts as a delivery */
};

/* What a handler may say besides its verdict.  All 0 before it is called. */
struct shmq_outcome {
    int64_t delay_ns; /* SHMQ_LATER */
    uint32_t reason;  /* SHMQ_REJECT: enum shmq_reason or the application's */
    char text[128];   /* what went wrong: for the dead letter, if it becomes one now */
};

/*
 * Called by one of the worker's threads for each message.  A return value that is
 * no enum shmq_verdict is a failure, as SHMQ_RETRY.
 */
typedef int (*shmq_handler)(shmq_t *q, const struct shmq_msg *msg, struct shmq_outcome *outcome,
                            void *arg);

/*
 * Called when a message was not dealt with: `verdict` is what the handler
 * returned, or -ETIMEDOUT when it took longer than time_limit_ns.  What it
 * returns holds instead.
 */
typedef int (*shmq_error_handler)(shmq_t *q, const struct shmq_msg *msg, int verdict,
                                  struct shmq_outcome *outcome, void *arg);

struct shmq_worker_attr {
    size_t size;                 /* sizeof(struct shmq_worker_attr) */
    unsigned threads;            /* 0: 1 */
    int64_t time_limit_ns;       /* for one message: its lease lasts so long and no longer; what
                                    the handler says afterwards does not count.  0: no limit, the
                                    lease is renewed while the handler runs */
    shmq_error_handler on_error; /* NULL: none */
    void *arg;                   /* for both */
};

typedef struct shmq_worker shmq_worker_t;

/*
 * Start threads that receive from `g` and call `handler`.  `g` must stay open
 * until shmq_worker_stop().  The threads block signals, and cannot be cancelled; a
 * handler must return, and not stop its own worker.  When the queue is removed or
 * damaged they look again every second.  A forked child has none of them:
 * shmq_worker_stop() just frees its copy.  -EINVAL, -ENOMEM, -EAGAIN (no more threads);
 * -EBUSY another handle is the sole consumer.
 */
SHMQ_API int shmq_worker_start(shmq_t *g, shmq_handler handler, const struct shmq_worker_attr *attr,
                               shmq_worker_t **worker);

/*
 * Receive nothing more, wait up to `timeout_ns` for the handlers that run, and
 * free the worker.  -ETIMEDOUT: they still run, and the worker is not freed; call
 * again.  With SHMQ_NOWAIT what is in hand is returned to the queue when its
 * handler ends.  Idle threads take 0.1 s to end, which does not count.  Signal handlers
 * do not interrupt it.
 */
SHMQ_API int shmq_worker_stop(shmq_worker_t *worker, int64_t timeout_ns);

/* --- state ------------------------------------------------------------- */

/* How many messages wait, as `waiting` in struct shmq_group_stats; of a topic's handle
 * that reads as no group, in the group that has the most.  Takes no lock, never blocks. */
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
