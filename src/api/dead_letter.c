/*
 * dead_letter.c - making a message a dead letter (dead_letter.h).
 *
 * Two queues cannot change in one step.  So the owner of a message first marks it DYING, then
 * sends a copy to the dead-letter queue, then finishes it.  If the owner dies in between, its
 * lease ends as any other does, which makes the message DOOMED again, with SQ_REASON_AGAIN.
 * Whoever picks it then looks for the copy before sending one.  (If the copy was consumed by
 * then, a second one is sent.)  What cannot be sent is parked.
 */
#include "api/dead_letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "group/group_lease.h"
#include "handle/hooks.h"
#include "persist/journal_sync.h"
#include "segment/segment_reopen.h"

enum {
    OWN_HEADERS = 10,
    HEADERS_MAX = 1024,
    TEXT_MAX = 65535, /* as a header's value; of a longer one the end is kept */
    NUMBER_BYTES = 24,
    ENTER_TRIES = 5, /* of a second each */
};

/* A dead letter in the making. */
struct dead_letter {
    struct sq_view view;  /* into `bytes` */
    unsigned char *bytes; /* a copy of key, headers and payload */
    uint32_t reason, attempts;
    bool look_first;                   /* it may have been sent already */
    int64_t ttl_ns;                    /* its own; 0: for ever */
    char queue[SHMQ_NAME_LONGEST + 1]; /* where it goes */
    struct shmq_header headers[HEADERS_MAX];
    unsigned count;
    char numbers[OWN_HEADERS][NUMBER_BYTES];
    char command[16];
    char group[SHMQ_GROUP_LONGEST + 1];
};

static const char *const reason_texts[] = {
    [SHMQ_REASON_UNKNOWN] = "rejected",
    [SHMQ_REASON_VALIDATION] = "not valid",
    [SHMQ_REASON_PROCESSING] = "could not be processed",
    [SHMQ_REASON_TIMEOUT] = "took too long",
    [SHMQ_REASON_DEPENDENCY] = "something it needs was not there",
    [SHMQ_REASON_ATTEMPTS] = "out of attempts",
    [SHMQ_REASON_EXPIRED] = "its time to live was over",
};

static const char *own_name(const struct shmq *q)
{
    return q->forkable.path.text + sizeof("/dev/shm/shmq.") - 1;
}

static void add(struct dead_letter *l, const char *name, const char *value)
{
    l->headers[l->count++] = (struct shmq_header){name, value};
}

static void add_number(struct dead_letter *l, const char *name, int64_t number)
{
    char *text = l->numbers[l->count % OWN_HEADERS];

    snprintf(text, NUMBER_BYTES, "%" PRId64, number);
    add(l, name, text);
}

/* Our own headers first; then the message's, but for those of an earlier death. */
static void compose(struct dead_letter *l, const struct shmq *q, uint32_t last_owner,
                    const char *text)
{
    const struct sq_slot_shm *slot = NULL;
    uint32_t i = (last_owner & ((1u << SQ_OWNER_SLOT_BITS) - 1)) - 1;
    int64_t now_ns = sq_clock_read(CLOCK_REALTIME);
    const char *name, *value;
    size_t off = 0;

    if (i < q->segment.slot_count && sq_lock_word(i, q->segment.slots[i].generation) == last_owner)
        slot = &q->segment.slots[i];
    if (text == NULL)
        text = l->reason <= SHMQ_REASON_EXPIRED ? reason_texts[l->reason] : "rejected";
    if (strlen(text) > TEXT_MAX)
        text += strlen(text) - TEXT_MAX;
    if (slot != NULL)
        memcpy(l->command, slot->command, sizeof(l->command) - 1);
    add_number(l, "shmq-reason", l->reason);
    add_number(l, "shmq-attempts", l->attempts);
    add_number(l, "shmq-first-put", now_ns - sq_elapsed_ns(sq_clock_ns(), l->view.put_ns));
    add_number(l, "shmq-dead-at", now_ns);
    add_number(l, "shmq-id", (int64_t)l->view.id);
    add_number(l, "shmq-pid", slot != NULL ? slot->pid : 0);
    add(l, "shmq-error", text);
    add(l, "shmq-queue", own_name(q));
    add(l, "shmq-group", l->group);
    add(l, "shmq-command", l->command);
    while (l->count < HEADERS_MAX &&
           sq_headers_next(l->view.headers, l->view.header_bytes, &off, &name, &value) == 1)
        if (strncmp(name, "shmq-", 5) != 0 || strcmp(name, "shmq-reply-to") == 0)
            add(l, name, value);
}

