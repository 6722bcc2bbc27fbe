/*
 * damage.h - for tests that write into a queue's object, word after word: the object mapped a
 * second time, calls that must return in their time, and children that make them, so that a
 * crash or a hang is seen.  A case that fails is printed as CASE="1 OFFSET VALUE ...", which
 * in the environment repeats it alone (0: before a handle is opened).
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

/* Map the queue `damage_target.name` and remember what it holds; put that back, unmap it. */
void damage_map(void);
void damage_unmap(void);

/* Add these words to the list. */
void damage_add_words(uint64_t off, uint64_t bytes);

/* In a child: start the clock for a call; check its result and return it.  An error must be
 * one of `errors` (0 ends them), and the call must not have worked for much more than `most_ns`;
 * otherwise the child exits. */
void damage_begin(void);
int64_t damage_is_fine(const char *call, int64_t rc, int64_t most_ns, const int *errors);

/* Exit, since a call failed that must not. */
void damage_give_up(const char *what, int64_t rc);

/* Put the queue in order, open it and do the damage, in the order that `d` asks for.  Returns
 * what shmq_open() returned. */
int damage_open(const struct damage *d, shmq_t **q);

/* Run all cases, or fail the test. */
void damage_run(const struct damage *cases, unsigned count,
                void (*one_case)(const struct damage *d));

#endif
