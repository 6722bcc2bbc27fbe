/*
 * segment_attr.c - what a queue may be called and created with: defaults, limits,
 * contradictions (segment.h).
 */
#include "segment/segment_attr.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "group/policy.h"
#include "segment/segment.h"

enum {
    CAPACITY_DEFAULT = 1 << 20,
    MODE_DEFAULT = 0600,
    GROUPS_DEFAULT = 16,
    PENDING_DEFAULT = 1024,
    SYNC_DEFAULT_NS = 1000000000,
};

int sq_segment_path(const char *name, struct sq_path *path)
{
    if (name == NULL)
        return sq_fail(-EINVAL, "the queue's name is NULL");
    if (name[0] == '/')
        name++;
    size_t length = strlen(name);
    if (length == 0 || length > SQ_NAME_MAX)
        return sq_fail(-EINVAL, "a queue's name has 1 to %d characters, this one %zu", SQ_NAME_MAX,
                       length);
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '.' || *c == '_' || *c == '-'))
            return sq_fail(-EINVAL, "a queue's name may not contain the byte 0x%02x",
                           (unsigned char)*c);
    snprintf(path->text, sizeof(path->text), SQ_SHM_DIR "/shmq.%s", name);
    return 0;
}

const char *sq_segment_name(const struct sq_path *path)
{
    return path->text + sizeof(SQ_SHM_DIR "/shmq.") - 1;
}

static uint64_t round_capacity(uint64_t bytes)
{
    uint64_t capacity = (uint64_t)sysconf(_SC_PAGESIZE);

    while (capacity < bytes)
        capacity *= 2;
    return capacity;
}

static int copy_attr(const struct shmq_attr *given, struct shmq_attr *attr)
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
    if (attr->reserved != 0)
        return sq_fail(-EINVAL, "attr.reserved is set");
    return 0;
}

static int check_sizes(struct shmq_attr *attr)
{
    if (attr->capacity_bytes == 0)
        attr->capacity_bytes = CAPACITY_DEFAULT;
    if (attr->capacity_bytes > SQ_CAPACITY_MAX)
        return sq_fail(-EINVAL, "capacity_bytes %" PRIu64 " is more than the limit of %" PRIu64,
                       attr->capacity_bytes, SQ_CAPACITY_MAX);
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
    return 0;
}

/* How many messages a group may hold; with another order than FIFO that is how many may
 * wait. */
static int check_pending(struct shmq_attr *attr)
{
    uint64_t most = attr->capacity_bytes / SQ_RECORD_HEADER_BYTES;

    if (attr->pending_count == 0 && attr->order == SHMQ_FIFO)
        attr->pending_count = PENDING_DEFAULT;
    if (attr->pending_count == 0) {
        uint64_t count = attr->max_messages != 0 ? attr->max_messages : attr->capacity_bytes / 64;
        attr->pending_count = (uint32_t)(count < 64               ? 64
                                         : count > SQ_PENDING_MAX ? SQ_PENDING_MAX
                                                                  : count);
    }
    if (attr->pending_count > SQ_PENDING_MAX)
        return sq_fail(-EINVAL, "pending_count %u is more than the limit of %d",
                       attr->pending_count, SQ_PENDING_MAX);
    if (attr->order == SHMQ_FIFO)
        return 0;
    if (attr->max_messages > attr->pending_count)
        return sq_fail(-EINVAL,
                       "max_messages %" PRIu64 " is more than pending_count %u, and another order "
                       "than FIFO needs a place there for each",
                       attr->max_messages, attr->pending_count);
    if (attr->max_messages == 0)
        attr->max_messages = attr->pending_count < most ? attr->pending_count : most;
    return 0;
}

