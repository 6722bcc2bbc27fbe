/*
 * segment.c - making, checking and mapping the named object (segment.h; its format: layout.h).
 *
 * The object is never half visible.  The creator makes it without a name (O_TMPFILE), gives it
 * all its memory (so that a full file system is -ENOSPC here, and not a SIGBUS later),
 * initialises it, and only then links it to its name.  A creator that dies on the way leaves
 * nothing.  If the name is taken, another process was faster, and has made a whole queue.
 */
#include "segment/segment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "group/group_bulk.h"
#include "group/key_index.h"
#include "group/policy.h"
#include "group/table.h"
#include "segment/segment_reopen.h"

/* --- mapping ----------------------------------------------------------- */

static uint64_t check_of(const struct sq_header_shm *header)
{
    /* FNV-1a: finds any one changed byte for certain. */
    const unsigned char *bytes = (const unsigned char *)header;
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < offsetof(struct sq_header_shm, check); i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

/* Map the object, and its ring a second time right behind. */
static int map(struct sq_segment *s, uint64_t total, uint64_t ring_off, uint64_t capacity)
{
    int protection = s->readable_only ? PROT_READ : PROT_READ | PROT_WRITE;
    size_t bytes = (size_t)(total + capacity);
    unsigned char *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct stat st;

    if (base == MAP_FAILED)
        return sq_fail(-errno, "no %zu bytes of address space", bytes);
    if (fstat(s->fd, &st) != 0 ||
        mmap(base, (size_t)total, protection, MAP_SHARED | MAP_FIXED, s->fd, 0) == MAP_FAILED ||
        mmap(base + total, (size_t)capacity, protection, MAP_SHARED | MAP_FIXED, s->fd,
             (off_t)ring_off) == MAP_FAILED) {
        int error = errno;
        munmap(base, bytes);
        return sq_fail(-error, "cannot map the segment");
    }
    s->base = base;
    s->mapped_bytes = bytes;
    s->inode = st.st_ino;
    s->device = st.st_dev;
    s->owner = st.st_uid;
    return 0;
}

/* The groups of a queue that is no topic. */
static const _Atomic uint64_t only_group = 1;

/* Point at the parts, after `h`, which has been checked (or was just made). */
static void point(struct sq_segment *s, const struct sq_header_shm *h)
{
    s->header = (struct sq_header_shm *)(void *)s->base;
    s->control = (struct sq_control_shm *)(void *)(s->base + h->control_off);
    s->slots = (struct sq_slot_shm *)(void *)(s->base + h->slots_off);
    s->file = (struct sq_file_shm *)(void *)(s->base + h->file_off);
    s->slot_count = h->slot_count;
    s->ring = (struct sq_ring){
        .home = &s->ring,
        .producer = (struct sq_producer_shm *)(void *)(s->base + h->producer_off),
        .bytes = s->base + h->ring_off,
        .capacity_bytes = h->capacity_bytes,
        .max_messages = h->max_messages,
        .max_message_bytes = h->max_message_bytes,
        .order = h->order,
        .kind = h->kind,
        .entry_count = h->entry_count,
        .key_count = h->key_count,
        .keys = (struct sq_key_shm *)(void *)(s->base + h->keys_off),
        .pin = &s->file->pin_pos,
        .group_bits = (h->kind & SHMQ_TOPIC) != 0 ? &s->control->groups : &only_group,
        .groups = (struct sq_group_shm *)(void *)(s->base + h->groups_off),
        .tables = s->base + h->pending_off,
        .table_bytes = h->pending_bytes,
        .group_count = h->group_count,
    };
    sq_ring_read_as(&s->ring, 0);
    s->attr = (struct shmq_attr){
        .size = sizeof(s->attr),
        .capacity_bytes = h->capacity_bytes,
        .max_messages = h->max_messages,
        .max_message_bytes = h->max_message_bytes,
        .full = h->full,
        .mode = h->mode,
        .order = h->order,
        .max_groups = h->group_count,
        .pending_count = h->entry_count,
        .compress_bytes = h->compress_bytes,
        .kind = h->kind,
        .policy = sq_policy_out(&h->policy),
    };
    s->created_ns = h->created_ns;
}

/* How the queue is kept in a file: what the creator wrote, and we do not believe later. */
static void read_file_part(struct sq_segment *s)
{
    const struct sq_file_shm *f = s->file;

    memcpy(s->file_path.text, f->path, sizeof(f->path) - 1);
    s->file_path.text[sizeof(f->path) - 1] = '\0';
    if (s->file_path.text[0] != '/')
        s->file_path.text[0] = '\0';
    s->attr.save_ns = f->save_ns > 0 ? f->save_ns : 0;
    s->attr.save_changes = f->save_changes;
    s->attr.save_at_end = f->save_at_end != 0;
    /* There is memory to note changes in, or it is none. */
    if (s->ring.dirty != NULL && f->journal_mode <= SHMQ_JOURNAL_ALWAYS)
        s->attr.journal = f->journal_mode;
    if (s->attr.journal != SHMQ_JOURNAL_NONE)
        s->ring.kind |= SQ_KIND_WRITES;
}

/* --- creating ---------------------------------------------------------- */

static void lay_out(struct sq_header_shm *h, const struct shmq_attr *attr)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    *h = (struct sq_header_shm){
        .magic = SQ_MAGIC,
        .format = SQ_FORMAT,
        .header_bytes = sizeof(*h),
        .lock_stamp = SQ_LOCK_STAMP,
        .cond_stamp = sq_cond_stamp(),
        .full = attr->full,
        .mode = attr->mode,
        .slot_count = SQ_SLOT_COUNT,
        .slot_bytes = sizeof(struct sq_slot_shm),
        .group_count = attr->max_groups,
        .group_bytes = sizeof(struct sq_group_shm),
        .order = attr->order,
        .kind = attr->kind,
        .entry_count = attr->pending_count,
        .compress_bytes = attr->compress_bytes,
        .pending_bytes = sq_table_bytes(attr->pending_count) +
                         (attr->journal != 0 ? sq_table_dirty_bytes(attr->pending_count) : 0),
        .policy = sq_policy_in(&attr->policy),
        .control_off = SQ_CONTROL_OFF,
        .producer_off = SQ_PRODUCER_OFF,
        .capacity_bytes = attr->capacity_bytes,
        .max_messages = attr->max_messages,
        .max_message_bytes = attr->max_message_bytes,
        .created_ns = sq_clock_read(CLOCK_REALTIME),
    };
    h->slots_off = sq_align_up(h->producer_off + sizeof(struct sq_producer_shm), SQ_SEPARATE);
    h->groups_off = sq_align_up(h->slots_off + h->slot_count * h->slot_bytes, SQ_SEPARATE);
    h->pending_off = sq_align_up(h->groups_off + h->group_count * h->group_bytes, SQ_SEPARATE);
    h->keys_off = h->pending_off + h->group_count * h->pending_bytes;
    if ((attr->kind & SHMQ_UNIQUE) != 0)
        h->key_count =
            sq_key_index_count(h->capacity_bytes / (SQ_RECORD_HEADER_BYTES + SQ_EXTENSION_BYTES));
    h->file_off = sq_align_up(h->keys_off + h->key_count * sizeof(struct sq_key_shm), SQ_SEPARATE);
    h->ring_off = sq_align_up(h->file_off + sizeof(struct sq_file_shm), page);
    h->total_bytes = h->ring_off + h->capacity_bytes;
    h->check = check_of(h);
}

