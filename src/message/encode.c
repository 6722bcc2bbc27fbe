/*
 * encode.c - see encode.h.
 */
#include "message/encode.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "message/compress.h"

enum {
    NAME_MAX = 255,
    VALUE_MAX = 65535,
    HEADERS_MAX = 1024,
};

/* Letters, digits and marks, no blank, no '='. */
static bool is_name(const char *name)
{
    size_t n = 0;

    for (; name[n] != '\0' && n <= NAME_MAX; n++)
        if (name[n] <= ' ' || name[n] > '~' || name[n] == '=')
            return false;
    return n > 0 && n <= NAME_MAX;
}

static int check_header(const struct shmq_header *headers, unsigned i)
{
    const struct shmq_header *h = &headers[i];

    if (h->name == NULL || !is_name(h->name))
        return sq_fail(-EINVAL,
                       "headers[%u] has a name that is none: 1 to %d printable ASCII "
                       "characters without '=' and blanks",
                       i, NAME_MAX);
    if (h->value == NULL || strnlen(h->value, VALUE_MAX + 1) > VALUE_MAX)
        return sq_fail(-EINVAL, "header %s has no value, or one longer than %d", h->name,
                       VALUE_MAX);
    for (unsigned j = 0; j < i; j++)
        if (strcmp(headers[j].name, h->name) == 0)
            return sq_fail(-EINVAL, "header %s is there twice", h->name);
    return 0;
}

/* The bytes of the message's headers in the ring. */
static int measure_headers(const struct shmq_msg *msg, uint32_t *bytes)
{
    const char *name, *value;
    size_t sum = 0, off = 0;
    int rc = 1;

    if (msg->header_count > HEADERS_MAX)
        return sq_fail(-EINVAL, "%u headers are more than %d", msg->header_count, HEADERS_MAX);
    if (msg->headers == NULL && msg->header_count > 0)
        return sq_fail(-EINVAL, "headers is NULL and header_count %u", msg->header_count);
    for (unsigned i = 0; i < msg->header_count; i++) {
        rc = check_header(msg->headers, i);
        if (rc < 0)
            return rc;
        sum += strlen(msg->headers[i].name) + strlen(msg->headers[i].value) + 2;
    }
    if (msg->headers == NULL && msg->header_bytes > 0) {
        while (rc == 1)
            rc = sq_headers_next(msg->header_block, msg->header_bytes, &off, &name, &value);
        if (rc < 0 || msg->header_bytes > (size_t)HEADERS_MAX * VALUE_MAX)
            return sq_fail(-EINVAL, "header_block is not a received message's");
        sum = msg->header_bytes;
    }
    *bytes = (uint32_t)sum;
    return 0;
}

static int check_times(struct sq_outgoing *out)
{
    const struct shmq_msg *msg = out->msg;

    if (msg->delay_ns < 0 || msg->ttl_ns < 0 || msg->due_ns < 0)
        return sq_fail(-EINVAL, "delay_ns %lld, due_ns %lld or ttl_ns %lld is negative",
                       (long long)msg->delay_ns, (long long)msg->due_ns, (long long)msg->ttl_ns);
    if (msg->delay_ns > 0 && msg->due_ns > 0)
        return sq_fail(-EINVAL, "delay_ns and due_ns are both given");
    if (msg->delay_ns == 0 && msg->due_ns == 0 && msg->ttl_ns == 0)
        return 0;
    int64_t now_ns = sq_clock_ns(), delay_ns = msg->delay_ns;
    if (msg->due_ns > 0)
        delay_ns = msg->due_ns - sq_clock_offset_ns() - now_ns;
    if (delay_ns > 0)
        out->due_ns = delay_ns > SQ_NEVER - 1 - now_ns ? SQ_NEVER - 1 : now_ns + delay_ns;
    if (msg->ttl_ns > 0)
        out->expiry_ns = msg->ttl_ns > SQ_NEVER - now_ns ? SQ_NEVER : now_ns + msg->ttl_ns;
    return 0;
}

