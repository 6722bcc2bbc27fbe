/*
 * power_journal_flood.c - a run in which threads of several processes put and acknowledge at
 * once, so that one sync keeps the promises of several, while another process rewrites the
 * journal.
 *
 * Nobody can say in which order they come, but each says when a call has returned, and a
 * consumer when it begins to acknowledge.  So of each producer, whose messages are numbered:
 * those that were put are there, perhaps the next one, and none after that; but for those
 * whose acknowledgement has returned, and perhaps those where it has begun.
 */
#include "crash/power_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/message.h"

enum {
    PROCESSES = 2,
    PRODUCERS = 4, /* threads in all, and half as many consumers */
    EACH = 45,     /* messages of a producer */
    ACKS = 50,     /* of a consumer */
    SAVES = 6,
    LONGEST = 700,
};

struct thread {
    pthread_t thread;
    shmq_t *q;
    unsigned number;
    uint64_t random;
};

static void say(char what, unsigned source, unsigned seq)
{
    char text[40];

    snprintf(text, sizeof(text), "%c %u %u", what, source, seq);
    journal_must(disk_say(text), "no recorder", 0);
}

/* --- the run ------------------------------------------------------------------------- */

static void *produce(void *arg)
{
    struct thread *t = arg;
    unsigned char bytes[LONGEST];

    for (unsigned seq = 1; seq <= EACH; seq++) {
        size_t length = sizeof(struct message_head) +
                        journal_random(&t->random, LONGEST - sizeof(struct message_head));
        message_build(bytes, t->number, seq, length);
        int rc = shmq_put(t->q, bytes, length, SHMQ_SEC(20));
        journal_must(rc == 0, "put", rc);
        say('P', t->number, seq);
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct thread *t = arg;
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct message_head head;

    for (unsigned n = 0; n < ACKS; n++) {
        int rc = shmq_receive(t->q, &msg, SHMQ_SEC(20));
        journal_must(rc == 0 && message_whole(msg.data, (ssize_t)msg.length, &head), "receive", rc);
        say('B', head.source, head.seq);
        rc = shmq_ack(t->q, &msg);
        journal_must(rc == 0, "ack", rc);
        say('A', head.source, head.seq);
    }
    return NULL;
}

static int be_process(const char *queue, unsigned number, uint64_t seed)
{
    enum { THREADS = PRODUCERS / PROCESSES + 1 };
    struct thread threads[THREADS];
    shmq_t *q;
    int rc = shmq_open(&q, queue, 0, NULL);

    journal_must(rc == 0, "open", rc);
    for (unsigned i = 0; i < THREADS; i++) {
        struct thread *t = &threads[i];
        *t = (struct thread){.q = q, .number = number * (THREADS - 1) + i, .random = seed + i};
        rc = pthread_create(&t->thread, NULL, i < THREADS - 1 ? produce : consume, t);
        journal_must(rc == 0, "a thread", rc);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    return shmq_close(q);
}

int flood_run(const struct disk_place *place, const char *queue, uint64_t seed)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    pid_t pids[PROCESSES];
    char path[128];
    shmq_t *q;
    int status, bad = 0;

    snprintf(path, sizeof(path), "%s/file", place->folder);
    attr.snapshot = path;
    attr.journal = SHMQ_JOURNAL_ALWAYS;
    int rc = shmq_open(&q, queue, SHMQ_CREATE | SHMQ_EXCL, &attr);
    journal_must(rc == 0, "open", rc);
    for (unsigned i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            exit(be_process(queue, i, seed * 100 + i * 10));
        }
    }
    for (unsigned i = 0; i < SAVES; i++) {
        rc = shmq_save(q, NULL);
        journal_must(rc == 0 || rc == -ETIMEDOUT, "save", rc); /* on a busy machine */
        usleep(3000);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
        bad += status != 0;
    }
    shmq_close(q);
    return shmq_unlink(queue) == 0 && bad == 0 ? 0 : 1;
}

/* --- its states ------------------------------------------------------------------------- */

enum ack { ACK_NONE, ACK_BEGUN, ACK_DONE };

struct flood {
    const char *queue;
    bool any; /* something has been said: there is a file */
    unsigned put[PRODUCERS];
    enum ack acks[PRODUCERS][EACH + 2];
    bool seen[PRODUCERS][EACH + 2];
    uint64_t empty, early, unsure_gone, unsure_there;
};

