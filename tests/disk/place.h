/*
 * place.h - where a program works on files under record.so, and what becomes of that is
 * looked at: folders of its own, and memory that it shares with whoever looks.
 *
 * The program is the same one, started anew with other arguments: `--run PLACE ...`.
 */
#ifndef DISK_PLACE_H
#define DISK_PLACE_H

#include <stdbool.h>
#include <stddef.h>

struct disk_place {
    char base[64];
    char folder[80]; /* that is recorded */
    char made[80];   /* in which states are made; in memory */
    char log[80];
};

/* Make one, all empty, beginning with /tmp/`prefix`; or name the one at `base`. */
int disk_place_make(struct disk_place *place, const char *prefix);
void disk_place_at(struct disk_place *place, const char *base);

/* Remove it with all that is in it. */
void disk_place_remove(const struct disk_place *place);

/* Remove all that is in a folder of files. */
void disk_empty(const char *folder);

/*
 * Run this program with `arguments` (up to NULL; its name comes before them) under
 * record.so, which is beside it.  `fail`: which calls fail, as DISK_FAIL, and nothing is
 * recorded; NULL: it is.  Its exit status as waitpid() tells it, or -1.
 */
int disk_run(const struct disk_place *place, const char *fail, const char *const *arguments);

/* Map the file `shared` of the place, which grows to `bytes`.  NULL: it cannot be. */
void *disk_share(const struct disk_place *place, size_t bytes);

/* From such a program: a note in the log.  False: it is not recorded. */
bool disk_say(const char *text);

/* From one that was run with `fail` "": which calls of this thread fail from now on, as
 * DISK_FAIL; how many there were since then, how many of those failed, and the first's name. */
struct disk_calls {
    unsigned long all, failed;
    const char *first;
};
bool disk_fail(const char *how);
struct disk_calls disk_calls(void);

#endif