/* The memory of a new object is zero; write only what is not. */
static int initialise(struct sq_segment *s, const struct sq_header_shm *h,
                      const struct shmq_attr *attr)
{
    struct sq_producer_shm *p = s->ring.producer;
    int rc = sq_cond_init(&p->room);

    if (attr->snapshot != NULL) {
        memcpy(s->file->path, attr->snapshot, strnlen(attr->snapshot, sizeof(s->file->path) - 1));
        s->file->save_ns = attr->save_ns;
        s->file->save_changes = attr->save_changes;
        s->file->save_at_end = attr->save_at_end;
        s->file->journal_mode = attr->journal;
        rc = rc < 0 ? rc : sq_cond_init(&s->file->journal.synced);
    }
    read_file_part(s);
    for (uint32_t i = 0; rc == 0 && i < h->group_count; i++) {
        struct sq_ring view = s->ring;
        sq_ring_read_as(&view, i);
        rc = sq_cond_init(&view.group->items);
        if (rc == 0)
            rc = sq_cond_init(&view.group->done);
        if (rc == 0)
            rc = sq_cond_init(&view.group->notifiers);
        sq_group_begin(&view, "", &h->policy);
    }
    sq_store(&s->file->pin_pos, SQ_NO_PIN);
    sq_store(&p->next_id, 1);
    sq_store(&p->part_id, 1);
    p->low_id = 1;
    p->sleeper_bytes = p->sleeper_count = p->passed_pos = UINT64_MAX;
    *s->header = *h;
    return rc < 0 ? sq_fail(rc, "cannot make a condition variable") : 0;
}

