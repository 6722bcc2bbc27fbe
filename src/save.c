/*
 * save.c - saving a queue to a file, and making one of a file.
 */
#include <stdlib.h>

#include "error.h"
#include "file.h"
#include "restore.h"
#include "snapshot.h"

int shmq_save(shmq_t *q, const char *path)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_FOREVER);
    int cancel = sq_cancel_hold();
    int rc = sq_make_ready_attached(q, &deadline);

    if (rc == 0)
        rc = sq_snapshot_write(q, path, &deadline);
    sq_cancel_release(cancel);
    return rc;
}

/* The image refers to the file's bytes. */
static int make_queue(const char *name, const struct sq_image *image)
{
    struct sq_segment segment;
    struct shmq_attr attr, checked;
    struct sq_path path;
    int rc = sq_segment_path(name != NULL ? name : image->header->queue, &path);

    if (rc < 0)
        return rc;
    sq_restore_attr(image, &attr);
    rc = sq_segment_attr(&attr, (int)attr.kind, &checked);
    if (rc < 0)
        return sq_fail(-EBADMSG, "the file's attributes make no sense");
    rc = sq_segment_create(&segment, &path, &checked, sq_restore_fill, image);
    if (rc == 0)
        sq_segment_close(&segment);
    return rc == -EEXIST ? sq_fail(rc, "there is a queue %s", path.text) : rc;
}

int shmq_load(const char *name, const char *path)
{
    int cancel = sq_cancel_hold();
    struct sq_image *image = malloc(sizeof(*image));
    uint64_t size = 0;
    void *bytes = NULL;
    int rc = image == NULL ? sq_fail(-ENOMEM, "no memory") : sq_file_read(path, &bytes, &size);

    if (rc == 0) {
        rc = sq_image_read(image, bytes, size);
        if (rc == 0)
            rc = make_queue(name, image);
        sq_image_free(image);
    }
    free(bytes);
    free(image);
    sq_cancel_release(cancel);
    return rc;
}
