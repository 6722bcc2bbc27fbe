/*
 * crash_file_check.c - what must hold once the victim of `crash_file` is dead; told in
 * crash_file.c.
 */
#include "crash/crash_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "handle/handle.h"

/* --- what is left around -------------------------------------------------------------- */

/* Nothing is in /dev/shm of ours but the queue, which has its file, and the one for dead
 * letters. */
static bool check_objects(struct keep_scene *k)
{
    char prefix[64], name[80], letters[80];
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    bool good = true;

    snprintf(prefix, sizeof(prefix), "shmq.%s", helper_name(""));
    snprintf(name, sizeof(name), "shmq.%s", k->live.name);
    snprintf(letters, sizeof(letters), "shmq.%s", k->live.letters);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        bool is_queue = strcmp(entry->d_name, name) == 0;
        if (is_queue && !k->was_there && keep_has_own(k))
            good = keep_fail(k, "there is the queue, and not its file");
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && !is_queue &&
            strcmp(entry->d_name, letters) != 0)
            good = keep_fail(k, "in /dev/shm there is %s", entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return good;
}

/* The file is alone in its folder. */
static bool check_folder(struct keep_scene *k)
{
    DIR *dir = opendir(k->folder);
    struct dirent *entry;
    bool good = true;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "file") != 0)
            good = keep_fail(k, "after another save there still is %s", entry->d_name);
    if (dir != NULL)
        closedir(dir);
    return good;
}

static bool check_lock(struct keep_scene *k)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int fd = open(k->live.file.path, O_RDWR | O_CLOEXEC);
    bool is_free = fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0;

    close(fd);
    return is_free || keep_fail(k, "somebody has the file's lock");
}

/* --- the queue goes on ---------------------------------------------------------------- */

/* Where nobody was attached: somebody comes. */
static bool open_late(struct keep_scene *k)
{
    struct delivery_scene *s = &k->live;
    int64_t begun_ns = helper_now_ns();
    bool there[DELIVERY_GROUPS];
    shmq_t *q = NULL;
    int rc = 0;

    if (s->survivor.queue != NULL)
        return true;
    if (k->op->plan->kind == KEEP_LOADS) {
        rc = shmq_load(s->name, s->file.path);
        s->happened = rc == -EEXIST;
        if (rc == 0 && s->page->done != 0)
            return keep_fail(k, "what was loaded is not there");
        rc = rc == -EEXIST ? 0 : rc;
        if (rc == 0)
            rc = shmq_open(&q, s->name, 0, NULL);
    } else {
        rc = delivery_create(s, 0, &q);
    }
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        there[g] = g < s->group_count && s->before[g][0] != '-';
    if (rc == 0)
        rc = delivery_open(s, &s->survivor, there);
    shmq_close(q);
    if (rc != 0)
        return keep_fail(k, "opening it: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    return delivery_in_time(s, begun_ns, "opening");
}

static bool save(struct keep_scene *k, shmq_t *q)
{
    int64_t begun_ns = helper_now_ns();
    int rc = keep_save(k, q);

    if (rc != 0)
        return keep_fail(k, "a survivor's save: %s (%s)", shmq_strerror(rc),
                         shmq_last_error_detail());
    return delivery_in_time(&k->live, begun_ns, "saving");
}

/* One more is put, groups are entered, a snapshot is saved: the file says what there is. */
static bool go_on(struct keep_scene *k, const struct delivery_handles *h)
{
    struct delivery_scene *s = &k->live;
    uint64_t next_id = sq_load(&s->survivor.queue->segment.ring.producer->next_id);
    bool is_full = (s->op->traits & (FILLS | DROPS)) == FILLS;

    if (!is_full && !delivery_put(s, (unsigned)next_id - 1, 'F'))
        return false;
    if (!delivery_settle(s, h) || !delivery_inspect_all(s, &s->fresh))
        return false;
    if ((s->file.journal == 0 || !keep_has_own(k)) && !save(k, h->queue))
        return false;
    return keep_check_same(k, !is_full);
}

static bool check_locks(struct keep_scene *k)
{
    const struct sq_file_shm *f = k->live.survivor.queue->segment.file;

    if (sq_load(&f->saver.owner) != 0 || sq_load(&f->lock.owner) != 0 ||
        sq_load(&f->sync.owner) != 0)
        return keep_fail(k, "a lock of the file is taken");
    return sq_load(&f->pin_pos) == SQ_NO_PIN || keep_fail(k, "the ring is pinned");
}

/* All have left, and it was removed: the file makes it again. */
static bool come_again(struct keep_scene *k)
{
    struct delivery_scene *s = &k->live;
    uint64_t next_id = sq_load(&s->survivor.queue->segment.ring.producer->next_id);
    shmq_t *q;

    delivery_close(&s->fresh);
    delivery_close(&s->survivor);
    if (!check_lock(k))
        return false;
    int rc = shmq_unlink(s->name);
    if (rc == 0 && !keep_has_own(k))
        rc = shmq_load(NULL, s->file.path);
    if (rc == 0)
        rc = keep_has_own(k) ? delivery_create(s, 0, &q) : shmq_open(&q, s->name, 0, NULL);
    if (rc != 0)
        return keep_fail(k, "opening it in the end: %s (%s)", shmq_strerror(rc),
                         shmq_last_error_detail());
    if (sq_load(&q->segment.ring.producer->next_id) != next_id || shmq_depth(q) != 0)
        keep_fail(k, "in the end the next id is %llu, not %llu, and the depth %lld",
                  (unsigned long long)sq_load(&q->segment.ring.producer->next_id),
                  (unsigned long long)next_id, (long long)shmq_depth(q));
    shmq_close(q);
    return s->failures == 0;
}

void keep_check(struct keep_scene *k)
{
    struct delivery_scene *s = &k->live;
    bool due = s->page->done != 0;

    if ((due && !delivery_check_report(s)) || !keep_copy(k) || !check_objects(k) ||
        !keep_await_beside(k) || !keep_check_copy(k, due) || !open_late(k) || !delivery_come(s))
        return;
    const struct delivery_handles *h = delivery_some_handles(s);
    if (!delivery_settle(s, h) || !delivery_inspect_all(s, &s->fresh))
        return;
    /* What a handle says of its group is told apart, and put right again. */
    if (s->op->verify != NULL && !keep_check_same(k, false))
        return;
    if (delivery_judge(s, h, due) && go_on(k, h) && delivery_carry_on(s) &&
        save(k, s->fresh.queue) && check_folder(k) && check_locks(k))
        come_again(k);
}
