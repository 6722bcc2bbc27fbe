/*
 * cmd_group.c - shmq subscribe, unsubscribe, groups, seek and part: the groups of a
 * topic and their positions.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "common/group_json.h"
#include "common/text.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/message_options.h"
#include "shmq/policy_options.h"
#include "shmq/queue_target.h"

/* --- subscribe ------------------------------------------------------------- */

static const char subscribe_help[] =
    "Usage: shmq subscribe NAME GROUP [OPTION ...]\n"
    "Make the group GROUP of the topic NAME.  It must not exist yet.\n"
    "\n"
    "  --from PLACE             where it starts: latest, earliest, part, an id, or a\n"
    "                           time such as 10m, so long ago (latest)\n"
    "  --filter-type TYPE       only messages of this type,\n"
    "  --filter-key PATTERN     whose key matches this shell pattern,\n"
    "  --filter-header K=V      whose header K is V; others are passed over\n"
    "  --exist-ok               an existing group is fine, and stays as it is\n"
    "  --help                   show this\n"
    "\n" POLICY_HELP "\n"
    "What is not said is as the topic was created with.\n";

enum { OPT_FROM = 256, OPT_FILTER_TYPE, OPT_FILTER_KEY, OPT_FILTER_HEADER, OPT_EXIST_OK };

struct subscriber {
    struct target t;
    struct shmq_group_attr attr;
    struct policy_changes changes; /* to the topic's policy */
    bool exist_ok;
};

static int subscribe_option(struct subscriber *s, int code, char **argv)
{
    struct shmq_header header;

    if (policy_is_option(code))
        return policy_note("subscribe", code, optarg, &s->changes);
    switch (code) {
    case OPT_FROM:
        if (!target_parse_start(optarg, &s->attr.start, &s->attr.start_at))
            return cli_usage("subscribe", "--from '%s' is not " START_ADVICE, optarg);
        return CLI_DONE;
    case OPT_FILTER_TYPE:
        if (!cli_parse_type(optarg, &s->attr.filter_type) || s->attr.filter_type == 0)
            return cli_usage("subscribe", "--filter-type '%s' is not one character or a number",
                             optarg);
        return CLI_DONE;
    case OPT_FILTER_KEY:
        s->attr.filter_key = optarg;
        return CLI_DONE;
    case OPT_FILTER_HEADER:
        if (!message_split_header(optarg, &header))
            return cli_usage("subscribe", "--filter-header '%s' is not of the form NAME=VALUE",
                             optarg);
        s->attr.filter_header = header.name;
        s->attr.filter_header_value = header.value;
        return CLI_DONE;
    case OPT_EXIST_OK:
        s->exist_ok = true;
        return CLI_DONE;
    default:
        return cli_bad_option("subscribe", code, argv);
    }
}

static int exists_already(const struct target *t)
{
    char what[320];

    snprintf(what, sizeof(what), "subscribe %s %s", t->name, t->group);
    cli_complain(what, "a group of this name exists already", NULL,
                 "choose another name, or accept it with --exist-ok");
    return CLI_FAILURE;
}

static int subscribe_failure(const struct target *t, int error)
{
    char what[320];

    if (error != -ENOSPC)
        return target_failure(t, error);
    snprintf(what, sizeof(what), "subscribe %s %s", t->name, t->group);
    cli_complain(what, "the topic has as many groups as it can have", shmq_last_error_detail(),
                 "remove one with 'shmq unsubscribe', or create the topic with more --groups");
    return CLI_FAILURE;
}

/* Make the group: 0 or a negative errno. */
static int make_group(struct subscriber *s)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    shmq_t *g;
    int error = shmq_attr_of(s->t.q, &attr);

    if (error)
        return error;
    s->attr.has_policy = s->changes.any ? 1 : 0;
    s->attr.policy = attr.policy;
    policy_apply(&s->changes, &s->attr.policy);
    error = shmq_subscribe(s->t.q, s->t.group, &s->attr, &g);
    if (!error)
        shmq_close(g);
    return error;
}

static int subscribe(struct subscriber *s)
{
    const struct target *t = &s->t;
    int found = target_has_group(t->q, t->group);
    int error = found == 0 ? make_group(s) : found;

    if (found > 0)
        return s->exist_ok ? CLI_DONE : exists_already(t);
    return error ? subscribe_failure(t, error) : CLI_DONE;
}

int cmd_subscribe(int argc, char **argv)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, OPT_FROM},
        {"filter-type", required_argument, NULL, OPT_FILTER_TYPE},
        {"filter-key", required_argument, NULL, OPT_FILTER_KEY},
        {"filter-header", required_argument, NULL, OPT_FILTER_HEADER},
        {"exist-ok", no_argument, NULL, OPT_EXIST_OK},
        {"help", no_argument, NULL, 'h'},
        POLICY_OPTIONS,
        {0},
    };
    struct subscriber s = {.t.command = "subscribe", .attr = SHMQ_GROUP_INIT};
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(subscribe_help);
        status = subscribe_option(&s, code, argv);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind != 2)
        return cli_usage("subscribe", "the names of a topic and of a group are needed");
    s.t.name = argv[optind];
    s.t.group = argv[optind + 1];
    status = target_open(&s.t, 0, TARGET_ALONE);
    if (status != CLI_DONE)
        return status;
    status = subscribe(&s);
    target_close(&s.t);
    return status;
}

/* --- unsubscribe ----------------------------------------------------------- */