/* An inherited handle is closed like any other: the child has a descriptor of its own. */
static void close_dead_letter_queue(struct shmq *q, void *to, bool inherited)
{
    (void)q;
    (void)inherited;
    shmq_close(to);
}

/* The handle on the dead-letter queue; it is made if it is not there.  The caller holds
 * claim_lock. */
static shmq_t *open_dead_letter_queue(struct shmq *q, const char *name)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    shmq_t *old = sq_hook_state(q, SQ_HOOK_DEAD_LETTER), *to;

    if (strcmp(name, own_name(q)) == 0)
        return NULL;
    /* An unlinked queue still takes messages, which nobody would get. */
    if (old != NULL && strcmp(own_name(old), name) == 0 && !sq_segment_is_unlinked(&old->segment))
        return old;
    sq_hook_drop(q, SQ_HOOK_DEAD_LETTER);
    attr.capacity_bytes = q->segment.attr.capacity_bytes;
    attr.mode = q->segment.attr.mode;
    if (shmq_open(&to, name, SHMQ_CREATE, &attr) < 0)
        return NULL;
    sq_hook_hang(q, SQ_HOOK_DEAD_LETTER, to, close_dead_letter_queue);
    return to;
}

/* Whether the dead-letter queue has this message already. */
static bool is_there(shmq_t *to, const struct dead_letter *l)
{
    const unsigned states = SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD;
    struct shmq_msg msg = SHMQ_MSG_INIT;
    size_t size = 1 << 16;
    char *buffer = malloc(size);
    uint64_t walk = 0;
    bool there = false;
    ssize_t rc = 0;

    while (!there && buffer != NULL &&
           ((rc = shmq_inspect(to, states, &walk, &msg, buffer, size)) >= 0 || rc == -EMSGSIZE)) {
        if (rc == -EMSGSIZE) {
            free(buffer);
            size *= 4;
            buffer = malloc(size);
            continue;
        }
        const char *id = shmq_header_value(&msg, "shmq-id");
        const char *queue = shmq_header_value(&msg, "shmq-queue");
        const char *group = shmq_header_value(&msg, "shmq-group");
        there = id != NULL && queue != NULL && group != NULL &&
                strtoull(id, NULL, 10) == l->view.id && strcmp(group, l->group) == 0 &&
                strcmp(queue, l->headers[7].value) == 0;
    }
    free(buffer);
    return there;
}

static bool send_dead_letter(struct shmq *q, const struct dead_letter *l)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct sq_unpacked *plain = NULL;
    int rc = -ESTALE;

    if ((l->view.flags & SQ_EXTENSION_COMPRESSED) != 0 && sq_unpack(&l->view, &plain) < 0)
        return false;
    msg.data = plain != NULL ? plain->bytes : l->view.payload;
    msg.length = l->view.plain_bytes;
    msg.type = l->view.type;
    msg.priority = l->view.priority;
    msg.key = l->view.key;
    msg.key_length = l->view.key_bytes;
    msg.correlation = l->view.correlation;
    msg.ttl_ns = l->ttl_ns;
    msg.headers = l->headers;
    msg.header_count = l->count;
    sq_mutex_lock(&q->claim_lock, SQ_RANK_LETTER);
    for (int tries = 0; rc == -ESTALE && tries < 2; tries++) { /* removed meanwhile: another */
        shmq_t *to = open_dead_letter_queue(q, l->queue);
        if (to == NULL)
            break;
        rc = l->look_first && is_there(to, l) ? 0 : shmq_send(to, &msg, SHMQ_NOWAIT);
    }
    sq_mutex_unlock(&q->claim_lock);
    free(plain);
    return rc == 0;
}

