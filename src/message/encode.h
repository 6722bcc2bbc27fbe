/*
 * encode.h - a message on its way into the ring: checked, measured, written.
 */
#ifndef SQ_ENCODE_H
#define SQ_ENCODE_H

#include "ring/record.h"

/* What a message becomes. */
struct sq_outgoing {
    const struct shmq_msg *msg;
    const void *payload; /* as it is stored */
    size_t payload_bytes;
    uint32_t extension_bytes; /* 0: a plain record */
    uint32_t header_bytes;
    uint32_t plain_bytes; /* of the payload before it was compressed, or 0 */
    int64_t due_ns, expiry_ns;
    void *owned; /* to be freed */
};

/*
 * Check a message and measure it; payloads of at least `compress_bytes` (0: none) are
 * compressed.  0, -EINVAL with the culprit named, -ENOMEM.
 */
int sq_encode_prepare(struct sq_outgoing *out, const struct shmq_msg *msg, uint32_t compress_bytes);

/* The bytes between record header and record end, padding apart. */
static inline uint64_t sq_encode_length(const struct sq_outgoing *out)
{
    return out->extension_bytes + (uint64_t)out->payload_bytes;
}

/* Write it to where a record's payload begins; there is room. */
void sq_encode_write(const struct sq_outgoing *out, unsigned char *to);

void sq_encode_free(struct sq_outgoing *out);

#endif
