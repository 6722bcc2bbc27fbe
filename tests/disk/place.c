/*
 * place.c - see place.h.
 */
#include "disk/place.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16 };

void disk_place_at(struct disk_place *place, const char *base)
{
    snprintf(place->base, sizeof(place->base), "%s", base);
    snprintf(place->folder, sizeof(place->folder), "%s/in", place->base);
    /* Where a sync costs nothing: states are made on this disk, not by it. */
    snprintf(place->made, sizeof(place->made), "/dev/shm%s", strrchr(place->base, '/'));
    snprintf(place->log, sizeof(place->log), "%s/log", place->base);
}

int disk_place_make(struct disk_place *place, const char *prefix)
{
    char base[64];

    snprintf(base, sizeof(base), "/tmp/%s-XXXXXX", prefix);
    if (!mkdtemp(base))
        return -1;
    disk_place_at(place, base);
    return mkdir(place->folder, 0700) != 0 || mkdir(place->made, 0700) != 0 ? -1 : 0;
}

void disk_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *d;

    while (dir && (d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            unlinkat(dirfd(dir), d->d_name, 0);
    if (dir)
        closedir(dir);
}

void disk_place_remove(const struct disk_place *place)
{
    if (place->base[0] == '\0')
        return;
    disk_empty(place->folder);
    disk_empty(place->made);
    rmdir(place->folder);
    rmdir(place->made);
    disk_empty(place->base);
    rmdir(place->base);
}

/* The recorder is beside the program.  It is named by its descriptor, since LD_PRELOAD is
 * split at blanks and the folder's name may contain some. */
static void preload(void)
{
    char self[PATH_MAX] = "", path[PATH_MAX];

    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        _exit(30);
    snprintf(path, sizeof(path), "%.4000s/../disk/record.so", dirname(self));
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        _exit(30);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    setenv("LD_PRELOAD", path, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:use_sigaltstack=0", 1);
}

int disk_run(const struct disk_place *place, const char *fail, const char *const *arguments)
{
    const char *all[ARGUMENTS_MAX + 2] = {program_invocation_name};
    int status;

    for (unsigned n = 0; n < ARGUMENTS_MAX && arguments[n]; n++)
        all[n + 1] = arguments[n];
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        preload();
        setenv("DISK_FOLDER", place->folder, 1);
        setenv(fail ? "DISK_FAIL" : "DISK_LOG", fail ? fail : place->log, 1);
        execv("/proc/self/exe", (char *const *)(uintptr_t)all);
        _exit(30);
    }
    return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

void *disk_share(const struct disk_place *place, size_t bytes)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/shared", place->base);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    void *memory = ftruncate(fd, (off_t)bytes) != 0
                       ? MAP_FAILED
                       : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

bool disk_say(const char *text)
{
    void (*note)(const char *) = NULL;

    *(void **)&note = dlsym(RTLD_DEFAULT, "disk_note");
    if (note)
        note(text);
    return note != NULL;
}

bool disk_fail(const char *how)
{
    void (*arm)(const char *) = NULL;

    *(void **)&arm = dlsym(RTLD_DEFAULT, "disk_arm");
    if (arm)
        arm(how);
    return arm != NULL;
}

struct disk_calls disk_calls(void)
{
    void (*counts)(unsigned long *, unsigned long *, const char **) = NULL;
    struct disk_calls calls = {.first = ""};

    *(void **)&counts = dlsym(RTLD_DEFAULT, "disk_counts");
    if (counts)
        counts(&calls.all, &calls.failed, &calls.first);
    return calls;
}
