/*
 * disk.c - see disk.h.
 */
#include "bench/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Type and source of the file system with this device number, from /proc/self/mountinfo:
 * "36 35 98:0 /root /mount options [tags] - type source more". */
static bool file_system(dev_t device, char type[64], char source[256])
{
    char line[2048];
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "r");
    while (file && !found && fgets(line, sizeof line, file)) {
        unsigned major_number, minor_number;
        const char *rest = strstr(line, " - ");
        found = rest && sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) == 2 &&
                makedev(major_number, minor_number) == device &&
                sscanf(rest, " - %63s %255s", type, source) == 2;
    }
    if (file)
        fclose(file);
    return found;
}

int disk_describe(const char *folder, char *text, size_t size)
{
    char type[64] = "an unknown file system", source[256] = "";
    struct stat st;
    char *real = realpath(folder, NULL);
    if (!real || stat(real, &st) < 0) {
        free(real);
        return -errno;
    }
    bool known = file_system(st.st_dev, type, source);
    bool memory = strcmp(type, "tmpfs") == 0 || strcmp(type, "ramfs") == 0;
    snprintf(text, size, "%s, %s%s%s%s", real, type, known ? " on " : "", source,
             memory ? ": NO DISK, figures of files mean nothing" : "");
    free(real);
    return 0;
}

void folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *e = readdir(folder); e; e = readdir(folder))
        unlinkat(dirfd(folder), e->d_name, 0); /* refuses . and .. */
    closedir(folder);
    rmdir(path);
}

void disk_path(const struct channel *channel, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s%s%s", channel->folder, channel->name, *name ? "/" : "", name);
}

int disk_prepare(const struct channel *channel)
{
    char path[DISK_PATH];
    disk_path(channel, "", path, sizeof path);
    return mkdir(path, 0700) == 0 ? 0 : -errno;
}

void disk_remove(const struct channel *channel)
{
    char path[DISK_PATH];
    disk_path(channel, "", path, sizeof path);
    folder_remove(path);
}
