/*
 * crash_file_ops.c - the operations that a victim of `crash_file` performs: its own, and
 * those of `crash_delivery` that write to a journal.
 */
#include "crash/crash_file.h"

#include <stdio.h>
#include <string.h>

/* --- putting ------------------------------------------------------------------------ */

static void act_put(struct delivery_scene *s)
{
    const struct shmq_msg *msg = delivery_outgoing();

    s->page->rc = shmq_put(s->own.queue, msg->data, msg->length, SHMQ_NOWAIT);
}

static void act_put_many(struct delivery_scene *s)
{
    const struct shmq_msg *msgs = delivery_outgoing();
    struct shmq_buf bufs[DELIVERY_BATCH];

    for (int i = 0; i < DELIVERY_BATCH; i++)
        bufs[i] = (struct shmq_buf){msgs[i].data, msgs[i].length};
    s->page->rc = shmq_put_many(s->own.queue, bufs, DELIVERY_BATCH, SHMQ_NOWAIT);
}

static void act_send(struct delivery_scene *s)
{
    struct shmq_msg msg = *delivery_outgoing();

    s->page->rc = shmq_send(s->own.queue, &msg, SHMQ_NOWAIT);
}

static void act_commit(struct delivery_scene *s)
{
    const struct shmq_msg *msg = delivery_outgoing();
    void *data;

    s->page->rc = shmq_reserve(s->own.queue, msg->length + 40, &data, SHMQ_NOWAIT);
    if (s->page->rc != 0)
        return;
    memcpy(data, msg->data, msg->length);
    s->page->rc = shmq_commit(s->own.queue, msg->length);
}

static void act_sync(struct delivery_scene *s)
{
    s->page->rc = shmq_sync(s->own.queue, 0, SHMQ_FOREVER);
}

/* --- saving and restoring --------------------------------------------------------------- */

static void act_save(struct delivery_scene *s)
{
    s->page->rc = shmq_save(s->own.queue, s->file.other ? s->file.path : NULL);
}

static void act_close(struct delivery_scene *s)
{
    s->page->rc = shmq_close(s->own.queue);
}

static void act_open(struct delivery_scene *s)
{
    s->page->rc = delivery_create(s, 0, &s->own.queue);
}

static void act_load(struct delivery_scene *s)
{
    s->page->rc = shmq_load(s->name, s->file.path);
}

/* --- the table ---------------------------------------------------------------------------- */

/* One of each; and of two groups. */
#define ALL_KINDS   "RLD.PSGUFgdu"
#define ALL_KINDS_2 "RLD.PSUFdu", "S.RDPFUFdu"

/* A ring is full, and half of it is finished once it was pinned (crash_file_scene.c). */
#define HALF   "SSSSSSSSSSSSSSSS"
#define HALF_F "FFFFFFFFFFFFFFFF"

static const struct delivery_op
    put = {"put", act_put, 0, {"RDFF"}, {"RDFFF"}, .traits = 0},
    put_many = {"put-many", act_put_many, 3, {"RF"}, {"RFFFF"}, .traits = 0},
    send_more = {"send-more", act_send, 0, {"RFF"}, {"RFFF"}, .traits = 0},
    commit = {"commit", act_commit, 0, {"RF"}, {"RFF"}, .traits = 0},
    put_pinned = {"put-pinned", act_put, 0, {HALF HALF_F}, {HALF HALF_F "F"}, .traits = FILLS},
    sync_all = {"sync", act_sync, 0, {"RSF"}, {"RSF"}, .traits = 0},
    save = {"save", act_save, 0, {ALL_KINDS}, {ALL_KINDS}, .traits = 0},
    save_topic = {"save-topic", act_save, 0, {ALL_KINDS_2}, {ALL_KINDS_2}, .traits = 0},
    save_order = {"save-order", act_save, 0, {"RDFFuF"}, {"RDFFuF"}, .traits = PRIORITY | UNIQUE},
    save_other = {"save-other", act_save, 0, {ALL_KINDS}, {ALL_KINDS}, .traits = 0},
    save_over = {"save-over", act_save, 0, {ALL_KINDS}, {ALL_KINDS}, .traits = 0},
    save_at_end = {"save-at-end", act_close, 0, {"RLDPFgdu"}, {"RRDPFgdu"}, .traits = 0},
    create = {"create", act_open, 0, {""}, {""}, .traits = 0},
    restore = {"restore", act_open, 0, {"RSD.PSGUFgdu"}, {"RSD.PSGUFgdu"}, .traits = 0},
    restore_topic = {"restore-topic",        act_open,   0, {"RS.UFdu", ".SDUFdu"},
                     {"RS.UFdu", ".SDUFdu"}, .traits = 0},
    restore_order = {"restore-order", act_open,   0,
                     {"RDFFuF"},      {"RDFFuF"}, .traits = PRIORITY | UNIQUE},
    load = {"load", act_load, 0, {"RSD.PSGUFgdu"}, {"RSD.PSGUFgdu"}, .traits = 0};

