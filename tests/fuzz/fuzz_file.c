/*
 * fuzz_file.c - a libFuzzer target: any bytes as a file, read as the library reads it and
 * as who salvages does.  Whatever they are nothing may crash, and what is read must be
 * sound, and a queue that is made of it, too (`make check-fuzz`).
 *
 * The first two bytes say how the others are taken (enum fuzz_mode, and a frame's number).
 * Without a right check at each frame a fuzzer would never get beyond the first one, so
 * checks and numbers may be put right; then one frame may be spoiled again, for what
 * comes after damage.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc.h"
#include "fuzz/fuzz_queue.h"
#include "persist/restore.h"
#include "shmq-check/salvage.h"

enum fuzz_mode {
    FUZZ_RIGHT = 1,    /* put the header's and the frames' checks right */
    FUZZ_SHORT = 2,    /* the header is its struct alone; the frames follow it */
    FUZZ_SPOILED = 4,  /* spoil the frame whose number the second byte is */
    FUZZ_HEADLESS = 8, /* with FUZZ_RIGHT: spoil the header, its salt included */
};

enum { ENTRIES_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- making a file of the input ---------------------------------------------------- */

/* As much memory as there are entries may be asked for; it need not be here. */
static void limit_entries(struct sq_frame *frame)
{
    struct sq_frame_entries *e = (void *)(frame + 1);
    struct sq_frame_item *items = (void *)(e + 1);

    if (frame->kind % SQ_FRAME_KINDS != SQ_FRAME_ENTRIES || frame->bytes < sizeof(*e))
        return;
    for (size_t i = 0; i < (frame->bytes - sizeof(*e)) / sizeof(*items); i++)
        items[i].entry %= ENTRIES_MAX;
}

static void put_right(unsigned char *bytes, uint64_t size, unsigned spoiled)
{
    struct sq_file_header *header = (void *)bytes;
    uint64_t off = SQ_FILE_HEADER_BYTES;

    header->queue[sizeof(header->queue) - 1] = 0;
    if (header->entry_count > ENTRIES_MAX)
        header->entry_count = ENTRIES_MAX;
    sq_file_header_seal(header);
    for (uint64_t number = 1; size - off >= sizeof(struct sq_frame); number++) {
        struct sq_frame *frame = (void *)(bytes + off);
        uint64_t left = size - off - sizeof(*frame);
        if (sq_frame_total(frame->bytes) - sizeof(*frame) > left)
            frame->bytes = (uint32_t)(left & ~(uint64_t)(SQ_FRAME_ALIGN - 1));
        limit_entries(frame);
        struct sq_piece piece = {frame + 1, frame->bytes};
        sq_frame_make(frame, header->salt, frame->kind % SQ_FRAME_KINDS, number, frame->synced_off,
                      &piece, 1);
        if (number == spoiled)
            frame->check++;
        off += sq_frame_total(frame->bytes);
    }
}

static unsigned char *make_file(const uint8_t *data, size_t length, unsigned mode, unsigned spoiled,
                                uint64_t *size)
{
    const size_t head = sizeof(struct sq_file_header);
    bool is_short = (mode & FUZZ_SHORT) != 0 && length >= head;

    *size = is_short ? SQ_FILE_HEADER_BYTES + length - head : length;
    unsigned char *bytes = calloc(1, *size > 0 ? *size : 1);
    REQUIRE(bytes != NULL);
    if (is_short) {
        memcpy(bytes, data, head);
        memcpy(bytes + SQ_FILE_HEADER_BYTES, data + head, length - head);
    } else if (length > 0) {
        memcpy(bytes, data, length);
    }
    if ((mode & FUZZ_RIGHT) == 0 || *size < SQ_FILE_HEADER_BYTES)
        return bytes;
    put_right(bytes, *size, (mode & FUZZ_SPOILED) != 0 ? spoiled : 0);
    if ((mode & FUZZ_HEADLESS) != 0) {
        ((struct sq_file_header *)(void *)bytes)->salt++;
        ((struct sq_file_header *)(void *)bytes)->check++;
    }
    return bytes;
}

/* --- reading it ------------------------------------------------------------------------ */

/* Every byte of it is in the file, and is looked at. */
static uint32_t look_at(const struct sq_record_shm *record, const unsigned char *bytes,
                        uint64_t size)
{
    uint64_t off = (uint64_t)((const unsigned char *)record - bytes);

    REQUIRE(off >= SQ_FILE_HEADER_BYTES && off < size && off % 8 == 0);
    REQUIRE(sizeof(*record) + record->length <= size - off);
    if ((record->tag & SQ_RECORD_EXTENDED) != 0) {
        const struct sq_extension_shm *e = (const void *)(record + 1);
        REQUIRE(record->length >= sizeof(*e) && e->bytes <= record->length);
        REQUIRE(sizeof(*e) + e->key_bytes + (uint64_t)e->header_bytes <= e->bytes);
    }
    return sq_crc32c(0, record, sizeof(*record) + record->length);
}

/* What an image must be that was found to be whole. */
static void must_be_sound(const struct sq_image *image, const unsigned char *bytes, uint64_t size)
{
    uint64_t before = 0;
    uint32_t all = 0;

    for (size_t i = 0; i < image->message_count; i++) {
        const struct sq_image_message *m = &image->messages[i];
        REQUIRE(m->id > before && m->id < image->queue.next_id);
        REQUIRE(sq_image_find(image, m->id) == m);
        before = m->id;
        if (m->record != NULL) {
            all ^= look_at(m->record, bytes, size);
            all ^= (uint32_t)sq_image_realtime(image, m->record, m->record->put_ns);
        }
    }
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++) {
        const struct sq_image_group *g = &image->groups[i];
        if (!g->there)
            continue;
        REQUIRE(i < image->header->group_count && g->attr.group == i);
        REQUIRE(g->attr.finished_id < image->queue.next_id);
        REQUIRE(strlen(g->attr.name) < sizeof(g->attr.name));
        for (uint32_t k = 0; k < g->item_count; k++) {
            const struct sq_frame_item *item = &g->items[k];
            if ((item->word & 0xff) == SQ_FREE)
                continue;
            REQUIRE(k < image->header->entry_count && item->entry == k);
            const struct sq_image_message *m = sq_image_find(image, item->id);
            REQUIRE(m != NULL && m->record != NULL && m->id <= g->attr.finished_id);
        }
    }
    volatile uint32_t keep = all; /* or the looks might be left out */
    (void)keep;
}

