/*
 * json_import.h - a message as shmq export writes it: a JSON object on a line.
 */
#ifndef SHMQ_JSON_IMPORT_H
#define SHMQ_JSON_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "shmq.h"

/* A line that was read; all zero at first. */
struct json_line {
    struct shmq_msg msg; /* to be sent; points into what follows */
    void *root;          /* the parser's */
    struct shmq_header *headers;
    void **bytes; /* what was in base64 */
    size_t byte_count;
    char why[192]; /* it is refused; in words */
};

/* Is there a parser in this program? */
bool json_line_supported(void);

/* Read a line.  False: it says in l->why what is wrong with it.  Free it either way. */
bool json_line_read(struct json_line *l, const char *text, size_t length);
void json_line_free(struct json_line *l);

#endif
