/*
 * crash_delivery_ops.c - the operations that a victim of `crash_delivery` performs, each
 * with where all messages are before and after.
 */
#include "crash/crash_delivery.h"

#include <errno.h>
#include <string.h>

const char *const delivery_group_names[DELIVERY_GROUPS] = {"one", "two"};

/* What is put has been built before the marked start. */
static unsigned char outgoing[DELIVERY_BATCH][DELIVERY_CAPACITY];
static struct shmq_msg letters[DELIVERY_BATCH];
static unsigned char update_bytes[DELIVERY_CAPACITY];
static unsigned updated;
static size_t update_length;

void delivery_prepare_messages(const struct delivery_scene *s)
{
    unsigned n = (unsigned)strlen(s->before[0]);

    for (unsigned i = 0; i < DELIVERY_BATCH; i++)
        delivery_message(s->op, n + i, FROM_VICTIM, outgoing[i], &letters[i]);
    /* Updates are of the first message whose letter says so. */
    for (updated = 0; s->after[0][updated] != '\0'; updated++)
        if (s->after[0][updated] == 'U' && strchr("uU", s->before[0][updated]) == NULL)
            break;
    if (s->after[0][updated] == '\0')
        updated = 0;
    update_length = delivery_length(s->op, updated);
    message_build(update_bytes, FROM_UPDATE, updated, update_length);
}

const struct shmq_msg *delivery_outgoing(void)
{
    return letters;
}

/* --- receiving ------------------------------------------------------------------- */

static void note_got(struct delivery_scene *s, const struct shmq_msg *msgs, int64_t n)
{
    struct delivery_page *page = s->page;

    for (int64_t i = 0; i < n; i++)
        page->got_ids[i] = msgs[i].id;
    if (n > 0) {
        page->got_length = msgs[0].length;
        memcpy(page->got, msgs[0].data, msgs[0].length);
        page->got_count = (unsigned)n;
    }
}

static void act_receive(struct delivery_scene *s)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    s->page->rc = shmq_receive(s->own.group[0], &msg, SHMQ_NOWAIT);
    note_got(s, &msg, s->page->rc == 0);
}

static void act_receive_many(struct delivery_scene *s)
{
    struct shmq_msg msgs[DELIVERY_BATCH] = {SHMQ_MSG_INIT, SHMQ_MSG_INIT, SHMQ_MSG_INIT};

    s->page->rc =
        shmq_receive_many(s->own.group[0], msgs, DELIVERY_BATCH, SHMQ_NOWAIT, SHMQ_NOWAIT);
    note_got(s, msgs, s->page->rc);
}

static void act_get(struct delivery_scene *s)
{
    struct delivery_page *page = s->page;
    struct shmq_info info;

    page->rc = shmq_get(s->own.group[0], page->got, sizeof(page->got), &info, SHMQ_NOWAIT);
    if (page->rc < 0)
        return;
    page->got_ids[0] = info.id;
    page->got_length = info.length;
    page->got_count = 1;
    page->rc = 0;
}

static void act_get_many(struct delivery_scene *s)
{
    struct shmq_info infos[DELIVERY_BATCH];

    s->page->rc = shmq_get_many(s->own.group[0], s->page->got, sizeof(s->page->got), infos,
                                DELIVERY_BATCH, SHMQ_NOWAIT, SHMQ_NOWAIT);
}

/* --- ends of leases --------------------------------------------------------------- */

static void act_ack(struct delivery_scene *s)
{
    s->page->rc = shmq_ack(s->own.group[0], &s->leased[0]);
}

static void act_next(struct delivery_scene *s)
{
    s->page->rc = shmq_next(s->own.group[0], &s->leased[0], SHMQ_NOWAIT);
}

static void act_ack_many(struct delivery_scene *s)
{
    s->page->rc = shmq_ack_many(s->own.group[0], s->leased, s->leased_count);
}

static void act_ack_upto(struct delivery_scene *s)
{
    s->page->rc = shmq_ack_upto(s->own.group[0], 2);
}

static void act_task_done(struct delivery_scene *s)
{
    s->page->rc = shmq_task_done(s->own.group[0]);
}

static void act_nack(struct delivery_scene *s)
{
    s->page->rc = shmq_nack(s->own.group[0], &s->leased[0], SHMQ_BY_POLICY, 0);
}

static void act_nack_later(struct delivery_scene *s)
{
    s->page->rc = shmq_nack(s->own.group[0], &s->leased[0], SHMQ_SEC(1000), 0);
}

