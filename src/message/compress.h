/*
 * compress.h - payloads made shorter by liblz4, where the library is built with it.
 */
#ifndef SQ_COMPRESS_H
#define SQ_COMPRESS_H

#include <stddef.h>

#include "ring/record.h"

/* 0, or -ENOTSUP: this library is built without. */
int sq_compress_supported(void);

/*
 * Compress `bytes` of `data` into memory that the caller frees.  Its length, 0 if that
 * would not be shorter, -ENOMEM.
 */
ssize_t sq_compress(const void *data, size_t bytes, void **compressed);

/* Decompress a message's payload into the caller's memory, of view->plain_bytes.  0,
 * -ENOTSUP, -EBADMSG.  (unpack.h has the memory as well.) */
int sq_decompress_to(const struct sq_view *view, void *plain);

#endif