static const struct keep_plan plans[] = {
    {.own = &put, .journals = KEEP_BOTH},
    {.own = &put_many, .journals = KEEP_BOTH},
    {.own = &send_more, .journals = KEEP_BOTH},
    {.own = &commit, .journals = KEEP_BOTH},
    {.like = "send-topic", .journals = KEEP_BOTH},
    {.like = "send-unique", .journals = KEEP_BOTH},
    {.like = "put-drops", .journals = KEEP_BOTH},
    {.like = "compact", .journals = KEEP_OS},
    {.like = "receive", .journals = KEEP_BOTH},
    {.like = "receive-many", .journals = KEEP_OS},
    {.like = "receive-dead", .journals = KEEP_OS},
    {.like = "get-held", .journals = KEEP_BOTH},
    {.like = "get-unique", .journals = KEEP_OS},
    {.like = "get-many-held", .journals = KEEP_BOTH},
    {.like = "ack", .journals = KEEP_BOTH},
    {.like = "ack-many", .journals = KEEP_BOTH},
    {.like = "ack-group", .journals = KEEP_OS},
    {.like = "ack-dead", .journals = KEEP_BOTH},
    {.like = "next", .journals = KEEP_BOTH},
    {.like = "nack", .journals = KEEP_BOTH},
    {.like = "nack-later", .journals = KEEP_BOTH},
    {.like = "nack-to-back", .journals = KEEP_OS},
    {.like = "reject-parks", .journals = KEEP_BOTH},
    {.like = "reject-buries", .takes_long = true, .journals = KEEP_BOTH},
    {.like = "touch", .journals = KEEP_BOTH},
    {.like = "update", .journals = KEEP_BOTH, .ahead = true},
    {.like = "update-held-again", .journals = KEEP_OS, .ahead = true},
    {.like = "update-groups", .journals = KEEP_OS, .ahead = true},
    {.like = "update-twice", .journals = KEEP_OS, .ahead = true},
    {.like = "remove", .journals = KEEP_BOTH, .ahead = true},
    {.like = "remove-held", .journals = KEEP_OS, .ahead = true},
    {.like = "remove-groups", .journals = KEEP_OS, .ahead = true},
    {.like = "subscribe-latest", .takes_long = true, .journals = KEEP_BOTH, .ahead = true},
    {.like = "subscribe-first", .takes_long = true, .journals = KEEP_BOTH, .ahead = true},
    {.like = "subscribe-twice", .takes_long = true, .journals = KEEP_OS, .ahead = true},
    {.like = "unsubscribe", .journals = KEEP_BOTH},
    {.like = "seek", .journals = KEEP_BOTH},
    {.like = "seek-back", .journals = KEEP_OS},
    {.like = "seek-on", .journals = KEEP_OS},
    {.like = "part-begin", .journals = KEEP_BOTH},
    {.like = "policy-set", .journals = KEEP_BOTH},
    {.like = "pause", .journals = KEEP_BOTH},
    {.like = "purge", .journals = KEEP_BOTH},
    {.like = "redrive", .journals = KEEP_BOTH},
    {.own = &sync_all, .journals = KEEP_OS},
    {.own = &sync_all, .journals = KEEP_OS, .beside = KEEP_SYNCS_BESIDE},
    {.own = &put, .journals = KEEP_ALWAYS, .beside = KEEP_SYNCS_BESIDE},

    {.own = &put, .journals = KEEP_BOTH, .corpse = KEEP_DEAD_APPENDER},
    {.own = &put, .journals = KEEP_ALWAYS, .corpse = KEEP_DEAD_SYNCER},
    {.own = &put, .journals = KEEP_BOTH, .corpse = KEEP_DEAD_PUTTER},
    {.own = &put, .journals = KEEP_BOTH, .corpse = KEEP_DEAD_SAVING},
    {.own = &put_pinned, .journals = KEEP_SNAPSHOT | KEEP_OS, .corpse = KEEP_DEAD_SAVER},
    {.like = "ack", .journals = KEEP_OS, .corpse = KEEP_DEAD_APPENDER},
    {.like = "ack", .journals = KEEP_OS, .corpse = KEEP_DEAD_PUTTER},
    {.like = "ack", .journals = KEEP_OS, .corpse = KEEP_DEAD_SAVING},
    {.like = "part-begin", .journals = KEEP_OS, .corpse = KEEP_DEAD_PUTTER},
    {.like = "subscribe-latest",
     .takes_long = true,
     .journals = KEEP_OS,
     .corpse = KEEP_DEAD_PUTTER,
     .ahead = true},
    {.own = &sync_all, .journals = KEEP_OS, .corpse = KEEP_DEAD_APPENDER},
    {.own = &sync_all, .journals = KEEP_OS, .corpse = KEEP_DEAD_SYNCER},

    {.own = &save, .journals = KEEP_SNAPSHOT | KEEP_BOTH, .kind = KEEP_SAVES},
    {.own = &save_topic, .journals = KEEP_SNAPSHOT | KEEP_OS, .kind = KEEP_SAVES},
    {.own = &save_order, .alike = true, .journals = KEEP_SNAPSHOT | KEEP_OS, .kind = KEEP_SAVES},
    {.own = &save_other, .journals = KEEP_SNAPSHOT, .kind = KEEP_SAVES_OTHER},
    {.own = &save_over, .journals = KEEP_SNAPSHOT, .kind = KEEP_SAVES_OVER},
    {.own = &save_at_end, .journals = KEEP_SNAPSHOT, .kind = KEEP_SAVES_AT_END},
    {.own = &save,
     .journals = KEEP_SNAPSHOT | KEEP_OS,
     .kind = KEEP_SAVES,
     .corpse = KEEP_DEAD_SAVER},
    {.own = &save, .journals = KEEP_OS, .kind = KEEP_SAVES, .corpse = KEEP_DEAD_APPENDER},
    {.own = &save, .journals = KEEP_ALWAYS, .kind = KEEP_SAVES, .corpse = KEEP_DEAD_SYNCER},
    {.own = &save, .journals = KEEP_OS, .kind = KEEP_SAVES, .corpse = KEEP_DEAD_PUTTER},
    {.own = &save,
     .journals = KEEP_SNAPSHOT | KEEP_OS,
     .kind = KEEP_SAVES,
     .corpse = KEEP_DEAD_SAVING},

    {.own = &create, .journals = KEEP_SNAPSHOT | KEEP_OS, .kind = KEEP_CREATES},
    {.own = &create,
     .journals = KEEP_SNAPSHOT | KEEP_OS,
     .kind = KEEP_CREATES,
     .beside = KEEP_OPENS_BESIDE},
    {.own = &restore, .journals = KEEP_SNAPSHOT | KEEP_OS, .kind = KEEP_RESTORES},
    {.own = &restore,
     .journals = KEEP_SNAPSHOT | KEEP_BOTH,
     .kind = KEEP_RESTORES,
     .built = SHMQ_JOURNAL_OS},
    {.own = &restore_topic,
     .alike = true,
     .journals = KEEP_OS,
     .kind = KEEP_RESTORES,
     .built = SHMQ_JOURNAL_OS},
    {.own = &restore_order, .alike = true, .journals = KEEP_SNAPSHOT, .kind = KEEP_RESTORES},
    {.own = &restore,
     .journals = KEEP_SNAPSHOT,
     .kind = KEEP_RESTORES,
     .beside = KEEP_OPENS_BESIDE},
    {.own = &restore,
     .journals = KEEP_OS,
     .kind = KEEP_RESTORES,
     .built = SHMQ_JOURNAL_OS,
     .beside = KEEP_OPENS_BESIDE},
    {.own = &load, .journals = KEEP_SNAPSHOT, .kind = KEEP_LOADS},
    {.own = &load,
     .alike = true,
     .journals = KEEP_SNAPSHOT,
     .kind = KEEP_LOADS,
     .built = SHMQ_JOURNAL_OS},
};

