/*
 * contents.c - see contents.h.
 */
#include "support/contents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/helper.h"

enum { BUFFER = 1 << 16, GROUPS = 64 };

struct line {
    uint64_t id;
    char text[120];
};

static uint64_t sum_of(uint64_t sum, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return (sum ^ length) * 0x100000001b3u;
}

static int by_id(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

static void describe(const struct shmq_msg *msg, struct line *line)
{
    uint64_t sum = sum_of(0xcbf29ce484222325u, msg->data, msg->length);
    uint32_t state = msg->state == SHMQ_LEASED ? SHMQ_WAITING : msg->state;

    sum = sum_of(sum, msg->key, msg->key_length);
    sum = sum_of(sum, msg->header_block, msg->header_bytes);
    line->id = msg->id;
    snprintf(line->text, sizeof(line->text), " %llu %u %u %d %llu %u %u %zu %016llx\n",
             (unsigned long long)msg->id, state, msg->type, msg->priority,
             (unsigned long long)msg->correlation, msg->ttl_ns > 0,
             state == SHMQ_DEAD ? msg->reason : 0, msg->length, (unsigned long long)sum);
}

/* All messages of a group, by id. */
static void add_messages(FILE *to, shmq_t *g)
{
    char *buffer = malloc(BUFFER);
    struct line *lines = NULL;
    struct shmq_msg msg = SHMQ_MSG_INIT;
    size_t count = 0, room = 0;
    uint64_t place = 0;
    ssize_t n;

    assert_non_null(buffer);
    while ((n = shmq_inspect(g, SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD, &place, &msg,
                             buffer, BUFFER)) >= 0) {
        if (count == room) {
            room = room == 0 ? 64 : room * 2;
            lines = realloc(lines, room * sizeof(*lines));
            assert_non_null(lines);
        }
        describe(&msg, &lines[count++]);
    }
    assert_int_equal(n, -EAGAIN);
    if (count > 0)
        qsort(lines, count, sizeof(*lines), by_id);
    for (size_t i = 0; i < count; i++)
        fputs(lines[i].text, to);
    free(lines);
    free(buffer);
}

static void add_group(FILE *to, shmq_t *g, const struct shmq_group_stats *stats)
{
    struct shmq_policy policy;

    assert_int_equal(shmq_policy_of(g, &policy), 0);
    fprintf(to, "group '%s' paused %u lease %lld\n", stats->name, stats->paused,
            (long long)policy.lease_ns);
    add_messages(to, g);
}

static int by_name(const void *a, const void *b)
{
    const struct shmq_group_stats *x = a, *y = b;

    return strcmp(x->name, y->name);
}

char *contents_of(shmq_t *q)
{
    static struct shmq_group_stats list[GROUPS];
    struct shmq_stats stats = helper_stats(q);
    int groups = shmq_groups(q, list, GROUPS);
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    assert_non_null(to);
    assert_in_range(groups, 0, GROUPS);
    fprintf(to, "%llu were put\n", (unsigned long long)stats.put_count);
    qsort(list, (size_t)groups, sizeof(list[0]), by_name);
    for (int i = 0; i < groups; i++) {
        shmq_t *g = q;
        if (list[i].name[0] != '\0')
            assert_int_equal(shmq_subscribe(q, list[i].name, NULL, &g), 0);
        add_group(to, g, &list[i]);
        if (g != q)
            shmq_close(g);
    }
    fclose(to);
    return text;
}

int contents_of_file(const char *path, char **text)
{
    const char *name = helper_name("contents");
    int rc = shmq_load(name, path);

    *text = NULL;
    if (rc < 0)
        return rc;
    shmq_t *q = helper_open(name, 0, NULL);
    *text = contents_of(q);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("contents")), 0);
    return 0;
}
