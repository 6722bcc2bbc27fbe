/*
 * group_scene.h - a ring with its groups' pending tables in plain memory, next to the
 * reference that says what should be in it.
 *
 *     group_scene.c   making the ring, writing records, dying in the middle
 *     group_check.c   whether the ring is as the reference says
 *     group_steps.c   the steps: each does the same to both, and compares
 *     group_moves.c   those that make, move, pause and remove groups
 *     unit/test_group.c    random steps, in every configuration
 *
 * A scene is deterministic: the same configuration and steps, the same end.
 */
#ifndef GROUP_SCENE_H
#define GROUP_SCENE_H

#include "api/group_stats.h"
#include "group/fast_path.h"
#include "group/group.h"
#include "group/key_index.h"
#include "group/ring_compact.h"
#include "group/seek.h"
#include "reference/reference.h"
#include "reference/shrink.h"

enum {
    SCENE_CAPACITY = 4096,
    SCENE_LEASES = 24, /* that are remembered, ended ones too */
    SCENE_OWNERS = 4,
    SCENE_KEYS = 12,
    SCENE_STEPS = 3000,
    SCENE_TEXT = 512,
};

struct scene_config {
    uint32_t order, group_count, entry_count;
    uint64_t max_messages;
    uint64_t start_pos;
    bool unique, full_drop;
    uint32_t max_attempts[REF_GROUPS], filter_type[REF_GROUPS];
    bool dead_letter[REF_GROUPS], dead_letter_expired[REF_GROUPS];
};

/* What must have come to pass in all the scenes together. */
enum scene_event {
    EVENT_PUT,
    EVENT_PUT_PLAIN,
    EVENT_NO_BYTES,
    EVENT_NO_COUNT,
    EVENT_KEY_TAKEN,
    EVENT_COMPACTED,
    EVENT_COMPACTED_FOR_PUT,
    EVENT_COMPACTED_SHARED,
    EVENT_LEASED_IN_THE_WAY,
    EVENT_NOT_WANTED,
    EVENT_WANTED_LATER,
    EVENT_WRAPPED,
    EVENT_FRESH,
    EVENT_RETURNED,
    EVENT_NOTHING,
    EVENT_DOOMED,
    EVENT_TABLE_FULL,
    EVENT_WALK_FULL,
    EVENT_HELD_INSTEAD,
    EVENT_SHORT_LEASE,
    EVENT_SHORT_NOTHING,
    EVENT_SHORT_ACK,
    EVENT_FILTERED,
    EVENT_EXPIRED_FRESH,
    EVENT_EXPIRED_HELD,
    EVENT_OUT_OF_ATTEMPTS,
    EVENT_LEASE_OVER,
    EVENT_OWNER_LOST,
    EVENT_BURIER_LOST,
    EVENT_DEAD_LETTER_AGAIN,
    EVENT_SENT,
    EVENT_NOT_SENT,
    EVENT_PARKED,
    EVENT_ACKED,
    EVENT_STALE,
    EVENT_NACKED,
    EVENT_NACKED_DELAYED,
    EVENT_NACKED_BACK,
    EVENT_TOUCHED,
    EVENT_OLDEST_LEASE,
    EVENT_LEASES_UPTO,
    EVENT_PURGED,
    EVENT_REVIVED,
    EVENT_REVIVAL_REFUSED,
    EVENT_DROPPED_FRESH,
    EVENT_DROPPED_HELD,
    EVENT_DROP_REFUSED,
    EVENT_REMOVED_FRESH,
    EVENT_REMOVED_HELD,
    EVENT_REMOVED_BOTH,
    EVENT_UPDATED_FRESH,
    EVENT_UPDATED_HELD,
    EVENT_UPDATED_BOTH,
    EVENT_UPDATED_AGAIN,
    EVENT_CHANGE_BUSY,
    EVENT_HEAP_OVERFLOWED,
    EVENT_REBUILT,
    EVENT_SUBSCRIBED,
    EVENT_SUBSCRIBED_BEHIND,
    EVENT_SUBSCRIBED_ALONE,
    EVENT_UNSUBSCRIBED,
    EVENT_NO_GROUP,
    EVENT_SOUGHT_ON,
    EVENT_SOUGHT_BACK,
    EVENT_SOUGHT_HELD,
    EVENT_SEEK_BUSY,
    EVENT_PAUSED,
    EVENT_RESUMED,
    EVENT_DIED_IN_PUT,
    EVENT_DIED_IN_LEASE,
    EVENT_DIED_IN_LEASE_OF_UPDATED,
    EVENT_DIED_IN_UPDATE,
    EVENT_COUNT,
};

