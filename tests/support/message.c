/*
 * message.c - see message.h.
 */
#include "support/message.h"

#include <string.h>

static uint32_t mix(uint32_t sum, uint32_t word)
{
    return (sum ^ word) * 0x01000193u + (sum >> 15);
}

static uint32_t sum_of(const struct message_head *head, const unsigned char *rest)
{
    uint32_t sum = mix(mix(mix(0x811c9dc5u, head->source), head->seq), head->length);
    size_t n = head->length - sizeof(*head);

    for (; n >= 4; n -= 4, rest += 4) {
        uint32_t word;
        memcpy(&word, rest, 4);
        sum = mix(sum, word);
    }
    for (; n > 0; n--)
        sum = mix(sum, *rest++);
    return sum;
}

void message_build(void *buffer, uint32_t source, uint32_t seq, size_t length)
{
    struct message_head head = {source, seq, (uint32_t)length, 0};
    unsigned char *rest = (unsigned char *)buffer + sizeof(head);

    memset(rest, (int)((source * 31 + seq * 7 + 1) & 0xff), length - sizeof(head));
    head.sum = sum_of(&head, rest);
    memcpy(buffer, &head, sizeof(head));
}

bool message_whole(const void *buffer, ssize_t length, struct message_head *head)
{
    *head = (struct message_head){0};
    if (length < (ssize_t)sizeof(*head))
        return false;
    memcpy(head, buffer, sizeof(*head));
    return head->length == (size_t)length &&
           head->sum == sum_of(head, (const unsigned char *)buffer + sizeof(*head));
}

uint32_t message_random(uint64_t *state)
{
    uint64_t x = *state != 0 ? *state : 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return (uint32_t)(x >> 16);
}
