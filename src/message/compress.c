/*
 * compress.c - see compress.h.  The format is LZ4's block; the length before is in the
 * record's extension.
 */
#include "message/compress.h"

#include <stdlib.h>

#include "base/error.h"

#ifdef SQ_WITH_LZ4
#include <limits.h>
#include <lz4.h>

int sq_compress_supported(void)
{
    return 0;
}

ssize_t sq_compress(const void *data, size_t bytes, void **compressed)
{
    *compressed = NULL;
    if (bytes > LZ4_MAX_INPUT_SIZE)
        return 0;
    *compressed = malloc(bytes);
    if (*compressed == NULL)
        return sq_fail(-ENOMEM, "no memory to compress %zu bytes", bytes);
    /* Less room than the message takes: what would not be shorter does not fit. */
    int n = LZ4_compress_default(data, *compressed, (int)bytes, (int)bytes - 1);
    if (n <= 0) {
        free(*compressed);
        *compressed = NULL;
    }
    return n > 0 ? n : 0;
}

int sq_decompress_to(const struct sq_view *view, void *plain)
{
    if (view->plain_bytes > LZ4_MAX_INPUT_SIZE || view->payload_bytes > INT_MAX)
        return sq_fail(-EBADMSG, "a compressed payload has senseless lengths");
    int n = LZ4_decompress_safe((const char *)view->payload, plain, (int)view->payload_bytes,
                                (int)view->plain_bytes);
    return n == (int)view->plain_bytes ? 0 : sq_fail(-EBADMSG, "a compressed payload is damaged");
}
#else
int sq_compress_supported(void)
{
    return sq_fail(-ENOTSUP, "this library is built without liblz4");
}

ssize_t sq_compress(const void *data, size_t bytes, void **compressed)
{
    (void)data;
    (void)bytes;
    *compressed = NULL;
    return sq_compress_supported();
}

int sq_decompress_to(const struct sq_view *view, void *plain)
{
    (void)view;
    (void)plain;
    return sq_fail(-ENOTSUP, "the message is compressed, and this library is built without "
                             "liblz4; it stays");
}
#endif
