/*
 * crash_delivery_check.c - what must hold once the victim of `crash_delivery` is dead.
 *
 *  1. Each message is in one state, once, whole, in each group; it is where it was before
 *     or where it is after the operation, all of them alike unless the operation is one
 *     that does one after the other, and certainly after it if it had returned.
 *  2. What the dead one had leased waits again, with its deliveries counted.  What was to
 *     be a dead letter is one, in one place.
 *  3. When both sides have been entered, all derived fields are what the truth says.
 *  4. Survivors get on at once, through a handle from before and through a new one.
 *  5. No slot, lock, entry or key stays taken.
 */
#include "crash/crash_delivery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "group/pending.h"
#include "group/pending_rebuild.h"

bool delivery_in_time(struct delivery_scene *s, int64_t begun_ns, const char *what)
{
    int64_t took_ns = helper_now_ns() - begun_ns;

    return took_ns < HELPER_LATE_NS ||
           delivery_fail(s, "%s took %lld ms", what, (long long)(took_ns / 1000000));
}

/* --- what is there ---------------------------------------------------------------- */

static char letter_of(uint32_t state, bool was_updated)
{
    switch (state) {
    case SHMQ_WAITING:
        return was_updated ? 'U' : 'F';
    case SHMQ_DELAYED:
        return 'D';
    case SHMQ_LEASED:
        return 'L';
    case SHMQ_DEAD:
        return 'P';
    default:
        return '?';
    }
}

/* Whether it is what was put under its number; which is then in *i. */
static bool check_content(struct delivery_scene *s, const void *bytes, ssize_t length, uint64_t id,
                          struct message_head *head, unsigned *i)
{
    if (!message_whole(bytes, length, head))
        return delivery_fail(s, "message %llu is torn: %zd bytes", (unsigned long long)id, length);
    *i = head->seq;
    if (head->seq >= DELIVERY_MESSAGES || head->source > FROM_UPDATE)
        return delivery_fail(s, "message %u of %u was never put", head->seq, head->source);
    return true;
}

bool delivery_inspect(struct delivery_scene *s, shmq_t *g, unsigned group)
{
    const unsigned states = SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD;
    unsigned char bytes[DELIVERY_CAPACITY];
    struct delivery_found *found = s->found[group];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int64_t begun_ns = helper_now_ns();
    struct message_head head;
    uint64_t place = 0;
    ssize_t n;
    unsigned i;

    memset(found, 0, sizeof(s->found[group]));
    for (i = 0; i < DELIVERY_MESSAGES; i++)
        found[i].letter = '.';
    while ((n = shmq_inspect(g, states, &place, &msg, bytes, sizeof(bytes))) >= 0) {
        if (!check_content(s, bytes, n, msg.id, &head, &i))
            return false;
        if (msg.id != i + 1)
            return delivery_fail(s, "message %u has id %llu", i, (unsigned long long)msg.id);
        if (found[i].times++ > 0)
            return delivery_fail(s, "group %u has message %u twice: %c and %c", group, i,
                                 found[i].letter, letter_of(msg.state, false));
        found[i].letter = letter_of(msg.state, head.source == FROM_UPDATE);
        found[i].attempts = msg.attempts;
        found[i].source = head.source;
        if (i >= s->message_count)
            s->message_count = i + 1;
    }
    if (n != -EAGAIN)
        return delivery_fail(s, "inspecting group %u: %s (%s)", group, shmq_strerror((int)n),
                             shmq_last_error_detail());
    return delivery_in_time(s, begun_ns, "inspecting");
}

/* Enter the producer's side, and change nothing. */
static bool enter_producer(struct delivery_scene *s, shmq_t *q)
{
    int64_t begun_ns = helper_now_ns();
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    int rc = sq_enter(q, SQ_ROLE_PRODUCER, &deadline);

    if (rc != 0)
        return delivery_fail(s, "the producer's side: %s", shmq_strerror(rc));
    sq_leave(q, SQ_ROLE_PRODUCER);
    return delivery_in_time(s, begun_ns, "entering the producer's side");
}