static void act_nack_to_back(struct delivery_scene *s)
{
    s->page->rc = shmq_nack(s->own.group[0], &s->leased[0], 0, SHMQ_TO_BACK);
}

static void act_reject(struct delivery_scene *s)
{
    s->page->rc = shmq_reject(s->own.group[0], &s->leased[0], SHMQ_REASON_VALIDATION, "no good");
}

static void act_touch(struct delivery_scene *s)
{
    s->page->rc = shmq_touch(s->own.group[0], &s->leased[0], SHMQ_SEC(60));
}

/* --- putting ------------------------------------------------------------------------ */

static void act_put(struct delivery_scene *s)
{
    s->page->rc = shmq_put(s->own.queue, letters[0].data, letters[0].length, SHMQ_NOWAIT);
}

static void act_send(struct delivery_scene *s)
{
    s->page->rc = shmq_send(s->own.queue, &letters[0], SHMQ_NOWAIT);
}

static void act_send_many(struct delivery_scene *s)
{
    s->page->rc = shmq_send_many(s->own.queue, letters, DELIVERY_BATCH, SHMQ_NOWAIT);
}

/* --- groups --------------------------------------------------------------------------- */

static void act_subscribe(struct delivery_scene *s)
{
    s->page->rc = shmq_subscribe(s->own.queue, delivery_group_names[1], NULL, &s->own.group[1]);
}

static void act_subscribe_earliest(struct delivery_scene *s)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;

    attr.start = SHMQ_EARLIEST;
    s->page->rc = shmq_subscribe(s->own.queue, delivery_group_names[1], &attr, &s->own.group[1]);
}

static void act_join_group(struct delivery_scene *s)
{
    s->page->rc = shmq_subscribe(s->own.queue, delivery_group_names[0], NULL, &s->own.group[0]);
}

static void act_unsubscribe(struct delivery_scene *s)
{
    s->page->rc = shmq_unsubscribe(s->own.queue, delivery_group_names[1]);
}

static void act_seek_third(struct delivery_scene *s)
{
    s->page->rc = shmq_seek(s->own.group[0], SHMQ_AT_ID, 3);
}

static void act_seek_earliest(struct delivery_scene *s)
{
    s->page->rc = shmq_seek(s->own.group[0], SHMQ_EARLIEST, 0);
}

static void act_seek_latest(struct delivery_scene *s)
{
    s->page->rc = shmq_seek(s->own.group[0], SHMQ_LATEST, 0);
}

static void act_part_begin(struct delivery_scene *s)
{
    s->page->rc = shmq_part_begin(s->own.queue);
}

static const struct shmq_policy other_policy = {
    .lease_ns = SHMQ_SEC(20),
    .max_attempts = 77,
    .retry = SHMQ_RETRY_LINEAR,
    .retry_first_ns = SHMQ_SEC(3),
    .retry_greatest_ns = SHMQ_SEC(99),
    .retry_factor = 3,
    .retry_jitter = 0.5,
    .dead_letter = "t-a-queue-with-such-a-long-name-that-no-one-can-write-it-with-one-store",
};

static void act_policy_set(struct delivery_scene *s)
{
    s->page->rc = shmq_policy_set(s->own.group[0], &other_policy);
}

static bool verify_policy(struct delivery_scene *s, shmq_t *g, bool due)
{
    struct shmq_policy now, before;
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    if (shmq_policy_of(g, &now) != 0 || shmq_attr_of(g, &attr) != 0)
        return delivery_fail(s, "the policy cannot be read");
    before = attr.policy; /* the queue's: what the group began with */
    bool old = memcmp(&now, &before, sizeof(now)) == 0;
    bool new = memcmp(&now, &other_policy, sizeof(now)) == 0;
    s->happened |= new;
    if (!new && (due || !old))
        return delivery_fail(s, "the policy is neither the old nor the new one");
    return !new || shmq_policy_set(g, &before) == 0 || delivery_fail(s, "no policy can be set");
}

static void act_pause(struct delivery_scene *s)
{
    s->page->rc = shmq_pause(s->own.group[0]);
}

static bool verify_pause(struct delivery_scene *s, shmq_t *g, bool due)
{
    struct shmq_group_stats stats;

    if (shmq_group_stats(g, &stats) != 0 || (due && stats.paused == 0))
        return delivery_fail(s, "the group is not paused");
    s->happened |= stats.paused != 0;
    return shmq_resume(g) == 0 || delivery_fail(s, "the group cannot be resumed");
}

