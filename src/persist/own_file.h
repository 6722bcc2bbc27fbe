/*
 * own_file.h - what a handle knows of its queue's file.  Private to the process.
 */
#ifndef SQ_OWN_FILE_H
#define SQ_OWN_FILE_H

#include "handle/handle.h"

struct sq_own_file {
    /* Its descriptor, which has the file's lock, and one more; 0: none (queue_file.c). */
    _Atomic int fd_plus_one;
    /* J, which keeps threads of one handle apart, too: the journal that is appended to. */
    int journal_fd_plus_one; /* 0: none */
    uint64_t generation, salt;
    int64_t looked_ns; /* when the journal was last seen to have a name */
    /* Who appended calls it, with no side, when the journal is longer than look_off; or NULL
     * (save_thread.c). */
    void (*grown)(struct shmq *q);
};

#endif
