/*
 * options.c - see options.h.
 */
#include "bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/disk.h"
#include "shmq.h"

static void help(FILE *out)
{
    fputs("usage: shmq-bench [options]\n"
          "Measures shmq between processes, beside other transports.\n"
          "\n"
          "  --bars             run all that the bars need, peers too, and judge them\n"
          "  --peers            measure the other transports that are built in as well\n"
          "  --only W[,W]       only these workloads\n"
          "  --transports T[,T] only these transports\n"
          "  --size N[,N]       message sizes in bytes, multiples of 8, instead of the usual\n"
          "  --repeat N         rounds of each (default 5)\n"
          "  --seconds S        length of a round (default 0.3)\n"
          "  --folder DIR       where files are kept (default: the current directory)\n"
          "  --quick            shorter: 3 rounds of 0.1 s\n"
          "  --json             print JSON instead of tables\n"
          "  --help, --version\n"
          "\n"
          "workloads: ",
          out);
    for (const struct workload *const *w = workloads; *w; w++)
        fprintf(out, "%s%s", w == workloads ? "" : " ", (*w)->name);
    fputs("\ntransports:", out);
    for (const struct transport *const *t = transports; *t; t++)
        fprintf(out, " %s%s", (*t)->name, (*t)->missing ? "(not built)" : "");
    fputc('\n', out);
}

static int wrong(const char *option, const char *value)
{
    fprintf(stderr, "shmq-bench: %s: '%s' will not do; see shmq-bench --help\n", option, value);
    return 2;
}

bool options_list_has(const char *list, const char *name)
{
    size_t length = strlen(name);
    if (!list)
        return true;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        if (n == length && strncmp(p, name, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static int parse_sizes(struct options *options, const char *text)
{
    const char *p = text;
    do {
        char *end;
        errno = 0;
        unsigned long size = strtoul(p, &end, 10);
        if (errno || end == p || (*end && *end != ',') || size == 0 || size % 8 ||
            size > MAX_MESSAGE || options->size_count == MAX_SIZES)
            return wrong("--size", text);
        options->sizes[options->size_count++] = size;
        p = *end ? end + 1 : end;
    } while (*p);
    return -1;
}

/* Every name in the list must exist, or a typing error would measure nothing. */
static int check_names(const struct options *options)
{
    char name[64];
    for (int which = 0; which < 2; which++) {
        const char *list = which ? options->transports : options->only;
        for (const char *p = list ? list : ""; *p;) {
            size_t n = strcspn(p, ",");
            bool known = false;
            snprintf(name, sizeof name, "%.*s", (int)n, p);
            for (const struct workload *const *w = workloads; !which && *w; w++)
                known = known || strcmp((*w)->name, name) == 0;
            for (const struct transport *const *t = transports; which && *t; t++)
                known = known || strcmp((*t)->name, name) == 0;
            if (!known)
                return wrong(which ? "--transports" : "--only", name);
            p += n + (p[n] == ',');
        }
    }
    return -1;
}

static int parse_number(const char *option, const char *text, double low, double high,
                        double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end == text || *end || !(*value >= low && *value <= high) ? wrong(option, text) : -1;
}

enum {
    OPT_PEERS = 256,
    OPT_BARS,
    OPT_JSON,
    OPT_QUICK,
    OPT_REPEAT,
    OPT_SECONDS,
    OPT_ONLY,
    OPT_TRANSPORTS,
    OPT_SIZE,
    OPT_FOLDER,
    OPT_HELP,
    OPT_VERSION
};

static int parse_one(struct options *options, int option)
{
    double value = 0;
    int error = -1;
    switch (option) {
    case OPT_PEERS:
        options->peers = true;
        return -1;
    case OPT_BARS:
        options->bars = options->peers = true;
        return -1;
    case OPT_JSON:
        options->json = true;
        return -1;
    case OPT_QUICK:
        options->quick = true;
        return -1;
    case OPT_REPEAT:
        error = parse_number("--repeat", optarg, 1, MAX_REPEAT, &value);
        options->repeat = (unsigned)value;
        return error;
    case OPT_SECONDS:
        return parse_number("--seconds", optarg, 0.01, 600, &options->seconds);
    case OPT_ONLY:
        options->only = optarg;
        return -1;
    case OPT_TRANSPORTS:
        options->transports = optarg;
        options->peers = true;
        return -1;
    case OPT_SIZE:
        return parse_sizes(options, optarg);
    case OPT_FOLDER:
        options->folder = optarg;
        return -1;
    case OPT_HELP:
        help(stdout);
        return 0;
    case OPT_VERSION:
        printf("shmq-bench %s\n", shmq_version());
        return 0;
    default:
        return 2;
    }
}

int options_parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"peers", no_argument, NULL, OPT_PEERS},
        {"bars", no_argument, NULL, OPT_BARS},
        {"json", no_argument, NULL, OPT_JSON},
        {"quick", no_argument, NULL, OPT_QUICK},
        {"repeat", required_argument, NULL, OPT_REPEAT},
        {"seconds", required_argument, NULL, OPT_SECONDS},
        {"only", required_argument, NULL, OPT_ONLY},
        {"transports", required_argument, NULL, OPT_TRANSPORTS},
        {"size", required_argument, NULL, OPT_SIZE},
        {"folder", required_argument, NULL, OPT_FOLDER},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    int option, done = -1;
    while (done < 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1)
        done = parse_one(options, option);
    if (done >= 0)
        return done;
    if (optind < argc)
        return wrong("argument", argv[optind]);
    if (options->bars && options->size_count)
        return wrong("--size", "with --bars, which has its own sizes");
    if (options->repeat == 0)
        options->repeat = options->quick ? 3 : 5;
    if (options->seconds == 0.0)
        options->seconds = options->quick ? 0.1 : 0.3;
    if (!options->folder)
        options->folder = ".";
    if (disk_describe(options->folder, options->disk, sizeof options->disk) < 0)
        return wrong("--folder", options->folder);
    return check_names(options);
}