static const char unsubscribe_help[] =
    "Usage: shmq unsubscribe NAME GROUP\n"
    "Remove the group GROUP of the topic NAME, and its place.  Its members are told.\n"
    "\n"
    "  --help  show this\n";

int cmd_unsubscribe(int argc, char **argv)
{
    struct target t = {.command = "unsubscribe"};
    int error, status = target_arguments(&t, argc, argv, unsubscribe_help, 1, 1, &t.group,
                                         "the names of a topic and of a group are");

    if (status >= 0)
        return status;
    status = target_open(&t, 0, TARGET_ALONE);
    if (status != CLI_DONE)
        return status;
    error = shmq_unsubscribe(t.q, t.group);
    if (error == -ENOENT)
        status = target_no_group(&t);
    else if (error)
        status = target_failure(&t, error);
    target_close(&t);
    return status;
}

/* --- groups ---------------------------------------------------------------- */

static const char groups_help[] =
    "Usage: shmq groups NAME [--json]\n"
    "List the groups of the topic NAME with their figures.  A queue that is no topic\n"
    "has one, which has no name.\n"
    "\n"
    "  --json  print every figure, each group as a JSON object on a line\n"
    "  --help  show this\n"
    "\n"
    "Of BACKLOG messages that are not finished, so many are WAITING, DELAYED and\n"
    "LEASED, and the OLDEST is so old; DEAD ones are parked.  REDELIV counts those\n"
    "handed out not for the first time.  MEMBERS handles read as the group.\n";

static void add_row(struct text *out, const struct shmq_group_stats *g)
{
    text_format(out, "%-16s %7s %7s %7s %7s %7s %7s", g->name[0] ? g->name : "-",
                figure_count((double)g->backlog).s, figure_count((double)g->waiting).s,
                figure_count((double)g->delayed).s, figure_count((double)g->leased).s,
                figure_count((double)g->dead).s, figure_count((double)g->redelivered_count).s);
    text_format(out, " %7s %7u %6s\n",
                g->backlog ? figure_duration((double)g->oldest_age_ns).s : "-", g->members,
                g->paused ? "yes" : "no");
}

static int list_groups(const struct target *t, bool json)
{
    struct shmq_group_stats list[GROUPS_MAX];
    int count = shmq_groups(t->q, list, GROUPS_MAX);
    struct text out = {0};

    if (count < 0)
        return target_failure(t, count);
    if (count > 0 && !json)
        text_format(&out, "%-16s %7s %7s %7s %7s %7s %7s %7s %7s %6s\n", "GROUP", "BACKLOG",
                    "WAITING", "DELAYED", "LEASED", "DEAD", "REDELIV", "OLDEST", "MEMBERS",
                    "PAUSED");
    for (int i = 0; i < count && i < GROUPS_MAX; i++) {
        if (json) {
            group_add_json(&out, &list[i]);
            text_add(&out, "\n");
        } else {
            add_row(&out, &list[i]);
        }
    }
    return text_print(&out);
}

int cmd_groups(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct target t = {.command = "groups"};
    bool json = false;
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(groups_help);
        if (code != 'j')
            return cli_bad_option("groups", code, argv);
        json = true;
    }
    if (argc - optind != 1)
        return cli_usage("groups", "one name of a queue is needed");
    t.name = argv[optind];
    status = target_open(&t, SHMQ_RDONLY, TARGET_ALONE);
    if (status != CLI_DONE)
        return status;
    status = list_groups(&t, json);
    target_close(&t);
    return status;
}

/* --- seek and part --------------------------------------------------------- */

static const char seek_help[] =
    "Usage: shmq seek NAME GROUP PLACE\n"
    "Move the group GROUP of the topic NAME to PLACE, within what the ring still has.\n"
    "What it had delayed, returned or parked is forgotten.\n"
    "\n"
    "  PLACE   latest, earliest, part (where the current one starts), the id of a\n"
    "          message, a time such as 10m, so long ago, or 2026-11-23T10:30\n"
    "  --help  show this\n";

int cmd_seek(int argc, char **argv)
{
    const char *more[2] = {NULL, NULL};
    struct target t = {.command = "seek"};
    uint32_t start;
    uint64_t at;
    int error, status = target_arguments(&t, argc, argv, seek_help, 2, 2, more,
                                         "the names of a topic and of a group and a place are");

    if (status >= 0)
        return status;
    if (!target_parse_start(more[1], &start, &at))
        return cli_usage("seek", "'%s' is not " START_ADVICE, more[1]);
    t.group = more[0];
    status = target_open(&t, 0, TARGET_GROUP);
    if (status != CLI_DONE)
        return status;
    error = shmq_seek(t.g, (int)start, at);
    if (error)
        status = target_failure(&t, error);
    target_close(&t);
    return status;
}

static const char part_help[] =
    "Usage: shmq part NAME\n"
    "Begin a new part of the topic NAME: groups made with --from part from now on\n"
    "start with what is put next.\n"
    "\n"
    "  --help  show this\n";

int cmd_part(int argc, char **argv)
{
    struct target t = {.command = "part"};
    int error,
        status = target_arguments(&t, argc, argv, part_help, 0, 0, NULL, "one name of a queue is");

    if (status >= 0)
        return status;
    status = target_open(&t, 0, TARGET_ALONE);
    if (status != CLI_DONE)
        return status;
    error = shmq_part_begin(t.q);
    if (error)
        status = target_failure(&t, error);
    target_close(&t);
    return status;
}
