/*
 * segment.c - see segment.h.  The format is in layout.h.
 *
 * The object is never half visible: it is built without a name (O_TMPFILE),
 * given all its memory (so that a full file system is -ENOSPC here and not a
 * SIGBUS later), initialised, and only then linked to its name.  Who dies on
 * the way leaves nothing.  Linking fails if somebody else was faster, who then
 * has made a whole queue.
 */
#include "segment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"

#define SHM_DIR "/dev/shm"

enum {
    CAPACITY_DEFAULT = 1 << 20,
    MODE_DEFAULT = 0600,
};
#define CAPACITY_MOST ((uint64_t)1 << 40)

/* --- names and attributes ---------------------------------------------- */

int sq_segment_path(const char *name, struct sq_path *path)
{
    if (name == NULL)
        return sq_fail(-EINVAL, "the queue's name is NULL");
    if (name[0] == '/')
        name++;
    size_t length = strlen(name);
    if (length == 0 || length > SQ_NAME_LONGEST)
        return sq_fail(-EINVAL, "a queue's name has 1 to %d characters, this one %zu",
                       SQ_NAME_LONGEST, length);
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '.' || *c == '_' || *c == '-'))
            return sq_fail(-EINVAL, "a queue's name may not contain the byte 0x%02x",
                           (unsigned char)*c);
    snprintf(path->text, sizeof(path->text), SHM_DIR "/shmq.%s", name);
    return 0;
}

static uint64_t round_capacity(uint64_t bytes)
{
    uint64_t capacity = (uint64_t)sysconf(_SC_PAGESIZE);

    while (capacity < bytes)
        capacity *= 2;
    return capacity;
}

int sq_segment_attr(const struct shmq_attr *given, struct shmq_attr *attr)
{
    *attr = (struct shmq_attr)SHMQ_ATTR_INIT;
    if (given != NULL) {
        const unsigned char *tail = (const unsigned char *)given;
        if (given->size < sizeof(given->size))
            return sq_fail(-EINVAL, "attr.size is %zu; use SHMQ_ATTR_INIT", given->size);
        for (size_t i = sizeof(*attr); i < given->size; i++)
            if (tail[i] != 0)
                return sq_fail(-EINVAL, "attr byte %zu is set; this library knows %zu bytes", i,
                               sizeof(*attr));
        memcpy(attr, given, given->size < sizeof(*attr) ? given->size : sizeof(*attr));
    }
    attr->size = sizeof(*attr);
    if (attr->capacity_bytes == 0)
        attr->capacity_bytes = CAPACITY_DEFAULT;
    if (attr->capacity_bytes > CAPACITY_MOST)
        return sq_fail(-EINVAL, "capacity_bytes %" PRIu64 " is more than the limit of %" PRIu64,
                       attr->capacity_bytes, CAPACITY_MOST);
    attr->capacity_bytes = round_capacity(attr->capacity_bytes);
    uint64_t longest = attr->capacity_bytes - SQ_RECORD_HEADER_BYTES;
    if (longest > UINT32_MAX)
        longest = UINT32_MAX;
    if (attr->max_message_bytes == 0)
        attr->max_message_bytes = longest;
    if (attr->max_message_bytes > longest)
        return sq_fail(-EINVAL,
                       "max_message_bytes %" PRIu64 " does not fit capacity_bytes %" PRIu64
                       ", which holds at most %" PRIu64,
                       attr->max_message_bytes, attr->capacity_bytes, longest);
    uint64_t most = attr->capacity_bytes / SQ_RECORD_HEADER_BYTES;
    if (attr->max_messages > most)
        return sq_fail(-EINVAL,
                       "max_messages %" PRIu64 " does not fit capacity_bytes %" PRIu64
                       ", which holds at most %" PRIu64 " (empty) messages",
                       attr->max_messages, attr->capacity_bytes, most);
    if (attr->full > SHMQ_FULL_DROP)
        return sq_fail(-EINVAL, "full policy %u is none of enum shmq_full", attr->full);
    if (attr->mode == 0)
        attr->mode = MODE_DEFAULT;
    if ((attr->mode & ~0777u) != 0 || (attr->mode & 0600) != 0600)
        return sq_fail(-EINVAL,
                       "mode %#o must be permission bits with read and write for the owner",
                       attr->mode);
    return 0;
}

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
    return 0;
}

/* Point at the parts, after `h`, which has been checked (or was just made). */
static void point(struct sq_segment *s, const struct sq_header_shm *h)
{
    s->header = (struct sq_header_shm *)(void *)s->base;
    s->control = (struct sq_control_shm *)(void *)(s->base + h->control_off);
    s->slots = (struct sq_slot_shm *)(void *)(s->base + h->slots_off);
    s->slot_count = h->slot_count;
    s->ring.home = &s->ring;
    s->ring.producer = (struct sq_producer_shm *)(void *)(s->base + h->producer_off);
    s->ring.group = (struct sq_group_shm *)(void *)(s->base + h->groups_off);
    s->ring.bytes = s->base + h->ring_off;
    s->ring.capacity_bytes = h->capacity_bytes;
    s->ring.max_messages = h->max_messages;
    s->ring.max_message_bytes = h->max_message_bytes;
    s->attr = (struct shmq_attr)SHMQ_ATTR_INIT;
    s->attr.capacity_bytes = h->capacity_bytes;
    s->attr.max_messages = h->max_messages;
    s->attr.max_message_bytes = h->max_message_bytes;
    s->attr.full = h->full;
    s->attr.mode = h->mode;
    s->created_ns = h->created_ns;
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
        .group_count = 1,
        .group_bytes = sizeof(struct sq_group_shm),
        .control_off = SQ_CONTROL_OFF,
        .producer_off = SQ_PRODUCER_OFF,
        .capacity_bytes = attr->capacity_bytes,
        .max_messages = attr->max_messages,
        .max_message_bytes = attr->max_message_bytes,
        .created_ns = sq_clock_read(CLOCK_REALTIME),
    };
    h->slots_off = sq_align_up(h->producer_off + sizeof(struct sq_producer_shm), SQ_SEPARATE);
    h->groups_off = sq_align_up(h->slots_off + h->slot_count * h->slot_bytes, SQ_SEPARATE);
    h->ring_off = sq_align_up(h->groups_off + h->group_count * h->group_bytes, page);
    h->total_bytes = h->ring_off + h->capacity_bytes;
    h->check = check_of(h);
}