static int give_memory(int fd, uint64_t bytes)
{
    struct statvfs fs;
    int rc;

    do
        rc = posix_fallocate(fd, 0, (off_t)bytes);
    while (rc == EINTR);
    if (rc == 0)
        return 0;
    if (rc == ENOSPC && fstatvfs(fd, &fs) == 0)
        return sq_fail(-ENOSPC,
                       "the queue needs %" PRIu64 " bytes of " SQ_SHM_DIR ", %" PRIu64 " are free",
                       bytes, (uint64_t)fs.f_bavail * fs.f_frsize);
    return sq_fail(-rc, "cannot get %" PRIu64 " bytes of " SQ_SHM_DIR, bytes);
}

static int link_name(int fd, const struct sq_path *path)
{
    char from[64];

    snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, from, AT_FDCWD, path->text, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    return sq_fail(-errno, "cannot link %s", path->text);
}

static int check_header(const struct sq_header_shm *h, uint64_t object_bytes, bool read_only);

int sq_segment_create(struct sq_segment *s, const struct sq_path *path,
                      const struct shmq_attr *attr, const struct sq_origin *origin)
{
    struct sq_header_shm h;

    *s = (struct sq_segment){.fd = -1};
    lay_out(&h, attr);
    SQ_BUG_ON(check_header(&h, h.total_bytes, false) < 0);
    s->fd = open(SQ_SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return sq_fail(-errno, "cannot make a file in " SQ_SHM_DIR);
    int rc = give_memory(s->fd, h.total_bytes);
    if (rc == 0)
        rc = map(s, h.total_bytes, h.ring_off, h.capacity_bytes);
    if (rc == 0) {
        point(s, &h);
        sq_lock_own(s->base, s->mapped_bytes);
        rc = initialise(s, &h, attr);
        sq_lock_freed(s->base);
    }
    if (rc == 0 && origin != NULL) {
        sq_lock_own(s->base, s->mapped_bytes);
        rc = origin->fill(s, origin->arg);
        sq_lock_freed(s->base);
    }
    /* fchmod, since open() would apply the umask. */
    if (rc == 0 && fchmod(s->fd, (mode_t)attr->mode) != 0)
        rc = sq_fail(-errno, "cannot set the mode");
    if (rc == 0)
        rc = link_name(s->fd, path);
    if (rc < 0)
        sq_segment_close(s);
    return rc;
}

/* --- attaching --------------------------------------------------------- */

static bool part_fits(uint64_t off, uint64_t count, uint64_t bytes, uint64_t align, uint64_t end)
{
    return off % align == 0 && off <= end && bytes != 0 && count <= (end - off) / bytes;
}

/* Check a header against this library and the object's size. */
static int check_header(const struct sq_header_shm *h, uint64_t object_bytes, bool read_only)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), ring = h->ring_off;

    if (memcmp(h->magic, SQ_MAGIC, sizeof(h->magic)) != 0)
        return sq_fail(-EPROTO, "not a shmq queue: wrong magic");
    if (h->format != SQ_FORMAT)
        return sq_fail(-EPROTO, "format %u; this library knows format %d", h->format, SQ_FORMAT);
    if (h->check != check_of(h))
        return sq_fail(-EBADMSG, "the header's check sum is wrong");
    if ((h->incompatible & ~(uint32_t)SQ_INCOMPATIBLE_KNOWN) != 0 ||
        (!read_only && (h->read_compatible & ~(uint32_t)SQ_READ_COMPATIBLE_KNOWN) != 0))
        return sq_fail(-EPROTO, "the queue uses features this library does not know (%#x, %#x)",
                       h->incompatible, h->read_compatible);
    if (h->lock_stamp != SQ_LOCK_STAMP || h->cond_stamp != sq_cond_stamp())
        return sq_fail(-EPROTO,
                       "the queue was made by a library with another lock or SYNC "
                       "(lock %#x, ours %#x; cond %u, ours %u)",
                       h->lock_stamp, SQ_LOCK_STAMP, h->cond_stamp, sq_cond_stamp());
    if (h->header_bytes != sizeof(*h) || h->slot_bytes != sizeof(struct sq_slot_shm) ||
        h->group_bytes != sizeof(struct sq_group_shm) || h->slot_count == 0 ||
        h->group_count == 0 || h->total_bytes != object_bytes || h->capacity_bytes < page ||
        (h->capacity_bytes & (h->capacity_bytes - 1)) != 0 || h->capacity_bytes > SQ_CAPACITY_MAX ||
        ring % page != 0 || ring > object_bytes || h->capacity_bytes != object_bytes - ring ||
        h->max_message_bytes > h->capacity_bytes - SQ_RECORD_HEADER_BYTES ||
        h->full > SHMQ_FULL_DROP || h->order > SHMQ_PRIORITY || h->group_count > SQ_GROUPS_MAX ||
        h->entry_count == 0 || h->entry_count > SQ_PENDING_MAX ||
        (h->pending_bytes != sq_table_bytes(h->entry_count) &&
         h->pending_bytes !=
             sq_table_bytes(h->entry_count) + sq_table_dirty_bytes(h->entry_count)) ||
        (h->key_count & (h->key_count - 1)) != 0 ||
        (h->key_count != 0) != ((h->kind & SHMQ_UNIQUE) != 0) ||
        !part_fits(h->control_off, 1, sizeof(struct sq_control_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->producer_off, 1, sizeof(struct sq_producer_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->slots_off, h->slot_count, h->slot_bytes, SQ_LINE, ring) ||
        !part_fits(h->groups_off, h->group_count, h->group_bytes, SQ_SEPARATE, ring) ||
        !part_fits(h->pending_off, h->group_count, h->pending_bytes, SQ_SEPARATE, ring) ||
        !part_fits(h->keys_off, h->key_count, sizeof(struct sq_key_shm), SQ_LINE, ring) ||
        !part_fits(h->file_off, 1, sizeof(struct sq_file_shm), SQ_SEPARATE, ring))
        return sq_fail(-EPROTO, "the parts of the queue do not fit its %" PRIu64 " bytes",
                       object_bytes);
    return 0;
}

/* Only a regular file; and when the caller might think that it creates the
 * queue, only one that nobody else can have planted in the shared directory. */
static int check_object(const struct stat *st, int flags)
{
    if (!S_ISREG(st->st_mode))
        return sq_fail(-EPROTO, "not a regular file");
    if ((flags & SHMQ_CREATE) && st->st_uid != geteuid() && st->st_uid != 0)
        return sq_fail(-EACCES,
                       "exists already and belongs to user %u; open it without "
                       "SHMQ_CREATE to use it",
                       (unsigned)st->st_uid);
    if (st->st_size < (off_t)sizeof(struct sq_header_shm))
        return sq_fail(-EPROTO, "only %lld bytes long", (long long)st->st_size);
    return 0;
}

/* Map what the descriptor is of, which it must be; or close it. */
static int attach_fd(struct sq_segment *s, int flags)
{
    struct sq_header_shm h;
    struct stat st;
    int rc = fstat(s->fd, &st) == 0 ? check_object(&st, flags) : -errno;

    if (rc == 0) {
        /* Read, not mapped: the checks and what is made of them see one copy. */
        ssize_t n = pread(s->fd, &h, sizeof(h), 0);
        rc = n == (ssize_t)sizeof(h) ? check_header(&h, (uint64_t)st.st_size, s->readable_only)
                                     : sq_fail(-EPROTO, "cannot read the header");
    }
    if (rc == 0)
        rc = map(s, h.total_bytes, h.ring_off, h.capacity_bytes);
    if (rc < 0) {
        sq_segment_close(s);
        return rc;
    }
    point(s, &h);
    read_file_part(s);
    return 0;
}

int sq_segment_attach(struct sq_segment *s, const struct sq_path *path, int flags)
{
    *s = (struct sq_segment){.fd = -1, .readable_only = (flags & SHMQ_RDONLY) != 0};
    /* O_NOFOLLOW: a symlink in a world-writable directory is somebody's trap.
     * O_NONBLOCK: neither wait for the other end of a planted FIFO. */
    int access = (s->readable_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

    s->fd = open(path->text, access);
    if (s->fd < 0 && errno == ELOOP)
        return sq_fail(-EPROTO, "%s is a symbolic link", path->text);
    if (s->fd < 0 && (errno == EISDIR || errno == ENXIO))
        return sq_fail(-EPROTO, "%s is not a regular file", path->text);
    if (s->fd < 0)
        return sq_fail(-errno, "cannot open %s", path->text);
    return attach_fd(s, flags);
}

int sq_segment_open_again(struct sq_segment *s, const struct sq_segment *other,
                          const struct sq_path *path)
{
    *s = (struct sq_segment){.fd = sq_segment_reopen(other, path)};
    if (s->fd < 0)
        return sq_fail(s->fd, "cannot open %s again", path->text);
    return attach_fd(s, 0);
}

int sq_segment_open(struct sq_segment *s, const struct sq_path *path, int flags,
                    const struct shmq_attr *attr)
{
    int rc = -ENOENT;

    *s = (struct sq_segment){.fd = -1};
    if ((flags & SHMQ_EXCL) && faccessat(AT_FDCWD, path->text, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return sq_fail(-EEXIST, "%s exists", path->text);
    /* First without creating: most opens find the queue.  Then in turn, since
     * it may be removed between a failed link and the next look. */
    for (int tries = 0; tries < 100; tries++) {
        if (!(flags & SHMQ_EXCL)) {
            rc = sq_segment_attach(s, path, flags);
            if (rc != -ENOENT || !(flags & SHMQ_CREATE))
                return rc;
        }
        rc = sq_segment_create(s, path, attr, NULL);
        if (rc != -EEXIST || (flags & SHMQ_EXCL))
            return rc;
    }
    return rc;
}

void sq_segment_close(struct sq_segment *s)
{
    if (s->base != NULL)
        munmap(s->base, s->mapped_bytes);
    if (s->fd >= 0)
        close(s->fd);
    s->base = NULL;
    s->fd = -1;
}