static int check_kind(int flags, struct shmq_attr *attr)
{
    bool topic = (flags & SHMQ_TOPIC) != 0;

    if (attr->kind != 0 && (attr->kind & ~(uint32_t)flags) != 0)
        return sq_fail(-EINVAL, "attr.kind is set; SHMQ_TOPIC and SHMQ_UNIQUE are flags");
    if (topic && (flags & SHMQ_UNIQUE) != 0)
        return sq_fail(-EINVAL, "SHMQ_UNIQUE contradicts SHMQ_TOPIC, where each group finishes a "
                                "message by itself");
    attr->kind = (uint32_t)flags & (SHMQ_TOPIC | SHMQ_UNIQUE);
    if (attr->order > SHMQ_PRIORITY)
        return sq_fail(-EINVAL, "order %u is none of enum shmq_order", attr->order);
    if (attr->max_groups == 0)
        attr->max_groups = topic ? GROUPS_DEFAULT : 1;
    if (attr->max_groups > SQ_GROUPS_MAX || (!topic && attr->max_groups != 1))
        return sq_fail(-EINVAL, "max_groups %u: a topic has 1 to %d, another queue 1",
                       attr->max_groups, SQ_GROUPS_MAX);
    return 0;
}

int sq_segment_policy(const struct sq_policy_shm *given, struct sq_policy_shm *policy)
{
    struct sq_path path;
    int rc = sq_policy_check(given, policy);

    if (rc == 0 && policy->dead_letter[0] != '\0')
        rc = sq_segment_path(policy->dead_letter, &path);
    return rc;
}

int sq_segment_given_policy(struct shmq_policy *policy)
{
    struct sq_policy_shm checked = sq_policy_in(policy);
    int rc = sq_segment_policy(&checked, &checked);

    *policy = sq_policy_out(&checked);
    return rc;
}

static int check_file(struct shmq_attr *attr)
{
    if (attr->snapshot == NULL &&
        (attr->save_ns != 0 || attr->save_changes != 0 || attr->save_at_end != 0))
        return sq_fail(-EINVAL, "%s says when to save, and snapshot is NULL",
                       attr->save_ns != 0        ? "save_ns"
                       : attr->save_changes != 0 ? "save_changes"
                                                 : "save_at_end");
    if (attr->save_ns < 0 || (attr->save_ns != 0 && attr->save_ns < SHMQ_MS(1)))
        return sq_fail(-EINVAL, "save_ns %lld is less than a millisecond",
                       (long long)attr->save_ns);
    if (attr->journal > SHMQ_JOURNAL_ALWAYS)
        return sq_fail(-EINVAL, "journal %u is none of enum shmq_journal", attr->journal);
    if (attr->journal != SHMQ_JOURNAL_NONE && attr->snapshot == NULL)
        return sq_fail(-EINVAL, "there is to be a journal, and snapshot is NULL");
    if (attr->journal == SHMQ_JOURNAL_INTERVAL && attr->save_ns == 0)
        attr->save_ns = SYNC_DEFAULT_NS;
    if (attr->save_at_end > 1)
        return sq_fail(-EINVAL, "save_at_end is %u, neither 0 nor 1", attr->save_at_end);
    return 0;
}

int sq_segment_attr(const struct shmq_attr *given, int flags, struct shmq_attr *attr)
{
    int rc = copy_attr(given, attr);

    if (rc == 0)
        rc = check_sizes(attr);
    if (rc < 0)
        return rc;
    if (attr->full > SHMQ_FULL_DROP)
        return sq_fail(-EINVAL, "full policy %u is none of enum shmq_full", attr->full);
    if (attr->mode == 0)
        attr->mode = MODE_DEFAULT;
    if ((attr->mode & ~0777u) != 0 || (attr->mode & 0600) != 0600)
        return sq_fail(-EINVAL,
                       "mode %#o must be permission bits with read and write for the owner",
                       attr->mode);
    rc = check_file(attr);
    if (rc == 0)
        rc = check_kind(flags, attr);
    if (rc == 0)
        rc = check_pending(attr);
    if (rc == 0)
        rc = sq_segment_given_policy(&attr->policy);
    return rc;
}