/* Enter in found[0] what is in the dead-letter queue. */
static bool add_letters(struct delivery_scene *s)
{
    unsigned char bytes[DELIVERY_CAPACITY];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct message_head head;
    uint64_t place = 0;
    shmq_t *letters;
    ssize_t n;
    unsigned i;

    int rc = shmq_open(&letters, s->letters, 0, NULL);
    if (rc != 0)
        return rc == -ENOENT || delivery_fail(s, "the dead letters: %s", shmq_strerror(rc));
    while ((n = shmq_inspect(letters, SHMQ_WAITING, &place, &msg, bytes, sizeof(bytes))) >= 0) {
        if (!check_content(s, bytes, n, msg.id, &head, &i))
            break;
        const char *id = shmq_header_value(&msg, "shmq-id");
        if (id == NULL || strtoul(id, NULL, 10) != i + 1 ||
            shmq_header_value(&msg, "shmq-reason") == NULL)
            delivery_fail(s, "dead letter %u does not say what it was", i);
        if (s->found[0][i].times++ > 0)
            delivery_fail(s, "message %u is a dead letter, and also %c", i, s->found[0][i].letter);
        s->found[0][i].letter = 'Q';
    }
    if (n != -EAGAIN && s->failures == 0)
        delivery_fail(s, "inspecting dead letters: %s", shmq_strerror((int)n));
    if (n == -EAGAIN && enter_producer(s, letters)) {
        const char *wrong = sq_ring_valid(&letters->segment.ring);
        if (wrong != NULL)
            delivery_fail(s, "dead-letter queue: %s", wrong);
    }
    shmq_close(letters);
    return s->failures == 0;
}

/* --- what must be there -------------------------------------------------------------- */

/* As what a letter of before or after is found, when all is settled. */
static char settled(const struct delivery_scene *s, char letter, char after)
{
    switch (letter) {
    case '\0':
    case 'g':
    case 'G':
        return '.';
    case 'R':
        return 'F';
    case 'u':
        return 'U';
    case 'd':
        return 'D';
    case 'S':
        return 'L';
    case 'L':
        return s->op->lost == 'P' || s->op->lost == 'Q' ? s->op->lost : 'F';
    case 'x':
    case 'X':
        return settled(s, after, after);
    default:
        return letter;
    }
}

static char letter_at(const char *letters, unsigned i)
{
    return i < strlen(letters) ? letters[i] : '\0';
}

char delivery_letter_after(const struct delivery_scene *s, unsigned group, unsigned i)
{
    char a = letter_at(s->after[group], i);

    return settled(s, a, a);
}

static bool check_attempts(struct delivery_scene *s, unsigned g, unsigned i, bool due)
{
    const struct delivery_found *f = &s->found[g][i];
    char b = letter_at(s->before[g], i), a = letter_at(s->after[g], i);
    uint32_t least = s->attempts[g][i], most = least + 1;

    if (strchr(".Q", f->letter) != NULL)
        return true;
    if ((s->op->traits & FORGETS) != 0 && b != a)
        least = 0;
    else if (due && a == 'L' && b != 'L')
        least = most;
    if (f->attempts != least)
        s->happened |= s->op->corpse == NOBODY && (s->op->traits & FORGETS) == 0;
    return (f->attempts >= least && f->attempts <= most) ||
           delivery_fail(s, "message %u had %u attempts and has %u", i, s->attempts[g][i],
                         f->attempts);
}

/* How a group's letters are found, for people. */
static const char *show(const struct delivery_scene *s, unsigned g)
{
    static char text[DELIVERY_MESSAGES + 1];
    size_t n =
        strlen(s->before[g]) > strlen(s->after[g]) ? strlen(s->before[g]) : strlen(s->after[g]);

    for (unsigned i = 0; i < n; i++)
        text[i] = s->found[g][i].letter;
    text[n] = '\0';
    return s->is_there[g] ? text : "-";
}