static int compress(struct sq_outgoing *out, uint32_t compress_bytes)
{
    if (compress_bytes == 0 || out->payload_bytes < compress_bytes)
        return 0;
    ssize_t n = sq_compress(out->payload, out->payload_bytes, &out->owned);
    if (n <= 0)
        return (int)n;
    out->plain_bytes = (uint32_t)out->payload_bytes;
    out->payload = out->owned;
    out->payload_bytes = (size_t)n;
    return 0;
}

int sq_encode_prepare(struct sq_outgoing *out, const struct shmq_msg *msg, uint32_t compress_bytes)
{
    *out = (struct sq_outgoing){
        .msg = msg, .payload = msg->data, .payload_bytes = msg->length, .owned = NULL};
    if (msg->size < sizeof(*msg))
        return sq_fail(-EINVAL, "msg->size is %zu; use SHMQ_MSG_INIT", msg->size);
    if (msg->data == NULL && msg->length > 0)
        return sq_fail(-EINVAL, "data is NULL and length %zu", msg->length);
    if (msg->key_length > SQ_KEY_MAX || (msg->key == NULL && msg->key_length > 0))
        return sq_fail(-EINVAL, "a key of %zu bytes is NULL or longer than %d", msg->key_length,
                       SQ_KEY_MAX);
    int rc = measure_headers(msg, &out->header_bytes);
    if (rc == 0)
        rc = check_times(out);
    if (rc == 0)
        rc = compress(out, compress_bytes);
    if (rc < 0)
        return rc;
    if (msg->type != 0 || msg->priority != 0 || out->due_ns != 0 || out->expiry_ns != 0 ||
        msg->key_length > 0 || out->header_bytes > 0 || msg->correlation != 0 ||
        out->plain_bytes != 0)
        out->extension_bytes = (uint32_t)sq_align_up(
            SQ_EXTENSION_BYTES + msg->key_length + out->header_bytes, SQ_RECORD_ALIGN);
    return 0;
}

static unsigned char *write_headers(const struct shmq_msg *msg, unsigned char *to)
{
    if (msg->headers == NULL && msg->header_bytes > 0) {
        memcpy(to, msg->header_block, msg->header_bytes);
        return to + msg->header_bytes;
    }
    for (unsigned i = 0; i < msg->header_count; i++) {
        to = (unsigned char *)stpcpy((char *)to, msg->headers[i].name) + 1;
        to = (unsigned char *)stpcpy((char *)to, msg->headers[i].value) + 1;
    }
    return to;
}

void sq_encode_write(const struct sq_outgoing *out, unsigned char *to)
{
    const struct shmq_msg *msg = out->msg;
    unsigned char *payload = to + out->extension_bytes;

    if (out->extension_bytes != 0) {
        struct sq_extension_shm e = {
            .bytes = out->extension_bytes,
            .type = msg->type,
            .priority = msg->priority,
            .header_bytes = out->header_bytes,
            .key_bytes = (uint16_t)msg->key_length,
            .flags = out->plain_bytes != 0 ? SQ_EXTENSION_COMPRESSED : 0,
            .plain_bytes = out->plain_bytes,
            .due_ns = out->due_ns,
            .expiry_ns = out->expiry_ns,
            .correlation = msg->correlation,
        };
        memcpy(to, &e, sizeof(e));
        to += sizeof(e);
        if (msg->key_length > 0)
            memcpy(to, msg->key, msg->key_length);
        to = write_headers(msg, to + msg->key_length);
        SQ_BUG_ON(to > payload);
        memset(to, 0, (size_t)(payload - to));
    }
    if (out->payload_bytes > 0)
        sq_copy(payload, out->payload, out->payload_bytes);
}

void sq_encode_free(struct sq_outgoing *out)
{
    free(out->owned);
    out->owned = NULL;
}
