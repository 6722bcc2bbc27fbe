/*
 * crash_file_image.c - what a queue has that is made of the file of `crash_file`.
 */
#include "crash/crash_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "handle/handle.h"

/* --- made of a copy ------------------------------------------------------------------ */

bool keep_copy(struct keep_scene *k)
{
    char bytes[1 << 16];
    ssize_t n = 0;
    int from = open(k->live.file.path, O_RDONLY | O_CLOEXEC);
    int error = errno;

    k->was_there = from >= 0;
    if (from < 0)
        return error == ENOENT || keep_fail(k, "the file: %s", strerror(error));
    int to = open(k->copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (to >= 0 && (n = read(from, bytes, sizeof(bytes))) > 0)
        if (write(to, bytes, (size_t)n) != n)
            break;
    close(from);
    close(to);
    return (to >= 0 && n == 0) || keep_fail(k, "copying the file: %s", strerror(errno));
}

/* Make a queue of the copy, and open it twice. */
static bool make(struct keep_scene *k)
{
    struct delivery_scene *m = &k->made;
    bool none[DELIVERY_GROUPS] = {false};

    snprintf(m->name, sizeof(m->name), "%s", helper_name("made"));
    snprintf(m->letters, sizeof(m->letters), "%s", helper_name("none"));
    m->victim.point = k->live.victim.point;
    m->group_count = k->live.group_count;
    m->message_count = 0;
    int rc = shmq_load(m->name, k->copy);
    if (rc != 0)
        return delivery_fail(m, "no queue is made of it: %s (%s)", shmq_strerror(rc),
                             shmq_last_error_detail());
    rc = delivery_open(m, &m->survivor, none);
    if (rc == 0) {
        delivery_see_groups(m);
        delivery_close(&m->survivor);
        rc = delivery_open(m, &m->survivor, m->is_there);
    }
    if (rc == 0)
        rc = delivery_open(m, &m->fresh, m->is_there);
    return rc == 0 || delivery_fail(m, "opening what is made: %s", shmq_strerror(rc));
}

static void unmake(struct keep_scene *k)
{
    delivery_end(&k->made);
}

/* --- at the death ------------------------------------------------------------------------ */

/* As what the file says of a message whose letter is this. */
static char in_file(char letter)
{
    return letter == 'L' || letter == 'S' ? 'R' : letter == 'Q' ? '.' : letter;
}

static void expect_letters(char *to, const char *letters)
{
    size_t i = 0;

    for (; letters[i] != '\0'; i++)
        to[i] = in_file(letters[i]);
    to[i] = '\0';
}

/* The deliveries that the file must know of.  A lease may not be in it yet; that one was
 * given back or rejected is, once the call has said so. */
static void expect_attempts(struct keep_scene *k, unsigned g, bool due)
{
    const struct delivery_scene *s = &k->live;

    for (unsigned i = 0; i < DELIVERY_MESSAGES; i++) {
        char b = i < strlen(s->before[g]) ? s->before[g][i] : '\0';
        char a = i < strlen(s->after[g]) ? s->after[g][i] : '\0';
        bool leased = b == 'L' || b == 'S', said = due && a != '\0' && strchr("RDP", a) != NULL;
        k->made.attempts[g][i] = s->attempts[g][i] - (leased && !said);
    }
}

/* What must be in the file: as it was before the operation, or as it is after it. */
static void expect(struct keep_scene *k, bool due)
{
    const struct delivery_scene *s = &k->live;
    struct delivery_scene *m = &k->made;
    enum keep_kind kind = k->op->plan->kind;
    bool all_before = s->file.journal != 0 || kind == KEEP_RESTORES || kind == KEEP_LOADS;
    bool all_after = all_before || kind != KEEP_NOTHING;
    const char *nothing = delivery_is_topic(s->op) ? "-" : "";

    for (unsigned g = 0; g < s->group_count; g++) {
        expect_letters(m->before[g], all_before ? s->before[g] : nothing);
        expect_letters(m->after[g], all_after ? s->after[g] : nothing);
        expect_attempts(k, g, due);
    }
}

/* The message of one that died putting it is in the file until another is put, or all is
 * written anew.  It may not be there any more once the victim has begun to. */
static bool expect_corpse(struct keep_scene *k, bool due)
{
    struct delivery_scene *m = &k->made;
    size_t n = strlen(k->live.before[0]);
    bool says_not = strlen(k->live.after[0]) > n || k->op->plan->kind == KEEP_SAVES ||
                    (k->op->delivery.traits & TOPIC) != 0; /* that is a part */

    if (k->op->plan->corpse != KEEP_DEAD_PUTTER)
        return true;
    for (unsigned g = 0; g < m->group_count; g++) {
        if (m->found[g][n].letter != '.' && m->before[g][0] != '-')
            m->before[g][n] = 'F';
        if (!says_not && m->after[g][0] != '-' && strlen(m->after[g]) == n)
            m->after[g][n] = 'F';
    }
    if (due && strlen(k->live.after[0]) > n && m->found[0][n].source != FROM_VICTIM)
        return delivery_fail(m, "message %zu is that of one who died before it was put", n);
    return true;
}

bool keep_check_copy(struct keep_scene *k, bool due)
{
    enum keep_kind kind = k->op->plan->kind;
    struct delivery_scene *m = &k->made;

    if (!k->was_there)
        return (!due && (kind == KEEP_CREATES || kind == KEEP_SAVES_OTHER)) ||
               keep_fail(k, "there is no file");
    memset(m->before, 0, sizeof(m->before));
    memset(m->after, 0, sizeof(m->after));
    bool good = make(k);
    if (good) {
        expect(k, due);
        good = delivery_inspect_all(m, &m->fresh) && expect_corpse(k, due) &&
               delivery_judge(m, &m->fresh, due) && delivery_carry_on(m);
    }
    unmake(k);
    return good;
}

/* --- later ---------------------------------------------------------------------------------- */

static uint64_t next_id(const struct delivery_scene *s)
{
    return sq_load(&s->survivor.queue->segment.ring.producer->next_id);
}

static bool same_message(struct keep_scene *k, unsigned g, unsigned i)
{
    const struct delivery_found *a = &k->live.found[g][i], *b = &k->made.found[g][i];
    char due = in_file(a->letter);

    due = due == 'R' ? 'F' : due;
    if (b->letter == due && (due == '.' || (b->source == a->source && b->attempts == a->attempts)))
        return true;
    if (k->op->plan->ahead && b->letter == delivery_letter_after(&k->live, g, i))
        return true;
    return delivery_fail(&k->made,
                         "later: message %u of group %u is %c of %u with %u attempts, and in the "
                         "queue %c of %u with %u",
                         i, g, b->letter, b->source, b->attempts, a->letter, a->source,
                         a->attempts);
}

static bool same_group(struct keep_scene *k, unsigned g)
{
    struct delivery_scene *s = &k->live, *m = &k->made;
    struct shmq_group_stats ours, theirs;
    struct shmq_policy our_policy, their_policy;

    if (s->is_there[g] != m->is_there[g])
        return (k->op->plan->ahead && m->is_there[g] == (s->after[g][0] != '-')) ||
               delivery_fail(m, "later: group %u is %sthere", g, m->is_there[g] ? "" : "not ");
    if (!s->is_there[g])
        return true;
    for (unsigned i = 0; i < DELIVERY_MESSAGES; i++)
        if (i + 1 < next_id(s) && !same_message(k, g, i))
            return false;
    if (shmq_group_stats(s->fresh.group[g], &ours) != 0 ||
        shmq_group_stats(m->fresh.group[g], &theirs) != 0 ||
        shmq_policy_of(s->fresh.group[g], &our_policy) != 0 ||
        shmq_policy_of(m->fresh.group[g], &their_policy) != 0)
        return delivery_fail(m, "the group's figures: %s", shmq_last_error_detail());
    if (ours.paused != theirs.paused)
        return delivery_fail(m, "later: the group is %spaused", theirs.paused ? "" : "not ");
    return memcmp(&our_policy, &their_policy, sizeof(our_policy)) == 0 ||
           delivery_fail(m, "later: the group has another policy");
}

static bool same_ids(struct keep_scene *k)
{
    const struct sq_producer_shm *ours = k->live.survivor.queue->segment.ring.producer;
    const struct sq_producer_shm *theirs = k->made.survivor.queue->segment.ring.producer;
    unsigned long long next = sq_load(&ours->next_id), part = sq_load(&ours->part_id);

    if (sq_load(&theirs->next_id) == next && sq_load(&theirs->part_id) == part)
        return true;
    return delivery_fail(&k->made,
                         "later: the next id is %llu and the part's %llu, not %llu and %llu",
                         (unsigned long long)sq_load(&theirs->next_id),
                         (unsigned long long)sq_load(&theirs->part_id), next, part);
}

bool keep_check_same(struct keep_scene *k, bool has_put)
{
    struct delivery_scene *m = &k->made;
    bool good = keep_copy(k);

    if (good && !k->was_there)
        return keep_fail(k, "there is no file");
    good = good && make(k) && delivery_inspect_all(m, &m->fresh);
    for (unsigned g = 0; good && g < m->group_count; g++)
        good = same_group(k, g);
    if (good && has_put)
        good = same_ids(k);
    unmake(k);
    return good;
}