/* Whether all of the groups are as before, or as after. */
static bool match(struct delivery_scene *s, bool due)
{
    bool as_before = true, as_after = true, mixed = true;

    for (unsigned g = 0; g < s->group_count; g++) {
        bool was = s->before[g][0] != '-', will_be = s->after[g][0] != '-';
        as_before = as_before && s->is_there[g] == was;
        as_after = as_after && s->is_there[g] == will_be;
        for (unsigned i = 0; s->is_there[g] && i < DELIVERY_MESSAGES; i++) {
            char b = letter_at(s->before[g], i), a = letter_at(s->after[g], i);
            bool is_before = was && s->found[g][i].letter == settled(s, b, a);
            bool is_after = will_be && s->found[g][i].letter == settled(s, a, a);
            as_before = as_before && is_before;
            as_after = as_after && is_after;
            mixed = mixed && (is_before || is_after);
        }
    }
    s->happened |= !as_before;
    if (!(as_after || (!due && (as_before || ((s->op->traits & BY_EACH) != 0 && mixed)))))
        return delivery_fail(s, "found %s%s%s", show(s, 0), s->group_count > 1 ? " and " : "",
                             s->group_count > 1 ? show(s, 1) : "");
    for (unsigned g = 0; g < s->group_count; g++)
        for (unsigned i = 0; s->is_there[g] && i < DELIVERY_MESSAGES; i++)
            if (!check_attempts(s, g, i, due))
                return false;
    return true;
}

bool delivery_check_report(struct delivery_scene *s)
{
    const struct delivery_page *page = s->page;
    struct message_head head;
    unsigned first;

    if (page->rc != s->op->rc)
        return delivery_fail(s, "the operation returned %lld (%s)", (long long)page->rc,
                             shmq_strerror((int)page->rc));
    for (unsigned n = 0; n < page->got_count; n++) {
        unsigned i = (unsigned)page->got_ids[n] - 1;
        char b = letter_at(s->before[0], i), a = letter_at(s->after[0], i);
        if (a == b || strchr("LU.", a) == NULL)
            return delivery_fail(s, "message %u was handed out", i);
    }
    return page->got_count == 0 ||
           check_content(s, page->got, (ssize_t)page->got_length, page->got_ids[0], &head, &first);
}

/* --- carrying on ------------------------------------------------------------------------ */

void delivery_see_groups(struct delivery_scene *s)
{
    struct shmq_group_stats list[DELIVERY_GROUPS];
    int n = shmq_groups(s->survivor.queue, list, DELIVERY_GROUPS);

    for (unsigned g = 0; g < DELIVERY_GROUPS; g++) {
        s->is_there[g] = !delivery_is_topic(s->op) && g == 0;
        for (int i = 0; delivery_is_topic(s->op) && i < n && i < DELIVERY_GROUPS; i++)
            s->is_there[g] |= strcmp(list[i].name, delivery_group_names[g]) == 0;
    }
}

static bool open_fresh(struct delivery_scene *s)
{
    int64_t begun_ns = helper_now_ns();
    int rc = delivery_open(s, &s->fresh, s->is_there);

    if (rc != 0)
        return delivery_fail(s, "cannot attach: %s (%s)", shmq_strerror(rc),
                             shmq_last_error_detail());
    return delivery_in_time(s, begun_ns, "attaching");
}

static unsigned count_handles(const struct delivery_handles *h)
{
    unsigned n = h->queue != NULL;

    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        n += h->group[g] != NULL && h->group[g] != h->queue;
    return n;
}

/* A sweep, as at a time so much later, leaves our own slots in use. */
static bool sweep(struct delivery_scene *s, int64_t later_ns)
{
    shmq_t *q = s->survivor.queue;
    unsigned used = 0, due = count_handles(&s->survivor) + count_handles(&s->fresh);

    sq_attach_sweep(&q->segment, &q->attachment, helper_now_ns() + later_ns, SQ_SWEEP_EVERY_NS);
    for (uint32_t i = 0; i < q->segment.slot_count; i++)
        used += sq_load(&q->segment.slots[i].state) != SQ_SLOT_FREE;
    return used == due || delivery_fail(s, "%u slots are in use after a sweep, not %u", used, due);
}

/* The members of a removed group are told so; and perhaps of one that was about to be
 * removed, which they can join again. */
static bool check_removed(struct delivery_scene *s, unsigned g)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    shmq_t *member = s->survivor.group[g];

    if (member == NULL || s->after[g][0] != '-' ||
        (s->is_there[g] && !sq_consumer_is_stale(member)))
        return true;
    int rc = shmq_receive(member, &msg, SHMQ_NOWAIT);
    if (rc != -ESTALE)
        return delivery_fail(s, "a receive of a removed group: %s", shmq_strerror(rc));
    shmq_close(member);
    s->survivor.group[g] = NULL;
    return true;
}

