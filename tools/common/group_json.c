/*
 * group_json.c - the figures of a group, see group_json.h.
 */
#include "common/group_json.h"

#include <string.h>

static const char *const reasons[GROUP_REASONS] = {
    [SHMQ_REASON_UNKNOWN] = "unknown",       [SHMQ_REASON_VALIDATION] = "validation",
    [SHMQ_REASON_PROCESSING] = "processing", [SHMQ_REASON_TIMEOUT] = "timeout",
    [SHMQ_REASON_DEPENDENCY] = "dependency", [SHMQ_REASON_ATTEMPTS] = "attempts",
    [SHMQ_REASON_EXPIRED] = "expired",       [GROUP_REASONS - 1] = "application",
};

const char *group_reason(uint32_t reason)
{
    return reasons[reason < GROUP_REASONS ? reason : GROUP_REASONS - 1];
}

static void add_member(struct text *out, const char *name, uint64_t value)
{
    text_format(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

void group_add_json(struct text *out, const struct shmq_group_stats *g)
{
    text_add(out, "{\"group\":");
    text_json_string(out, g->name, strnlen(g->name, sizeof(g->name)));
    add_member(out, "backlog", g->backlog);
    add_member(out, "waiting", g->waiting);
    add_member(out, "delayed", g->delayed);
    add_member(out, "leased", g->leased);
    add_member(out, "dead", g->dead);
    add_member(out, "delivered_count", g->delivered_count);
    add_member(out, "redelivered_count", g->redelivered_count);
    add_member(out, "acked_count", g->acked_count);
    add_member(out, "nacked_count", g->nacked_count);
    add_member(out, "lost_lease_count", g->lost_lease_count);
    add_member(out, "dead_count", g->dead_count);
    text_add(out, ",\"dead_by_reason\":{");
    for (uint32_t i = 0; i < GROUP_REASONS; i++)
        text_format(out, "%s\"%s\":%llu", i ? "," : "", reasons[i],
                    (unsigned long long)g->dead_by_reason[i]);
    text_add(out, "}");
    add_member(out, "expired_count", g->expired_count);
    add_member(out, "dropped_count", g->dropped_count);
    add_member(out, "filtered_count", g->filtered_count);
    text_format(out, ",\"oldest_age_ns\":%lld,\"next_due_ns\":%lld", (long long)g->oldest_age_ns,
                (long long)g->next_due_ns);
    text_format(out, ",\"members\":%u,\"paused\":%s}", g->members, g->paused ? "true" : "false");
}
