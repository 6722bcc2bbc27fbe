/*
 * message.h - messages that say who put them and whether they are whole.
 *
 * A message begins with its source, its number there, its length and a check
 * sum; the rest is filled after source and number.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct message_head {
    uint32_t source;
    uint32_t seq;
    uint32_t length; /* all of it */
    uint32_t sum;
};

/* Write a message of `length` bytes (at least a head) to `buffer`. */
void message_build(void *buffer, uint32_t source, uint32_t seq, size_t length);

/* Whether the `length` bytes are a whole message; fills *head. */
bool message_whole(const void *buffer, ssize_t length, struct message_head *head);

/* A small generator of numbers for tests: xorshift, never 0. */
uint32_t message_random(uint64_t *state);

#endif