/* The memory of a new object is zero; write only what is not. */
static int initialise(struct sq_segment *s, const struct sq_header_shm *h)
{
    struct sq_producer_shm *p = s->ring.producer;
    struct sq_group_shm *g = s->ring.group;
    int rc = sq_cond_init(&p->room);

    if (rc == 0)
        rc = sq_cond_init(&g->items);
    sq_store(&p->next_id, 1);
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
                       "the queue needs %" PRIu64 " bytes of " SHM_DIR ", %" PRIu64 " are free",
                       bytes, (uint64_t)fs.f_bavail * fs.f_frsize);
    return sq_fail(-rc, "cannot get %" PRIu64 " bytes of " SHM_DIR, bytes);
}

static int link_name(int fd, const struct sq_path *path)
{
    char from[64];

    snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, from, AT_FDCWD, path->text, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    return sq_fail(-errno, "cannot link %s", path->text);
}

static int create(struct sq_segment *s, const struct sq_path *path, const struct shmq_attr *attr)
{
    struct sq_header_shm h;

    lay_out(&h, attr);
    s->fd = open(SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return sq_fail(-errno, "cannot make a file in " SHM_DIR);
    int rc = give_memory(s->fd, h.total_bytes);
    if (rc == 0)
        rc = map(s, h.total_bytes, h.ring_off, h.capacity_bytes);
    if (rc == 0) {
        point(s, &h);
        rc = initialise(s, &h);
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
        (h->capacity_bytes & (h->capacity_bytes - 1)) != 0 || h->capacity_bytes > CAPACITY_MOST ||
        ring % page != 0 || ring > object_bytes || h->capacity_bytes != object_bytes - ring ||
        h->max_message_bytes > h->capacity_bytes - SQ_RECORD_HEADER_BYTES ||
        h->full > SHMQ_FULL_DROP ||
        !part_fits(h->control_off, 1, sizeof(struct sq_control_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->producer_off, 1, sizeof(struct sq_producer_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->slots_off, h->slot_count, h->slot_bytes, SQ_LINE, ring) ||
        !part_fits(h->groups_off, h->group_count, h->group_bytes, SQ_SEPARATE, ring))
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

static int attach(struct sq_segment *s, const struct sq_path *path, int flags)
{
    struct sq_header_shm h;
    struct stat st;
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
    return 0;
}

int sq_segment_open(struct sq_segment *s, const struct sq_path *path, int flags,
                    const struct shmq_attr *attr)
{
    int rc = -ENOENT;

    *s = (struct sq_segment){.fd = -1, .readable_only = (flags & SHMQ_RDONLY) != 0};
    if ((flags & SHMQ_EXCL) && faccessat(AT_FDCWD, path->text, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return sq_fail(-EEXIST, "%s exists", path->text);
    /* First without creating: most opens find the queue.  Then in turn, since
     * it may be removed between a failed link and the next look. */
    for (int tries = 0; tries < 100; tries++) {
        if (!(flags & SHMQ_EXCL)) {
            rc = attach(s, path, flags);
            if (rc != -ENOENT || !(flags & SHMQ_CREATE))
                return rc;
        }
        rc = create(s, path, attr);
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

bool sq_segment_has_fd(const struct sq_segment *s)
{
    struct stat st;

    return fstat(s->fd, &st) == 0 && st.st_ino == s->inode && st.st_dev == s->device;
}

bool sq_segment_is_gone(struct sq_segment *s)
{
    struct stat st;

    if (sq_segment_marked_gone(s))
        return true;
    if (fstat(s->fd, &st) != 0 || st.st_nlink != 0)
        return false;
    if (!s->readable_only)
        atomic_fetch_or(&s->control->notices, SQ_NOTICE_GONE);
    return true;
}

/* Into `text`, which has room: snprintf() is not async-signal-safe. */
static void append_number(char *text, int number)
{
    char digits[16];
    int n = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text += strlen(text);
    while (n > 0)
        *text++ = digits[--n];
    *text = '\0';
}

int sq_segment_reopen(const struct sq_segment *s, const struct sq_path *path)
{
    int access = (s->readable_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    char self[64] = "/proc/self/fd/";
    struct stat was, is;

    append_number(self, s->fd);
    int fd = open(self, access);
    if (fd >= 0)
        return fd;
    /* No /proc here: by name, if that is still the same object. */
    fd = open(path->text, access | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (fstat(s->fd, &was) == 0 && fstat(fd, &is) == 0 && was.st_ino == is.st_ino &&
        was.st_dev == is.st_dev)
        return fd;
    close(fd);
    return -ESTALE;
}
