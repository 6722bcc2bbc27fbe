/*
 * faulty.c - see faulty.h.
 */
#include "support/faulty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "support/contents.h"

const char *const faulty_kinds[FAULTY_KINDS] = {":EIO", ":ENOSPC", ":SHORT", "+:EIO", "+:ENOSPC"};

char faulty_folder[80], faulty_file[96], faulty_other[96];

int faulty_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    struct disk_place place;
    const char *arguments[] = {"--run", place.base, argc > 1 ? argv[1] : NULL, NULL};

    if (argc >= 3 && strcmp(argv[1], "--run") == 0) {
        disk_place_at(&place, argv[2]);
        memcpy(faulty_folder, place.made, sizeof(faulty_folder));
        snprintf(faulty_file, sizeof(faulty_file), "%s/file", faulty_folder);
        snprintf(faulty_other, sizeof(faulty_other), "%s/other", faulty_folder);
        argv[2] = argv[0];
        return helper_run_tests(argc - 2, argv + 2, tests, count);
    }
    if (argc > 2)
        return helper_run_tests(argc, argv, tests, count); /* says how it is used */
    if (disk_place_make(&place, "shmq-faults") != 0)
        return 1;
    /* In memory a sync that does not fail costs nothing. */
    struct disk_place in_memory = place;
    memcpy(in_memory.folder, place.made, sizeof(in_memory.folder));
    int status = disk_run(&in_memory, "", arguments);
    disk_place_remove(&place);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

unsigned faulty_count(void)
{
    return helper_entries(faulty_folder);
}

bool faulty_is_clean(const struct disk_calls *calls, const char *how, unsigned count)
{
    return strchr(how, '+') != NULL || strcmp(calls->first, "unlink") == 0 ||
           faulty_count() <= count;
}

void faulty_clean(void)
{
    disk_empty(faulty_folder);
}

bool faulty_is_in(const char *path, const char *one, const char *or_other)
{
    char *text;

    if (!faulty_is_good(contents_of_file(path, &text), "loading it"))
        return false;
    bool is = strcmp(text, one) == 0 || (or_other != NULL && strcmp(text, or_other) == 0);
    if (!is)
        print_error("the file has\n%sin place of\n%s%s%s", text, one,
                    or_other != NULL ? "or\n" : "", or_other != NULL ? or_other : "");
    free(text);
    return is;
}

bool faulty_may_say(int64_t rc, const char *how)
{
    return rc == -EIO || (strstr(how, "ENOSPC") != NULL && rc == -ENOSPC);
}

bool faulty_is_vital(const struct disk_calls *calls, const char *how, bool ahead)
{
    static const char *const vital[] = {"fdatasync", "fsync", "rename", "link"};
    bool is = calls->failed > 0 && !ahead && strcmp(calls->first, "write") == 0;

    for (size_t i = 0; calls->failed > 0 && i < sizeof(vital) / sizeof(vital[0]); i++)
        is = is || strcmp(calls->first, vital[i]) == 0;
    return is && strstr(how, "SHORT") == NULL;
}

bool faulty_is_good(int rc, const char *what)
{
    if (rc != 0)
        print_error("%s: %s (%s)\n", what, shmq_strerror(rc), shmq_last_error_detail());
    return rc == 0;
}
