/*
 * power_journal_check.c - whether a queue that was made of a state is as the book says.
 */
#include "crash/power_journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    ALL_STATES = SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD,
    BUFFER = 1 << 16,
};

/* --- what is there ------------------------------------------------------------------- */

/* Whether the headers are those that it was sent with. */
static bool same_headers(const struct shmq_msg *is, const struct shmq_msg *should)
{
    struct shmq_header header;
    size_t place = 0;

    for (unsigned i = 0; i < should->header_count; i++)
        if (shmq_header_next(is, &place, &header) != 1 ||
            strcmp(header.name, should->headers[i].name) != 0 ||
            strcmp(header.value, should->headers[i].value) != 0)
            return false;
    return shmq_header_next(is, &place, &header) == 0;
}

/* Whether it is this message, byte for byte, in the version that it says. */
static bool is_whole(const struct book *last, const struct shmq_msg *msg, uint16_t *version)
{
    static struct book_bytes bytes;
    struct shmq_msg should;
    uint64_t begin;

    if (msg->length < sizeof(begin) || msg->id == 0 || msg->id >= last->next_id)
        return false;
    memcpy(&begin, msg->data, sizeof(begin));
    *version = (uint16_t)begin;
    book_describe(last->config, msg->id, last->messages[msg->id].plain, *version, &should, &bytes);
    return *version <= last->messages[msg->id].version && msg->length == should.length &&
           memcmp(msg->data, should.data, msg->length) == 0 && msg->type == should.type &&
           msg->priority == should.priority && msg->correlation == should.correlation &&
           msg->key_length == should.key_length &&
           (msg->key_length == 0 || memcmp(msg->key, should.key, msg->key_length) == 0) &&
           (should.ttl_ns > 0) == (msg->ttl_ns > 0) && msg->ttl_ns <= BOOK_LATER_NS &&
           same_headers(msg, &should);
}

static const char *find_messages(shmq_t *g, const struct book *last, struct found_part *parts)
{
    static char buffer[BUFFER];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t place = 0;
    ssize_t n;

    while ((n = shmq_inspect(g, ALL_STATES, &place, &msg, buffer, sizeof(buffer))) >= 0) {
        uint16_t version;
        if (!is_whole(last, &msg, &version))
            return "a message is torn, or invented";
        struct found_part *part = &parts[msg.id];
        if (part->state != BOOK_GONE)
            return "a message is there twice";
        *part = (struct found_part){
            .state = msg.state == SHMQ_WAITING   ? BOOK_WAITING
                     : msg.state == SHMQ_DELAYED ? BOOK_DELAYED
                     : msg.state == SHMQ_DEAD    ? BOOK_DEAD
                                                 : BOOK_LEASED,
            .attempts = (uint16_t)msg.attempts,
            .version = version,
            .reason = msg.reason,
        };
        if (part->state == BOOK_DELAYED && msg.delay_ns > BOOK_LATER_NS)
            return "a delay has grown";
    }
    return n == -EAGAIN ? NULL : "what is there could not be looked at";
}

/* A handle on the group, which is there; a queue that is no topic has one. */
static shmq_t *reader(shmq_t *q, const struct book *last, unsigned group)
{
    shmq_t *g = q;

    if ((last->config->flags & SHMQ_TOPIC) != 0 &&
        shmq_subscribe(q, journal_group_names[group], NULL, &g) < 0)
        return NULL;
    return g;
}

static const char *find_group(shmq_t *q, const struct book *last, struct found *found,
                              unsigned group)
{
    struct shmq_group_stats stats;
    struct shmq_policy policy;
    const char *wrong = "a group cannot be looked at";
    shmq_t *g = reader(q, last, group);

    if (g != NULL && shmq_group_stats(g, &stats) == 0 && shmq_policy_of(g, &policy) == 0) {
        found->groups[group].paused = stats.paused != 0;
        found->groups[group].lease_ns = policy.lease_ns;
        wrong = find_messages(g, last, found->groups[group].parts);
    }
    if (g != q)
        shmq_close(g);
    return wrong;
}

/* Which groups there are, by their names. */
static const char *find_names(shmq_t *q, const struct book *last, struct found *found)
{
    struct shmq_group_stats list[BOOK_GROUPS + 1];
    int n = shmq_groups(q, list, BOOK_GROUPS + 1);

    if ((last->config->flags & SHMQ_TOPIC) == 0) {
        found->groups[0].there = true;
        return n == 1 ? NULL : "a plain queue has one group";
    }
    for (int i = 0; i < n && i < BOOK_GROUPS + 1; i++) {
        unsigned g = 0;
        while (g < BOOK_GROUPS && strcmp(list[i].name, journal_group_names[g]) != 0)
            g++;
        if (g == BOOK_GROUPS || found->groups[g].there)
            return "a group is there that never was, or twice";
        found->groups[g].there = true;
    }
    return n <= BOOK_GROUPS ? NULL : "there are too many groups";
}

const char *journal_find(shmq_t *q, const struct book *last, struct found *found)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    const char *wrong;

    memset(found, 0, sizeof(*found));
    if (shmq_stats(q, &stats) != 0)
        return "there are no statistics";
    found->next_id = stats.put_count + 1;
    wrong = find_names(q, last, found);
    for (unsigned g = 0; wrong == NULL && g < BOOK_GROUPS; g++)
        if (found->groups[g].there)
            wrong = find_group(q, last, found, g);
    return wrong;
}