/* Whether some group has it yet to finish. */
static bool is_needed(const struct sq_image *image, const struct sq_image_message *m)
{
    for (uint32_t i = 0; m->record != NULL && i < SQ_GROUPS_MAX; i++) {
        const struct sq_image_group *g = &image->groups[i];
        if (g->there && m->id > g->attr.finished_id)
            return true;
        for (uint32_t k = 0; g->there && k < g->item_count; k++)
            if ((g->items[k].word & 0xff) != SQ_FREE && g->items[k].id == m->id)
                return true;
    }
    return false;
}

/* What was saved makes a queue, which has all that is needed of `whole` (NULL: the file was
 * not). */
static void must_load(const struct salvage *s, const struct sq_image *whole)
{
    static unsigned char room[1 << 20]; /* as much as file/file.c has in memory, and more */
    static int fd = -1;
    struct sq_file_out out = {.buffer = room};
    struct sq_file_bytes bytes;
    struct shmq_attr attr;
    struct sq_image image;

    fd = fd < 0 ? memfd_create("saved", 0) : fd;
    REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0);
    out.fd = fd;
    REQUIRE(salvage_write(s, &out) == 0 && sq_file_flush(&out) == 0);
    REQUIRE(sq_file_read(fd, &bytes) == 0 && bytes.size == out.off);
    REQUIRE(sq_image_read(&image, bytes.bytes, bytes.size) == 0 && !image.is_torn);
    REQUIRE(sq_restore_attr(&image, &attr) == 0);
    must_be_sound(&image, bytes.bytes, bytes.size);
    for (size_t i = 0; whole != NULL && i < whole->message_count; i++)
        if (is_needed(whole, &whole->messages[i])) {
            const struct sq_image_message *m = sq_image_find(&image, whole->messages[i].id);
            REQUIRE(m != NULL && is_needed(&image, m));
        }
    sq_image_free(&image);
    sq_file_free(&bytes);
}

/* As who reads on after damage; it ends, and there is a queue in the end. */
static void salvage(const unsigned char *bytes, uint64_t size, const struct sq_image *whole)
{
    struct salvage *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    int rc = salvage_read(s, bytes, size, INT64_C(1) << 60);
    if (rc == 0)
        must_load(s, whole);
    else
        REQUIRE((rc == -EPROTO || rc == -ENOMEM) && whole == NULL);
    salvage_free(s);
    free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct sq_image image;
    uint64_t size;

    if (length < 2)
        return 0;
    unsigned char *bytes = make_file(data + 2, length - 2, data[0], data[1], &size);
    int rc = sq_image_read(&image, bytes, size);
    if (rc == 0) {
        must_be_sound(&image, bytes, size);
        fuzz_queue(&image);
    }
    salvage(bytes, size, rc == 0 && !image.is_torn ? &image : NULL);
    sq_image_free(&image);
    free(bytes);
    return 0;
}
