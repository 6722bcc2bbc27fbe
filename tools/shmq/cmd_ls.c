/*
 * cmd_ls.c - shmq ls: the queues of this machine.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cli.h"
#include "common/text.h"
#include "shmq.h"
#include "shmq/commands.h"

static const char ls_help[] =
    "Usage: shmq ls [-l | --json]\n"
    "List the names of the queues, in order.\n"
    "\n"
    "  -l, --long  also mode, owner, waiting messages, bytes used and in all, and\n"
    "              how many handles are attached\n"
    "  --json      print all of that, each queue as a JSON object on a line\n"
    "  --help      show this\n";

/* What is known of a queue; `error` says why no more is. */
struct listed {
    const char *name;
    struct shmq_stats stats;
    char owner[64];
    unsigned mode;
    int error;
};

/* Owner and mode belong to the object, which may be seen without being opened. */
static void look_at_object(struct listed *l)
{
    struct passwd *user;
    struct stat st;
    char path[280];

    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", l->name);
    if (stat(path, &st) != 0)
        return;
    l->mode = st.st_mode & 07777;
    user = getpwuid(st.st_uid);
    if (user)
        snprintf(l->owner, sizeof(l->owner), "%s", user->pw_name);
    else
        snprintf(l->owner, sizeof(l->owner), "%u", (unsigned)st.st_uid);
}

static void look_at_queue(struct listed *l)
{
    shmq_t *q;

    l->stats.size = sizeof(l->stats);
    l->error = shmq_open(&q, l->name, SHMQ_RDONLY, NULL);
    if (l->error)
        return;
    l->error = shmq_stats(q, &l->stats);
    shmq_close(q);
}

static void add_row(struct text *out, const struct listed *l)
{
    text_format(out, "%04o  %-10s ", l->mode, l->owner);
    if (l->error)
        text_format(out, "%8s %8s %8s %8s  ", "-", "-", "-", "-");
    else
        text_format(out, "%8s %8s %8s %8u  ", figure_count((double)l->stats.depth).s,
                    figure_bytes((double)l->stats.used_bytes).s,
                    figure_bytes((double)l->stats.capacity_bytes).s, l->stats.attached);
    text_format(out, "%s\n", l->name);
}

static void add_json(struct text *out, const struct listed *l)
{
    text_add(out, "{\"name\":");
    text_json_string(out, l->name, strlen(l->name));
    text_format(out, ",\"mode\":\"%04o\",\"owner\":", l->mode);
    text_json_string(out, l->owner, strlen(l->owner));
    if (!l->error)
        text_format(out,
                    ",\"depth\":%llu,\"used_bytes\":%llu,\"capacity_bytes\":%llu,"
                    "\"attached\":%u",
                    (unsigned long long)l->stats.depth, (unsigned long long)l->stats.used_bytes,
                    (unsigned long long)l->stats.capacity_bytes, l->stats.attached);
    text_add(out, "}\n");
}

static int add_queue(struct text *out, const char *name, bool json)
{
    struct listed l = {.name = name};

    look_at_object(&l);
    look_at_queue(&l);
    /* It went away since its name was read: as if it had never been there. */
    if (l.error == -ENOENT || l.error == -ESTALE)
        return CLI_DONE;
    if (json)
        add_json(out, &l);
    else
        add_row(out, &l);
    return l.error ? cli_failure(l.error, "ls %s", name) : CLI_DONE;
}

static int list(bool details, bool json)
{
    struct cli_names names;
    struct text out = {0};
    int status = CLI_DONE, error = cli_names_load(&names);

    if (error)
        return cli_failure(error, "ls");
    if (details && names.count > 0)
        text_format(&out, "%-4s  %-10s %8s %8s %8s %8s  %s\n", "MODE", "OWNER", "DEPTH", "USED",
                    "CAPACITY", "ATTACHED", "NAME");
    for (size_t i = 0; i < names.count; i++) {
        if (!details && !json)
            text_format(&out, "%s\n", names.list[i]);
        else if (add_queue(&out, names.list[i], json) != CLI_DONE)
            status = CLI_FAILURE;
    }
    cli_names_free(&names);
    error = text_write(&out, fileno(stdout));
    text_free(&out);
    if (error) {
        cli_complain("standard output", strerror(-error), NULL, NULL);
        return CLI_FAILURE;
    }
    return status;
}

int cmd_ls(int argc, char **argv)
{
    static const struct option options[] = {{"long", no_argument, NULL, 'l'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    bool details = false, json = false;
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":lh", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(ls_help);
        if (code == '?' || code == ':')
            return cli_bad_option("ls", code, argv);
        details = details || code == 'l';
        json = json || code == 'j';
    }
    if (optind < argc)
        return cli_usage("ls", "'%s' is one argument too many", argv[optind]);
    if (details && json)
        return cli_usage("ls", "--long and --json contradict each other");
    return list(details, json);
}
