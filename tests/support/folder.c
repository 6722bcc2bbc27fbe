/*
 * folder.c - see folder.h.
 */
#include "support/folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/place.h"

char folder_path[64], folder_file[96], folder_other[96], folder_queue[64];

static int setup(const char *where, void **state)
{
    snprintf(folder_path, sizeof(folder_path), "%s/shmq-test-XXXXXX", where);
    if (mkdtemp(folder_path) == NULL)
        return -1;
    snprintf(folder_file, sizeof(folder_file), "%s/queue", folder_path);
    snprintf(folder_other, sizeof(folder_other), "%s/other", folder_path);
    snprintf(folder_queue, sizeof(folder_queue), "%s", helper_name("a"));
    return helper_setup(state);
}

int folder_setup(void **state)
{
    return setup("/tmp", state);
}

int folder_setup_in_memory(void **state)
{
    return setup("/dev/shm", state);
}

int folder_teardown(void **state)
{
    int rc = helper_teardown(state);
    struct dirent *entry;
    DIR *dir;

    chmod(folder_path, 0700);
    unlink(folder_file);
    unlink(folder_other);
    if (rmdir(folder_path) == 0)
        return rc;
    for (dir = opendir(folder_path); dir != NULL && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            print_error("left behind: %s/%s\n", folder_path, entry->d_name);
    if (dir != NULL)
        closedir(dir);
    disk_empty(folder_path);
    rmdir(folder_path);
    return -1;
}