/* A group that starts with the part has what was put since, or all. */
static bool verify_part(struct delivery_scene *s, shmq_t *g, bool due)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;
    int64_t all = shmq_depth(g);
    shmq_t *other;

    attr.start = SHMQ_AT_PART;
    if (shmq_subscribe(s->survivor.queue, delivery_group_names[1], &attr, &other) != 0)
        return delivery_fail(s, "subscribe: %s", shmq_last_error_detail());
    int64_t depth = shmq_depth(other);
    shmq_close(other);
    s->happened |= depth == 0;
    if (depth != 0 && (due || depth != all))
        return delivery_fail(s, "the part has %lld messages", (long long)depth);
    return shmq_unsubscribe(s->survivor.queue, delivery_group_names[1]) == 0;
}

/* --- by id, and others -------------------------------------------------------------------- */

static void act_update(struct delivery_scene *s)
{
    s->page->rc = shmq_update(s->own.queue, updated + 1, update_bytes, update_length, SHMQ_NOWAIT);
}

static void act_update_longer(struct delivery_scene *s)
{
    update_length += 100;
    message_build(update_bytes, FROM_UPDATE, updated, update_length);
    s->page->rc = shmq_update(s->own.queue, updated + 1, update_bytes, update_length, SHMQ_NOWAIT);
}

static void act_remove(struct delivery_scene *s)
{
    s->page->rc = shmq_remove(s->own.queue, 2);
}

static void act_purge(struct delivery_scene *s)
{
    s->page->rc = shmq_purge(s->own.group[0]);
}

static void act_redrive(struct delivery_scene *s)
{
    s->page->rc = shmq_redrive(s->own.group[0], 0);
}

static void act_close(struct delivery_scene *s)
{
    s->page->rc = shmq_close(s->own.group[0]);
}