/* One who is interrupted, or kept waiting, must come back: until it does the message is
 * nobody else's. */
static int enter(struct shmq *q)
{
    int rc, tries = 0;

    do {
        struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
        rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);
    } while (rc == -EINTR || (rc == -ETIMEDOUT && ++tries < ENTER_TRIES));
    if (rc == 0 && sq_consumer_is_stale(q)) {
        sq_leave(q, SQ_ROLE_CONSUMER);
        rc = sq_fail(-ESTALE, "the group was removed");
    }
    return rc;
}

/* C: copy what the dead letter is made of, whose record may be overwritten once the group is
 * removed or emptied.  0, or it cannot be sent. */
static int copy_message(const struct sq_ring *ring, const struct sq_lease *lease,
                        struct dead_letter *l)
{
    const struct sq_entry_shm *entry = &ring->entries[lease->entry];
    struct sq_view *view = &l->view;
    int rc = sq_record_view(ring, entry->pos, lease->id, view);

    sq_assert_held(&ring->group->lock);
    if (rc < 0)
        return rc;
    size_t key = view->key_bytes, headers = view->header_bytes;
    l->bytes = malloc(key + headers + view->payload_bytes + 1);
    if (l->bytes == NULL)
        return -ENOMEM;
    memcpy(l->bytes, view->key, key);
    memcpy(l->bytes + key, view->headers, headers);
    memcpy(l->bytes + key + headers, view->payload, view->payload_bytes);
    view->key = l->bytes;
    view->headers = l->bytes + key;
    view->payload = l->bytes + key + headers;
    l->reason = entry->reason & ~SQ_REASON_AGAIN;
    l->look_first = (entry->reason & SQ_REASON_AGAIN) != 0;
    l->attempts = sq_word_attempts(lease->word);
    const struct sq_policy_shm *policy = sq_policy_of(ring->group);
    memcpy(l->queue, policy->dead_letter, SHMQ_NAME_LONGEST);
    l->ttl_ns = policy->dead_letter_ttl_ns > 0 ? policy->dead_letter_ttl_ns : 0;
    memcpy(l->group, ring->group->delivery.name, SHMQ_GROUP_LONGEST);
    return 0;
}

static int make_one(struct shmq *q, struct dead_letter *l, const struct sq_lease *lease,
                    uint32_t last_owner, const char *text)
{
    const struct sq_ring *ring = &q->segment.ring;
    bool sent = false;
    int rc = enter(q);

    if (rc < 0)
        return rc;
    rc = sq_group_check_lease(ring, lease);
    bool copied = rc == 0 && l != NULL && copy_message(ring, lease, l) == 0;
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (rc < 0)
        return rc;
    if (copied) {
        compose(l, q, last_owner, text);
        sent = send_dead_letter(q, l);
    }
    rc = enter(q);
    if (rc < 0)
        return rc;
    struct sq_promise promise = {0};
    rc = sq_journal_note_changes(q, sq_group_dead_letter_made(ring, lease, sent, sq_clock_ns()),
                                 &promise);
    sq_leave(q, SQ_ROLE_CONSUMER);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

int sq_dead_letter_make(struct shmq *q, struct sq_lease *lease, uint32_t last_owner,
                        const char *text)
{
    int cancel = sq_cancel_hold();
    struct dead_letter *l = calloc(1, sizeof(*l));
    int rc = make_one(q, l, lease, last_owner, text);

    if (l != NULL)
        free(l->bytes);
    free(l);
    sq_cancel_release(cancel);
    return rc;
}

void sq_dead_letter_make_picked(struct shmq *q, const struct sq_pick *pick)
{
    struct sq_lease lease = pick->doomed;

    sq_dead_letter_make(q, &lease, pick->last_owner, NULL);
}
