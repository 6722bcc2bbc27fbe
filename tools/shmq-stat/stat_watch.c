/*
 * stat_watch.c - the queues that shmq-stat watches, see stat_watch.h.
 *
 * A queue stays open between reports, so that its figures are those of one and
 * the same queue: one that was removed and made anew under its name starts anew
 * here too.  It is let go at the first report after its removal.
 */
#include "shmq-stat/stat_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "shmq-stat/stat_scan.h"

static bool is_watched(const struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->list[i].name, name) == 0)
            return true;
    return false;
}

int watch_add(struct watch *w, const char *name)
{
    struct watched *list;
    char *copy;

    if (name[0] == '/')
        name++;
    if (is_watched(w, name))
        return 0;
    list = realloc(w->list, (w->count + 1) * sizeof(*list));
    copy = strdup(name);
    if (list)
        w->list = list;
    if (!list || !copy) {
        free(copy);
        return -ENOMEM;
    }
    w->list[w->count++] = (struct watched){.name = copy, .named = !w->all};
    return 0;
}

static void complain(struct watch *w, struct watched *one, int error)
{
    int status;

    if (one->complained)
        return;
    one->complained = true;
    status = cli_failure(error, "%s", one->name);
    /* Nothing here waits for anything, so "nothing came" is a failure as well. */
    if (status == CLI_NOTHING)
        status = CLI_FAILURE;
    w->status = status > w->status ? status : w->status;
}

static void let_go(struct watched *one)
{
    shmq_close(one->q);
    one->q = NULL;
    one->has_before = false;
}

/* Room for those who attach between the two calls is left, or they are cut. */
static int read_processes(struct watched *one)
{
    int count = shmq_attached(one->q, NULL, 0);
    struct shmq_process *list;
    unsigned room;

    if (count < 0)
        return count;
    room = (unsigned)count + 8;
    one->process_count = 0; /* there may be less room now than for those of the last time */
    list = realloc(one->processes, room * sizeof(*list));
    if (!list)
        return -ENOMEM;
    one->processes = list;
    count = shmq_attached(one->q, list, room);
    if (count < 0)
        return count;
    one->process_count = (unsigned)count < room ? (unsigned)count : room;
    return 0;
}

/* As read_processes(), of its groups. */
static int read_groups(struct watched *one)
{
    int count = shmq_groups(one->q, NULL, 0);
    struct shmq_group_stats *list;
    unsigned room;

    if (count < 0)
        return count;
    room = (unsigned)count + 2;
    one->group_count = 0;
    list = realloc(one->groups, room * sizeof(*list));
    if (!list)
        return -ENOMEM;
    one->groups = list;
    count = shmq_groups(one->q, list, room);
    if (count < 0)
        return count;
    one->group_count = (unsigned)count < room ? (unsigned)count : room;
    return 0;
}

/* Read one that is open.  -ESTALE: it has been removed. */
static int read_open(const struct watch *w, struct watched *one)
{
    int error;

    one->now.size = sizeof(one->now);
    error = shmq_stats(one->q, &one->now);
    one->now_ns = cli_now_ns();
    if (error == 0 && one->now.unlinked)
        error = -ESTALE;
    one->file.size = sizeof(one->file);
    if (error == 0)
        error = shmq_file_stats(one->q, &one->file);
    if (error == 0)
        error = read_groups(one);
    if (error == 0 && w->want_processes)
        error = read_processes(one);
    if (error == 0 && (w->want_dead || w->want_priorities))
        error = stat_look(w, one);
    return error;
}

static void sample_one(struct watch *w, struct watched *one)
{
    int error = 0;

    if (one->q) {
        one->before = one->now;
        one->before_ns = one->now_ns;
        one->has_before = true;
        error = read_open(w, one);
        if (error)
            let_go(one);
    }
    /* Another queue may have the name by now. */
    if (!one->q && (error == 0 || error == -ESTALE)) {
        int reopen = shmq_open(&one->q, one->name, SHMQ_RDONLY, NULL);

        if (reopen == 0)
            error = read_open(w, one);
        else if (error == 0 || reopen != -ENOENT)
            error = reopen;
        if (error && one->q)
            let_go(one);
    }
    one->fresh = error == 0;
    if (error == 0)
        one->complained = false;
    /* Among all queues one that goes away is no news. */
    else if (one->named || (error != -ENOENT && error != -ESTALE))
        complain(w, one, error);
}

static void free_one(struct watched *one)
{
    if (one->q)
        shmq_close(one->q);
    free(one->processes);
    free(one->groups);
    free(one->dead);
    free(one->priorities);
    free(one->name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct watched *)a)->name, ((const struct watched *)b)->name);
}

static bool is_listed(const struct cli_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i], name) == 0)
            return true;
    return false;
}

/* Make the list what it is in the system: forget those gone, add new ones. */
static void follow_all(struct watch *w)
{
    struct cli_names names;
    size_t kept = 0;
    int error = cli_names_load(&names);

    if (error) {
        w->status = cli_failure(error, "list of queues");
        return;
    }
    for (size_t i = 0; i < w->count; i++) {
        if (is_listed(&names, w->list[i].name))
            w->list[kept++] = w->list[i];
        else
            free_one(&w->list[i]);
    }
    w->count = kept;
    for (size_t i = 0; i < names.count && !error; i++)
        error = watch_add(w, names.list[i]);
    if (error)
        w->status = cli_failure(error, "list of queues");
    cli_names_free(&names);
    if (w->count > 0)
        qsort(w->list, w->count, sizeof(*w->list), compare);
}

void watch_sample(struct watch *w)
{
    if (w->all)
        follow_all(w);
    for (size_t i = 0; i < w->count; i++)
        sample_one(w, &w->list[i]);
}

bool watch_goes_on(const struct watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->list[i].q)
            return true;
    return w->all;
}

void watch_free(struct watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        free_one(&w->list[i]);
    free(w->list);
    *w = (struct watch){0};
}
