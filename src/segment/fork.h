/*
 * fork.h - what a child inherits.
 *
 * A forked child shares the parent's open file descriptions, and with them the
 * locks that say the parent lives: while the child had them open, a dead parent
 * would seem alive.  So a handler in the child gives each handle a descriptor of
 * its own at once, and mappings made from that.  For that the library must know
 * the handles of its process: the one piece of global state it has.
 */
#ifndef SQ_FORK_H
#define SQ_FORK_H

#include "segment/attach.h"

/* A handle's part in it; embedded in the handle. */
struct sq_forkable {
    struct sq_forkable *next, *prev;
    struct sq_segment *segment;
    struct sq_path path;
    /* In the child, when the descriptor (or -1) is in place: forget what was the
     * parent's.  Async-signal-safe. */
    void (*in_child)(struct sq_forkable *handle);
};

/*
 * Keep other threads from forking.  From before a handle's descriptor is opened
 * until the handle is in the list, and from before it is removed until the
 * descriptor is closed; otherwise a child could inherit a descriptor that its
 * handler does not know.  0 or -ENOMEM.
 */
int sq_fork_hold(void);
void sq_fork_release(void);

/* Add and remove a handle, between the two above. */
void sq_fork_add(struct sq_forkable *handle);
void sq_fork_remove(struct sq_forkable *handle);

#endif
