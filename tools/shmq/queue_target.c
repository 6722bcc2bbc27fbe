/*
 * queue_target.c - what a command works on, see queue_target.h.
 */
#include "shmq/queue_target.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"

/* --- opening --------------------------------------------------------------- */

int target_failure(const struct target *t, int error)
{
    if (t->group)
        return cli_failure(error, "%s %s %s", t->command, t->name, t->group);
    return cli_failure(error, "%s %s", t->command, t->name);
}

int target_no_message(const struct target *t, uint64_t id)
{
    char what[400];

    snprintf(what, sizeof(what), "%s %s %llu", t->command, t->name, (unsigned long long)id);
    cli_complain(what, "there is no such message, or it is finished", NULL,
                 "'shmq browse' shows which there are");
    return CLI_NOTHING;
}

int target_no_group(const struct target *t)
{
    char what[400];

    snprintf(what, sizeof(what), "%s %s %s", t->command, t->name, t->group);
    cli_complain(what, "there is no group of this name", NULL,
                 "'shmq groups' shows which there are, 'shmq subscribe' makes one");
    return CLI_FAILURE;
}

int target_is_topic(shmq_t *q)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    int error = shmq_attr_of(q, &attr);

    return error ? error : (attr.kind & SHMQ_TOPIC) != 0;
}

int target_has_group(shmq_t *q, const char *group)
{
    struct shmq_group_stats list[GROUPS_MAX];
    int count = shmq_groups(q, list, GROUPS_MAX);

    for (int i = 0; i < count && i < GROUPS_MAX; i++)
        if (strcmp(list[i].name, group) == 0)
            return 1;
    return count < 0 ? count : 0;
}

/* Get t->g: CLI_DONE, or an exit code after complaining. */
static int open_group(struct target *t, enum target_need need)
{
    int topic, found;

    t->g = t->q;
    if (need == TARGET_ALONE || (!t->group && need == TARGET_QUEUE))
        return CLI_DONE;
    topic = target_is_topic(t->q);
    if (topic < 0)
        return target_failure(t, topic);
    if (!t->group && topic)
        return cli_usage(t->command, "%s is a topic, so a group is needed", t->name);
    if (!t->group)
        return CLI_DONE;
    if (!topic)
        return cli_usage(t->command, "%s is no topic, so it has no group %s", t->name, t->group);
    found = target_has_group(t->q, t->group);
    if (found == 0)
        return target_no_group(t);
    if (found > 0)
        found = shmq_subscribe(t->q, t->group, NULL, &t->g);
    return found < 0 ? target_failure(t, found) : CLI_DONE;
}

int target_open(struct target *t, int flags, enum target_need need)
{
    int status, error = shmq_open(&t->q, t->name, flags, NULL);

    if (error)
        return cli_failure(error, "%s %s", t->command, t->name);
    status = open_group(t, need);
    if (status != CLI_DONE) {
        t->g = t->q;
        target_close(t);
    }
    return status;
}

void target_close(struct target *t)
{
    if (t->g != t->q)
        shmq_close(t->g);
    shmq_close(t->q);
    t->q = t->g = NULL;
}

/* --- command lines --------------------------------------------------------- */

int target_arguments(struct target *t, int argc, char **argv, const char *help, int least, int most,
                     const char **more, const char *needed)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(help);
        return cli_bad_option(t->command, code, argv);
    }
    if (argc - optind < 1 + least || argc - optind > 1 + most)
        return cli_usage(t->command, "%s needed", needed);
    t->name = argv[optind++];
    for (int i = 0; optind < argc; i++)
        more[i] = argv[optind++];
    return -1;
}

bool target_parse_start(const char *text, uint32_t *start, uint64_t *at)
{
    static const struct {
        const char *name;
        uint32_t start;
    } names[] = {{"latest", SHMQ_LATEST}, {"earliest", SHMQ_EARLIEST}, {"part", SHMQ_AT_PART}};
    int64_t ago, now = cli_now_ns();

    *at = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *start = names[i].start;
            return true;
        }
    }
    if (cli_parse_count(text, at)) {
        *start = SHMQ_AT_ID;
        return true;
    }
    /* A bare number with a fraction would be neither an id nor a time. */
    if (cli_is_number(text))
        return false;
    if (!cli_parse_duration(text, &ago)) {
        if (!cli_parse_moment(text, &ago))
            return false;
        ago = cli_wall_ns() - ago;
    }
    *start = SHMQ_AT_TIME;
    *at = ago > now ? 0 : (uint64_t)(now - ago);
    return true;
}
