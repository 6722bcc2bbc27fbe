/*
 * log.h - what record.so writes down of a process's work on the files of one folder.
 *
 * The log is a row of entries, each a struct disk_entry, then its two names (without NUL)
 * and its data.  Files are told apart by inode: a CREATE begins a file anew, since inodes
 * are used again.  Names are relative to the folder, which has no folders in it.
 */
#ifndef DISK_LOG_H
#define DISK_LOG_H

#include <stdint.h>

enum disk_op {
    DISK_CREATE = 1, /* name, ino */
    DISK_WRITE,      /* ino, off, data */
    DISK_RESIZE,     /* ino, off: the size it has now */
    DISK_SYNC,       /* ino: returned 0 */
    DISK_SYNC_FOLDER,
    DISK_RENAME, /* name, other, ino */
    DISK_UNLINK, /* name, ino */
    DISK_LINK,   /* name, other, ino */
    DISK_NOTE,   /* data: said by the program */
};

struct disk_entry {
    uint32_t op;
    uint32_t name_bytes;
    uint32_t other_bytes;
    uint32_t data_bytes;
    uint64_t ino;
    uint64_t off;
};

#endif