static void act_join(struct delivery_scene *s)
{
    s->page->rc = shmq_join(s->own.group[0], SHMQ_FOREVER);
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct shmq_policy to_letters = {.dead_letter = "its name is the scene's",
                                              .dead_letter_expired = 1};
static const struct shmq_policy two_attempts = {.max_attempts = 2};
static const struct shmq_policy two_attempts_to_letters = {.dead_letter = "its name is the scene's",
                                                           .max_attempts = 2};
static const struct shmq_policy park_expired = {.dead_letter_expired = 1};

/* Held messages that pin most of a ring, and those that fill it. */
#define PINNED "R.D.......P...S.R.......FFFFFFFF"
#define FILLED "RRFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"

const struct delivery_op delivery_ops[] = {
    {"receive", act_receive, 0, {"FF"}, {"LF"}, .traits = 0},
    {"receive-last", act_receive, 0, {"F"}, {"L"}, .traits = 0},
    {"receive-held", act_receive, 0, {".RDF"}, {".LDF"}, .traits = 0},
    {"receive-delayed", act_receive, 0, {"dF"}, {"dL"}, .traits = 0},
    {"receive-updated", act_receive, 0, {"uF"}, {"UF"}, .traits = 0},
    {"receive-sole", act_receive, 0, {"FF"}, {"LF"}, .traits = SOLE},
    {"receive-group", act_receive, 0, {"FF", "FF"}, {"LF", "FF"}, .traits = 0},
    {"receive-priority", act_receive, 0, {"FFFF"}, {"FFLF"}, .traits = PRIORITY},
    {"receive-lifo", act_receive, 0, {"FFF"}, {"FFL"}, .traits = LIFO},
    {"receive-many", act_receive_many, 3, {"RFFF"}, {"LLLF"}, .traits = BY_EACH},
    {"get-held", act_get, 0, {"RFF"}, {".FF"}, .traits = 0},
    {"get-unique", act_get, 0, {"FF"}, {".F"}, .traits = UNIQUE},
    {"get-many-held", act_get_many, 3, {"RFFF"}, {"...F"}, .traits = BY_EACH},
    {"ack", act_ack, 0, {"LLSF"}, {".LSF"}, .traits = 0},
    {"ack-last", act_ack, 0, {"L"}, {"."}, .traits = 0},
    {"ack-group", act_ack, 0, {"LFF", "SLF"}, {".FF", "SLF"}, .traits = 0},
    {"ack-unique", act_ack, 0, {"LRF"}, {".RF"}, .traits = UNIQUE},
    {"next", act_next, 0, {"LFF"}, {".LF"}, .traits = BY_EACH},
    {"next-held", act_next, 0, {"LRF"}, {".LF"}, .traits = BY_EACH},
    {"next-group", act_next, 0, {"LFF", "SLF"}, {".LF", "SLF"}, .traits = BY_EACH},
    {"ack-many", act_ack_many, 3, {"LLLF"}, {"...F"}, .traits = BY_EACH},
    {"ack-upto", act_ack_upto, 2, {"LLLF"}, {"..LF"}, .traits = BY_EACH},
    {"task-done", act_task_done, 0, {"SLLF"}, {"S.LF"}, .traits = 0},
    {"nack", act_nack, 0, {"LRF"}, {"RRF"}, .traits = 0},
    {"nack-later", act_nack_later, 0, {"LDF"}, {"DDF"}, .traits = 0},
    {"nack-to-back", act_nack_to_back, 0, {"LRF"}, {"RRF"}, .traits = TO_BACK},
    {"nack-parks", act_nack, 0, {"LF"}, {"PF"}, .policy = &two_attempts, .lost = 'P'},
    {"nack-buries",
     act_nack,
     0,
     {"LF"},
     {"QF"},
     .traits = LETTERS,
     .policy = &two_attempts_to_letters,
     .lost = 'Q'},
    {"reject-parks", act_reject, 0, {"LF"}, {"PF"}, .traits = 0},
    {"reject-buries", act_reject, 0, {"LF"}, {"QF"}, .traits = LETTERS, .policy = &to_letters},
    {"reject-makes", act_reject, 0, {"LF"}, {"QF"}, .policy = &to_letters},
    {"reject-unique", act_reject, 0, {"LF"}, {"PF"}, .traits = UNIQUE},
    {"expiry-drops", act_receive, 0, {"xF"}, {".L"}, .traits = 0},
    {"expiry-parks", act_receive, 0, {"xF"}, {"PL"}, .policy = &park_expired},
    {"expiry-buries", act_receive, -EAGAIN, {"x"}, {"Q"}, .traits = LETTERS, .policy = &to_letters},
    {"expiry-held", act_receive, -EAGAIN, {"DX"}, {"DQ"}, .traits = LETTERS, .policy = &to_letters},
    {"touch", act_touch, 0, {"LSF"}, {"LSF"}, .traits = 0},
    {"compact", act_put, 0, {PINNED}, {PINNED "F"}, .traits = FILLS},
    {"compact-groups",
     act_put,
     0,
     {PINNED, "..D...R..PS.....FFFFFFFFFFFFFFFF"},
     {PINNED "F", "..D...R..PS.....FFFFFFFFFFFFFFFFF"},
     .traits = FILLS},
    {"compact-unique", act_send, 0, {PINNED}, {PINNED "F"}, .traits = FILLS | UNIQUE},
    {"put-drops",
     act_put,
     0,
     {FILLED},
     {"."
      "RFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"},
     .traits = FILLS | DROPS | BY_EACH},
    {"send", act_send, 0, {"RF"}, {"RFF"}, .traits = 0},
    {"send-many", act_send_many, 3, {"RF"}, {"RFFFF"}, .traits = 0},
    {"send-topic", act_send, 0, {"RF", "FF"}, {"RFF", "FFF"}, .traits = BARE},
    {"send-unique", act_send, 0, {"RFF"}, {"RFFF"}, .traits = UNIQUE},
    {"send-priority", act_send, 0, {"RSF"}, {"RSFF"}, .traits = PRIORITY},
    {"subscribe-latest", act_subscribe, 0, {"RFF", "-"}, {"RFF", "..."}, .traits = BARE},
    {"subscribe-first", act_subscribe_earliest, 0, {".RF", "-"}, {".RF", "FFF"}, .traits = BARE},
    {"subscribe-joins", act_join_group, 0, {"RSF"}, {"RSF"}, .traits = TOPIC | BARE},
    {"unsubscribe", act_unsubscribe, 0, {"RFF", "RDF"}, {"RFF", "-"}, .traits = BARE},
    {"seek", act_seek_third, 0, {"RD.RFF"}, {"..FFFF"}, .traits = TOPIC | BY_EACH | FORGETS},
    {"seek-back",
     act_seek_earliest,
     0,
     {"RD.R.."},
     {"FFFFFF"},
     .traits = TOPIC | BY_EACH | FORGETS},
    {"seek-on", act_seek_latest, 0, {"RD.RFF"}, {"......"}, .traits = BY_EACH},
    {"part-begin", act_part_begin, 0, {"RFF"}, {"RFF"}, .traits = TOPIC, .verify = verify_part},
    {"policy-set", act_policy_set, 0, {"RSF"}, {"RSF"}, .verify = verify_policy},
    {"pause", act_pause, 0, {"RSF"}, {"RSF"}, .verify = verify_pause},
    {"update", act_update, 0, {"FFF"}, {"UFF"}, .traits = 0},
    {"update-longer", act_update_longer, 0, {"RFF"}, {"RUF"}, .traits = 0},
    {"update-held", act_update, 0, {"DRF"}, {"DUF"}, .traits = 0},
    {"update-again", act_update_longer, 0, {"uF"}, {"UF"}, .traits = 0},
    {"update-held-again", act_update_longer, 0, {"USF"}, {"USF"}, .traits = 0},
    {"update-groups", act_update, 0, {"DRF", "FFF"}, {"DUF", "FUF"}, .traits = 0},
    {"update-unique", act_update, 0, {"DRF"}, {"DUF"}, .traits = UNIQUE},
    {"remove", act_remove, 0, {"FFF"}, {"F.F"}, .traits = 0},
    {"remove-held", act_remove, 0, {"RDSF"}, {"R.SF"}, .traits = 0},
    {"remove-groups", act_remove, 0, {"RDF", "FFF"}, {"R.F", "F.F"}, .traits = 0},
    {"remove-unique", act_remove, 0, {"FFF"}, {"F.F"}, .traits = UNIQUE},
    {"purge", act_purge, 5, {"RDPSFF"}, {"...S.."}, .traits = BY_EACH},
    {"redrive", act_redrive, 2, {"PDPF"}, {"RDRF"}, .traits = BY_EACH | FORGETS},
    {"close-leased", act_close, 0, {"LSLF"}, {"RSRF"}, .traits = 0},
    {"join", act_join, 0, {"S"}, {"."}, .traits = RELEASED},
    {"receive-dead", act_receive, 0, {"RDFF"}, {"LDFF"}, .corpse = DEAD_INSIDE},
    {"receive-priority-dead",
     act_receive,
     0,
     {"FFFF"},
     {"FFLF"},
     .traits = PRIORITY,
     .corpse = DEAD_INSIDE},
    {"ack-dead", act_ack, 0, {"LRSF"}, {".RSF"}, .corpse = DEAD_INSIDE},
    {"nack-dead", act_nack_later, 0, {"LRSF"}, {"DRSF"}, .corpse = DEAD_INSIDE},
    {"reject-dead", act_reject, 0, {"LRF"}, {"PRF"}, .corpse = DEAD_INSIDE},
    {"touch-dead", act_touch, 0, {"LSF"}, {"LSF"}, .corpse = DEAD_INSIDE},
    {"bury-dead",
     act_receive,
     -EAGAIN,
     {"x"},
     {"Q"},
     .traits = LETTERS,
     .policy = &to_letters,
     .corpse = DEAD_BURIER},
    {"bury-twice",
     act_receive,
     -EAGAIN,
     {"x"},
     {"Q"},
     .traits = LETTERS,
     .policy = &to_letters,
     .corpse = DEAD_SAME},
    {"compact-dead", act_put, 0, {PINNED}, {PINNED "F"}, .traits = FILLS, .corpse = DEAD_INSIDE},
    {"compact-twice",
     act_put,
     0,
     {PINNED, "..D...R..PS.....FFFFFFFFFFFFFFFF"},
     {PINNED "F", "..D...R..PS.....FFFFFFFFFFFFFFFFF"},
     .traits = FILLS,
     .corpse = DEAD_SAME},
    {"send-unique-dead", act_send, 0, {"RFF"}, {"RFFF"}, .traits = UNIQUE, .corpse = DEAD_INSIDE},
    {"subscribe-dead",
     act_subscribe_earliest,
     0,
     {".RF", "-"},
     {".RF", "FFF"},
     .traits = BARE,
     .corpse = DEAD_GROUPS},
    {"subscribe-twice",
     act_subscribe_earliest,
     0,
     {".RF", "-"},
     {".RF", "FFF"},
     .traits = BARE,
     .corpse = DEAD_SAME},
    {"update-dead", act_update, 0, {"DRF"}, {"DUF"}, .corpse = DEAD_INSIDE},
    {"update-twice", act_update, 0, {"DRF", "FFF"}, {"DUF", "FUF"}, .corpse = DEAD_SAME},
    {"remove-dead", act_remove, 0, {"RDSF"}, {"R.SF"}, .corpse = DEAD_INSIDE},
    {"purge-dead", act_purge, 5, {"RDPSFF"}, {"...S.."}, .traits = BY_EACH, .corpse = DEAD_INSIDE},
};

const unsigned delivery_op_count = sizeof(delivery_ops) / sizeof(delivery_ops[0]);