bool delivery_settle(struct delivery_scene *s, const struct delivery_handles *h)
{
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++) {
        int64_t begun_ns = helper_now_ns();
        if (!s->is_there[g])
            continue;
        ssize_t n = shmq_get(h->group[g], NULL, 0, NULL, SHMQ_NOWAIT);
        if (n != -EMSGSIZE && n != -EAGAIN)
            return delivery_fail(s, "a get without a buffer: %zd (%s)", n,
                                 n < 0 ? shmq_strerror((int)n) : "");
        if (!delivery_in_time(s, begun_ns, "a get without a buffer"))
            return false;
    }
    return true;
}

static bool check_derived(struct delivery_scene *s)
{
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++) {
        if (!s->is_there[g])
            continue;
        const struct sq_ring *ring = &s->fresh.group[g]->segment.ring;
        const char *wrong = sq_ring_valid(ring);
        if (wrong == NULL)
            wrong = sq_pending_valid(ring);
        if (wrong != NULL)
            return delivery_fail(s, "group %u: %s", g, wrong);
    }
    return true;
}

bool delivery_inspect_all(struct delivery_scene *s, const struct delivery_handles *h)
{
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (s->is_there[g] && h->group[g] != NULL && !delivery_inspect(s, h->group[g], g))
            return false;
    return true;
}

static bool verify(struct delivery_scene *s, const struct delivery_handles *h, bool due)
{
    return s->op->verify == NULL || s->op->verify(s, h->group[0], due);
}

/* The first to come, in three manners. */
static bool come_first(struct delivery_scene *s)
{
    unsigned manner = s->victim.point % 3;
    bool swept = manner == 0;

    /* Swept at once, so that the newcomers take the dead one's slots. */
    if (manner == 0 && !sweep(s, SHMQ_SEC(2)))
        return false;
    /* Somebody from before comes before any newcomer. */
    if (manner == 2 &&
        !(enter_producer(s, s->survivor.queue) && delivery_inspect_all(s, &s->survivor)))
        return false;
    if (!open_fresh(s) || !enter_producer(s, s->fresh.queue) || !delivery_inspect_all(s, &s->fresh))
        return false;
    return swept || sweep(s, SHMQ_SEC(2));
}

static bool check_slots(struct delivery_scene *s)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    const struct sq_segment *segment = &s->survivor.queue->segment;
    struct shmq_process list[16];
    int n = shmq_attached(s->survivor.queue, list, 16);

    for (int i = 0; i < n; i++)
        if (list[i].pid != getpid())
            return delivery_fail(s, "process %d is listed as attached", (int)list[i].pid);
    if (!sweep(s, SHMQ_SEC(6)))
        return false;
    if (sq_load(&segment->ring.producer->lock.owner) != 0)
        return delivery_fail(s, "the producer's lock is taken");
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (s->is_there[g] && sq_load(&s->fresh.group[g]->segment.ring.group->lock.owner) != 0)
            return delivery_fail(s, "the lock of group %u is taken", g);
    shmq_stats(s->survivor.queue, &stats);
    s->recoveries = (unsigned)stats.recoveries;
    return true;
}

const struct delivery_handles *delivery_some_handles(const struct delivery_scene *s)
{
    const struct delivery_handles *h = s->victim.point % 2 == 0 ? &s->survivor : &s->fresh;

    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (s->is_there[g] && s->survivor.group[g] == NULL)
            h = &s->fresh;
    return h;
}

bool delivery_come(struct delivery_scene *s)
{
    delivery_see_groups(s);
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (!check_removed(s, g))
            return false;
    return come_first(s);
}

bool delivery_judge(struct delivery_scene *s, const struct delivery_handles *h, bool due)
{
    return verify(s, h, due) && delivery_settle(s, h) && delivery_inspect_all(s, h) &&
           add_letters(s) && match(s, due) && check_derived(s);
}

bool delivery_carry_on(struct delivery_scene *s)
{
    return delivery_drain(s) && delivery_work_on(s) && check_derived(s) && check_slots(s);
}

void delivery_check(struct delivery_scene *s)
{
    bool due = s->page->done != 0 || s->victim.released;

    if ((s->page->done == 0 || delivery_check_report(s)) && delivery_come(s) &&
        delivery_judge(s, delivery_some_handles(s), due))
        delivery_carry_on(s);
}