/* --- all of them, one by one ------------------------------------------------------------- */

enum { OPS_MAX = 160 };

static struct keep_op ops[OPS_MAX];
static unsigned op_count;

static const struct delivery_op *find(const char *name)
{
    for (unsigned i = 0; i < delivery_op_count; i++)
        if (strcmp(delivery_ops[i].name, name) == 0)
            return &delivery_ops[i];
    return NULL;
}

static void add(const struct keep_plan *plan, unsigned journal)
{
    static const char *const corpses[] = {"",        "+saver",  "+appender",
                                          "+syncer", "+putter", "+saving"};
    static const char *const besides[] = {"", "+opens", "+syncs"};
    static const char *const journals[] = {"", ".os", "", ".always"};
    const struct delivery_op *like = plan->own != NULL ? plan->own : find(plan->like);
    static char of_file[OPS_MAX][64];

    if (like == NULL || op_count == OPS_MAX)
        return;
    struct keep_op *op = &ops[op_count];
    *op = (struct keep_op){.plan = plan, .delivery = *like, .of_file = *like, .journal = journal};
    snprintf(op->name, sizeof(op->name), "%s%s%s%s%s", like->name, corpses[plan->corpse],
             besides[plan->beside], plan->built != 0 ? "-journal" : "", journals[journal]);
    snprintf(of_file[op_count], sizeof(of_file[0]), "%s: the file,", op->name);
    op->delivery.name = op->name;
    op->of_file.name = of_file[op_count++];
}

unsigned keep_op_count(void)
{
    for (size_t i = 0; op_count < OPS_MAX && i < sizeof(plans) / sizeof(plans[0]); i++)
        for (unsigned journal = SHMQ_JOURNAL_NONE; journal <= SHMQ_JOURNAL_ALWAYS; journal++)
            if ((plans[i].journals >> journal & 1) != 0)
                add(&plans[i], journal);
    return op_count;
}

const struct keep_op *keep_op_at(unsigned i)
{
    return &ops[i];
}
