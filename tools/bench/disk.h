/*
 * disk.h - the folder for what is kept in files: on which file system it is, and a
 * folder for each channel in it.
 */
#ifndef DISK_H
#define DISK_H

#include "bench/channel.h"

/* "FOLDER, ext4 on /dev/vda"; what is no disk says so.  0 or a negative errno. */
int disk_describe(const char *folder, char *text, size_t size);

/* Removes what is in a folder, and the folder; nothing else is in it but files. */
void folder_remove(const char *path);

/* Makes a folder for what the channel keeps in files. */
int disk_prepare(const struct channel *channel);
/* The path of `name` there, or of the folder itself if that is "". */
void disk_path(const struct channel *channel, const char *name, char *path, size_t size);
void disk_remove(const struct channel *channel);

enum { DISK_PATH = 1024 };

#endif