extern const char *const scene_event_names[EVENT_COUNT];

/* A lease that was had once: in the ring's words, and in the reference's. */
struct scene_lease {
    int group;
    struct sq_lease lease;
    uint64_t id, pos; /* id 0: none, or none any more */
    uint32_t attempts, owner;
    bool dying;
};

struct scene {
    struct scene_config config;
    struct sq_ring ring; /* reads as the first group; see scene_ring() */
    _Atomic uint64_t group_bits;
    struct reference ref;
    struct scene_lease leases[SCENE_LEASES]; /* a circle */
    uint64_t lease_count;
    uint32_t owners[SCENE_OWNERS];
    uint64_t backs[REF_GROUPS], backs_id; /* to the back since message backs_id was next */
    uint64_t events[EVENT_COUNT];
    uint64_t steps_done;
    bool careful; /* compare everything after each step */
    bool verbose; /* say what each step does */
    bool failed;
    char failure[SCENE_TEXT];
};

/* Make the memory, once; begin anew with a configuration. */
void scene_make(struct scene *s);
void scene_free(struct scene *s);
void scene_begin(struct scene *s, const struct scene_config *config);

/* The ring as a group sees it. */
struct sq_ring scene_ring(const struct scene *s, int group);

/* Note the first failure. */
__attribute__((format(printf, 2, 3))) void scene_fail(struct scene *s, const char *format, ...);

/* For verbose scenes. */
__attribute__((format(printf, 2, 3))) void scene_say(const struct scene *s, const char *format,
                                                     ...);

/* Fail unless both are the same. */
void scene_same(struct scene *s, const char *what, int64_t is, int64_t should_be);

/* The bytes that a record for this message takes in the ring; write it to `pos`. */
uint64_t scene_record_bytes(const struct ref_message *m);
void scene_write(const struct scene *s, uint64_t pos, uint64_t id, uint32_t tag,
                 const struct ref_message *m);
bool scene_is_plain(const struct ref_message *m);
uint32_t scene_key(char *text, int key);

/* Overwrite what is derived on a group's side, as a death or damage may leave it. */
void scene_scribble(struct scene *s, int group, uint32_t seed);

/* Do one step on both, and compare.  False: it failed. */
bool scene_step(struct scene *s, const struct step *step);

/* What a step may do; the weight of each is the caller's. */
enum step_kind {
    STEP_PUT,
    STEP_RECEIVE,
    STEP_GET,
    STEP_LOOK,
    STEP_ACK,
    STEP_NACK,
    STEP_REJECT,
    STEP_DEAD_LETTER,
    STEP_TOUCH,
    STEP_OLDEST,
    STEP_TIME,
    STEP_OWNER_DIES,
    STEP_PURGE,
    STEP_REVIVE,
    STEP_DROP,
    STEP_REMOVE,
    STEP_UPDATE,
    STEP_COMPACT,
    STEP_SUBSCRIBE,
    STEP_UNSUBSCRIBE,
    STEP_SEEK,
    STEP_PAUSE,
    STEP_PART,
    STEP_REBUILD,
    STEP_DIE_IN_PUT,
    STEP_DIE_IN_LEASE,
    STEP_DIE_IN_UPDATE,
    STEP_KINDS,
};

/* --- group_moves.c --- */

/* Whether the group is there. */
static inline bool scene_has(const struct scene *s, uint32_t group)
{
    return s->ref.groups[group].there;
}

/* Make a group, as the configuration says. */
void scene_start_group(struct scene *s, int group, int start, uint64_t at);

void scene_subscribe(struct scene *s, const struct step *step);
void scene_unsubscribe(struct scene *s, const struct step *step);
void scene_seek(struct scene *s, const struct step *step);
void scene_pause(struct scene *s, const struct step *step);
void scene_part(struct scene *s, const struct step *step);

/* --- checking ------------------------------------------------------------- */

/* Whether the view shows message `m`, all of it. */
void scene_check_view(struct scene *s, const struct sq_view *view, const struct ref_message *m);

/* The cheap comparison, after each step. */
void scene_check_counts(struct scene *s);

/* Everything: each record, entry, list, heap and key. */
void scene_check_all(struct scene *s);

/* Whether space ends where the reference says. */
void scene_check_room(struct scene *s, uint64_t bytes, uint64_t count, int rc);

/* After a compaction: where everything is now, and whether it is as close as can be. */
void scene_check_compacted(struct scene *s, uint64_t freed, uint64_t low_before);

uint64_t scene_low(const struct scene *s);

/* The position of the first record that a topic still has. */
uint64_t scene_history(const struct scene *s);

#endif
