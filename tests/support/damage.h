/*
 * damage.h - for tests that write into a queue's object, word after word: the object mapped a
 * second time, calls that must return in their time, and children that make them, so that a
 * crash or a hang is seen.  CASE="1 OFFSET VALUE ..." repeats one case, as it is told when it
 * fails (0: before a handle is opened).
 */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "support/helper.h"

enum { DAMAGE_WORDS_MAX = 4000, DAMAGE_HITS_MAX = 8 };

/* What is overwritten. */
struct damage {
    bool live; /* under an open handle */
    unsigned count;
    struct {
        uint32_t off, value;
    } hits[DAMAGE_HITS_MAX];
};

/* The queue, and what it was when in order. */
extern struct damage_target {
    char name[64];
    unsigned char *object, *image;
    size_t bytes;
    uint32_t offs[DAMAGE_WORDS_MAX]; /* of words to be hit */
    unsigned word_count;
} damage_target;

/* Of the queue `damage_target.name`, which is as it is to be; puts that right again. */
void damage_map(void);
void damage_unmap(void);

/* List these words. */
void damage_add_words(uint64_t off, uint64_t bytes);

/* In a child: time begins for a call, and its result is checked and returned: no error but
 * these (0 ends them), not much later than `most_ns` after the beginning.  Or the child ends. */
void damage_begin(void);
int64_t damage_is_fine(const char *call, int64_t rc, int64_t most_ns, const int *errors);

/* What must not fail has. */
void damage_give_up(const char *what, int64_t rc);

/* The queue in order, a handle of it, and the damage done: what shmq_open() says. */
int damage_open(const struct damage *d, shmq_t **q);

/* All cases, or fail the test.  One that is late is tried again so many times. */
void damage_run(const struct damage *cases, unsigned count, unsigned tries,
                void (*one_case)(const struct damage *d));

#endif