static void hear(const char *text, void *arg)
{
    struct flood *f = arg;
    unsigned source, seq;
    char what;

    f->any = true;
    if (sscanf(text, "%c %u %u", &what, &source, &seq) != 3 || source >= PRODUCERS || seq > EACH)
        journal_must(false, "a note", 0);
    if (what == 'P')
        f->put[source] = seq;
    else
        f->acks[source][seq] = what == 'B' ? ACK_BEGUN : ACK_DONE;
}

/* All that is in the queue.  NULL, or what is wrong. */
static const char *look(struct flood *f, shmq_t *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    unsigned last[PRODUCERS] = {0};
    struct message_head head;
    uint64_t id = 0;
    int rc;

    memset(f->seen, 0, sizeof(f->seen));
    while ((rc = shmq_receive(q, &msg, SHMQ_NOWAIT)) == 0) {
        if (!message_whole(msg.data, (ssize_t)msg.length, &head) || head.source >= PRODUCERS ||
            head.seq == 0 || head.seq > EACH)
            return "a message is torn, or invented";
        if (msg.id <= id || head.seq <= last[head.source])
            return "messages do not come in order";
        id = msg.id;
        last[head.source] = head.seq;
        f->seen[head.source][head.seq] = true;
        if (shmq_ack(q, &msg) != 0)
            return "ack";
    }
    return rc == -EAGAIN ? NULL : "receive";
}

static const char *judge(struct flood *f)
{
    for (unsigned p = 0; p < PRODUCERS; p++)
        for (unsigned seq = 1; seq <= EACH; seq++) {
            bool seen = f->seen[p][seq];
            enum ack ack = f->acks[p][seq];
            if (seq > f->put[p] + 1 && seen)
                return "a message is there whose put had not begun";
            if (ack == ACK_DONE && seen)
                return "a message has come back that was acknowledged";
            if (seq <= f->put[p] && ack == ACK_NONE && !seen)
                return "a message is lost";
            f->early += seq == f->put[p] + 1 && seen;
            f->unsure_gone += ack == ACK_BEGUN && !seen;
            f->unsure_there += ack == ACK_BEGUN && seen;
        }
    return NULL;
}

static int check(const struct disk_state *s, void *arg)
{
    struct flood *f = arg;
    char path[128], name[80];
    shmq_t *q;

    snprintf(path, sizeof(path), "%s/file", s->folder);
    snprintf(name, sizeof(name), "%s.again", f->queue);
    int rc = shmq_load(name, path);
    if (rc == -ENOENT && !f->any) {
        f->empty++;
        return 0;
    }
    const char *wrong = rc < 0 ? "no queue could be made" : NULL;
    if (rc == 0 && shmq_open(&q, name, 0, NULL) == 0) {
        wrong = look(f, q);
        if (wrong == NULL)
            wrong = judge(f);
        shmq_close(q);
        shmq_unlink(name);
    }
    if (wrong == NULL)
        return 0;
    fprintf(stderr,
            "power_journal --config flood --seed %" PRIu64 ", STATE='%" PRIu64 " %u', "
            "after '%s': %s: %d (%s)\n",
            s->seed, s->prefix, s->variant, s->note, wrong, rc,
            rc < 0 ? shmq_last_error_detail() : "");
    return 1;
}

void flood_check(const struct disk_place *place, const char *queue, uint64_t seed, uint64_t most)
{
    static struct flood f;
    struct disk_plan plan = {
        .log = place->log,
        .folder = place->made,
        .seed = seed,
        .variants = 12,
        .most = most,
        .check = check,
        .note = hear,
        .arg = &f,
    };

    f = (struct flood){.queue = queue};
    int64_t states = disk_states(&plan);
    journal_must(states > 0, "states", states);
    printf("%-10s %6" PRId64 " states: %" PRIu64 " puts under way were there, of acknowledgements "
           "under way %" PRIu64 " held and %" PRIu64 " did not, %" PRIu64 " without a file\n",
           "flood", states, f.early, f.unsure_gone, f.unsure_there, f.empty);
    journal_must(disk_is_one() || (f.early > 0 && f.unsure_gone > 0 && f.unsure_there > 0),
                 "too few kinds of states", 0);
}