/* --- whether it works on ------------------------------------------------------------------- */

/* In a unique queue, keys are taken by what is not finished. */
static const char *check_keys(shmq_t *q, const struct book *last, const struct found *found)
{
    static struct book_bytes bytes;
    struct shmq_msg msg;

    for (uint64_t id = 1; (last->config->flags & SHMQ_UNIQUE) != 0 && id < last->next_id; id++) {
        uint8_t state = found->groups[0].parts[id].state;
        book_describe(last->config, id, false, 0, &msg, &bytes);
        if (state != BOOK_GONE && state != BOOK_DEAD && shmq_send(q, &msg, SHMQ_NOWAIT) != -EEXIST)
            return "a key is not taken that should be";
    }
    return NULL;
}

static const char *drain_group(shmq_t *g, const struct book *last, struct found *found,
                               unsigned group)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t waiting = 0;
    int rc;

    for (uint64_t id = 1; id < last->next_id; id++)
        waiting +=
            found->groups[group].parts[id].state == BOOK_WAITING && !book_is_mortal(last, id);
    if (found->groups[group].paused && shmq_resume(g) != 0)
        return "a group could not be resumed";
    while ((rc = shmq_receive(g, &msg, SHMQ_NOWAIT)) == 0) {
        uint64_t id = msg.id;
        if (id == 0 || id >= last->next_id || waiting == 0 ||
            found->groups[group].parts[id].state != BOOK_WAITING || book_is_mortal(last, id))
            return "another message came than was there";
        if (msg.attempts != found->groups[group].parts[id].attempts + 1u)
            return "attempts are not counted on";
        if (shmq_ack(g, &msg) != 0)
            return "an acknowledgement failed";
        found->groups[group].order[found->groups[group].count++] = (uint16_t)id;
        waiting--;
    }
    return rc == -EAGAIN && waiting == 0 ? NULL : "not all that was there came";
}

const char *journal_drain(shmq_t *q, const struct book *last, struct found *found)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    const char *wrong = check_keys(q, last, found);

    for (unsigned i = 0; wrong == NULL && i < BOOK_GROUPS; i++) {
        shmq_t *g = found->groups[i].there ? reader(q, last, i) : NULL;
        if (g != NULL)
            wrong = drain_group(g, last, found, i);
        if (g != q)
            shmq_close(g);
    }
    if (wrong != NULL)
        return wrong;
    msg.key = "another key";
    msg.key_length = 11;
    if (shmq_send(q, &msg, SHMQ_NOWAIT) != 0 || msg.id != found->next_id)
        return "what is put next is not next";
    return NULL;
}

/* --- whether it should be ---------------------------------------------------------------- */

static bool same_part(const struct book *b, const struct book_part *part, uint16_t version,
                      const struct found_part *found)
{
    uint32_t most = b->config->max_attempts;
    bool out_of_attempts = part->state == BOOK_LEASED && most != 0 && found->state == BOOK_DEAD &&
                           found->attempts >= most && found->reason == SHMQ_REASON_ATTEMPTS;
    uint8_t state = part->state == BOOK_LEASED ? BOOK_WAITING : part->state;

    if (part->state == BOOK_GONE)
        return found->state == BOOK_GONE;
    return (found->state == state || out_of_attempts) && found->version == version &&
           found->attempts >= part->written && found->attempts <= part->attempts &&
           (part->state != BOOK_DEAD || found->reason == part->reason) &&
           (most == 0 || found->state != BOOK_WAITING || found->attempts < most);
}

/* Why message `id` is not as it should be, for people. */
static const char *tell(const struct book *b, unsigned group, uint64_t id,
                        const struct found_part *found)
{
    static char text[200];
    const struct book_part *part = &b->parts[group][id];

    snprintf(text, sizeof(text),
             "message %llu in group %s: state %u, attempts %u, version %u, reason %u in place of "
             "%u, %u to %u, %u, %u",
             (unsigned long long)id, journal_group_names[group], found->state, found->attempts,
             found->version, found->reason, part->state, part->written, part->attempts,
             b->messages[id].version, part->reason);
    return text;
}

static bool same_order(const struct book *b, unsigned group, const struct found *found)
{
    const uint16_t *order = found->groups[group].order;

    for (unsigned i = 1; i < found->groups[group].count; i++)
        if (!book_comes_before(b, group, order[i - 1], order[i]))
            return false;
    return true;
}

bool journal_same(const struct book *b, const struct found *found, const char **why)
{
    *why = "the next message's id";
    if (found->next_id != b->next_id)
        return false;
    for (unsigned g = 0; g < BOOK_GROUPS; g++) {
        *why = "which groups there are, and what is set of them";
        if (found->groups[g].there != b->groups[g].there ||
            (b->groups[g].there && (found->groups[g].paused != b->groups[g].paused ||
                                    found->groups[g].lease_ns != b->groups[g].lease_ns)))
            return false;
        for (uint64_t id = 1; b->groups[g].there && id < b->next_id; id++) {
            const struct found_part *part = &found->groups[g].parts[id];
            if (book_is_mortal(b, id) ||
                same_part(b, &b->parts[g][id], b->messages[id].version, part))
                continue;
            *why = tell(b, g, id, part);
            return false;
        }
        *why = "the order in which messages come";
        if (b->groups[g].there && !same_order(b, g, found))
            return false;
    }
    return true;
}
