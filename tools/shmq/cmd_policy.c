/*
 * cmd_policy.c - shmq policy, pause and resume: how a group hands messages out.
 */
#include <getopt.h>
#include <stdio.h>

#include "common/cli.h"
#include "common/text.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/policy_options.h"
#include "shmq/queue_target.h"

/* --- policy ---------------------------------------------------------------- */

static const char policy_help[] =
    "Usage: shmq policy NAME [GROUP] [OPTION ...]\n"
    "Show the policy of the queue NAME, or of the group GROUP of a topic; of a topic\n"
    "without GROUP, the policy of groups that bring none.  With options, change it for\n"
    "what is handed out from now on.\n"
    "\n"
    "  --json                   show it as a JSON object\n"
    "  --help                   show this\n"
    "\n" POLICY_HELP;

struct policy_request {
    struct target t;
    struct policy_changes changes;
    bool json;
};

/* -1 or an exit code. */
static int read_command_line(struct policy_request *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, POLICY_OPTIONS, {0}};
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        int status = CLI_DONE;

        if (code == 'h')
            return cli_print(policy_help);
        if (code == 'j')
            r->json = true;
        else if (policy_is_option(code))
            status = policy_note("policy", code, optarg, &r->changes);
        else
            status = cli_bad_option("policy", code, argv);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind < 1 || argc - optind > 2)
        return cli_usage("policy", "the name of a queue and at most one of a group are needed");
    if (r->changes.any && r->json)
        return cli_usage("policy", "--json shows the policy, so it excludes what changes it");
    r->t.name = argv[optind];
    r->t.group = argc - optind == 2 ? argv[optind + 1] : NULL;
    return -1;
}

static int show(const struct policy_request *r, const struct shmq_policy *policy)
{
    struct text out = {0};

    if (r->json) {
        policy_add_json(&out, policy);
        text_add(&out, "\n");
    } else {
        policy_add_lines(&out, policy);
    }
    return text_print(&out);
}

static int show_or_change(struct policy_request *r)
{
    struct shmq_policy policy = {0};
    int error = shmq_policy_of(r->t.g, &policy);

    if (!error && !r->changes.any)
        return show(r, &policy);
    if (!error) {
        policy_apply(&r->changes, &policy);
        error = shmq_policy_set(r->t.g, &policy);
    }
    return error ? target_failure(&r->t, error) : CLI_DONE;
}

int cmd_policy(int argc, char **argv)
{
    struct policy_request r = {.t.command = "policy"};
    int status = read_command_line(&r, argc, argv);

    if (status >= 0)
        return status;
    status = target_open(&r.t, 0, r.changes.any ? TARGET_GROUP : TARGET_QUEUE);
    if (status != CLI_DONE)
        return status;
    status = show_or_change(&r);
    target_close(&r.t);
    return status;
}

/* --- pause and resume ------------------------------------------------------ */

static const char pause_help[] =
    "Usage: shmq pause NAME [GROUP]\n"
    "Hand out nothing more, from the queue NAME or to the group GROUP of a topic,\n"
    "until 'shmq resume'.  What is put waits.\n"
    "\n"
    "  --help  show this\n";

static const char resume_help[] = "Usage: shmq resume NAME [GROUP]\n"
                                  "Hand messages out again after 'shmq pause'.\n"
                                  "\n"
                                  "  --help  show this\n";

static int switch_group(int argc, char **argv, const char *command, const char *help,
                        int (*act)(shmq_t *g))
{
    struct target t = {.command = command};
    int error, status = target_arguments(&t, argc, argv, help, 0, 1, &t.group,
                                         "the name of a queue and at most one of a group are");

    if (status >= 0)
        return status;
    status = target_open(&t, 0, TARGET_GROUP);
    if (status != CLI_DONE)
        return status;
    error = act(t.g);
    if (error)
        status = target_failure(&t, error);
    target_close(&t);
    return status;
}

int cmd_pause(int argc, char **argv)
{
    return switch_group(argc, argv, "pause", pause_help, shmq_pause);
}

int cmd_resume(int argc, char **argv)
{
    return switch_group(argc, argv, "resume", resume_help, shmq_resume);
}
