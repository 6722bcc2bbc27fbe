/*
 * check_repair.c - the new file that shmq-check --repair makes, see check.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq-check/check.h"

const char *check_repaired(const struct check_request *r, char *buffer, size_t size)
{
    if (r->out != NULL)
        return r->out;
    snprintf(buffer, size, "%s.repaired", r->target);
    return buffer;
}

static int failure(const char *path, int rc)
{
    const char *advice = rc == -EEXIST ? "name another file behind --repair, or remove that one"
                         : rc == -ENOSPC || rc == -EACCES || rc == -EROFS
                             ? "name a file elsewhere behind --repair"
                             : NULL;

    cli_complain(path, strerror(-rc), shmq_last_error_detail(), advice);
    return -CLI_FAILURE;
}

/* Whether a queue can be made of what was written. */
static int read_again(int fd)
{
    struct sq_image *image = calloc(1, sizeof(*image));
    struct sq_file_bytes bytes = {0};
    int rc = image == NULL ? -ENOMEM : sq_file_read(fd, &bytes);

    if (rc == 0) {
        int verdict = check_judge(bytes.bytes, bytes.size, image);
        rc = verdict < 0 ? verdict : verdict == CHECK_WHOLE ? 0 : -EBADMSG;
        sq_image_free(image);
    }
    sq_file_free(&bytes);
    free(image);
    return rc;
}

static int write_file(const struct salvage *s, const char *path)
{
    struct sq_file_path absolute;
    struct sq_file_out out;
    int rc = sq_file_path(&absolute, path);

    if (rc == 0 && access(absolute.text, F_OK) == 0)
        return -EEXIST;
    if (rc == 0)
        rc = sq_file_begin(&out, &absolute);
    if (rc < 0)
        return rc;
    rc = salvage_write(s, &out);
    if (rc == 0)
        rc = sq_file_flush(&out);
    if (rc == 0)
        rc = read_again(out.fd);
    if (rc < 0) {
        sq_file_abandon(&out);
        return rc;
    }
    rc = sq_file_finish(&out, SQ_FILE_NEW);
    if (rc < 0)
        return rc;
    close(rc);
    return 0;
}

int check_repair(const struct check_request *r, const struct salvage *s, struct text *text)
{
    char buffer[SQ_FILE_PATH_BYTES + 16];
    const char *path = check_repaired(r, buffer, sizeof(buffer));

    if (!s->any) {
        if (r->json)
            text_add(text, ",\"repaired\":null");
        else
            check_line(text, "saved", "nothing can be read; there is no new file");
        return 1;
    }
    int rc = write_file(s, path);
    if (rc < 0)
        return failure(path, rc);
    if (!r->json) {
        check_line(text, "saved", "%llu messages, to %s", (unsigned long long)s->saved, path);
        if (s->in_doubt > 0)
            check_line(text, "doubt",
                       "%llu times a group may have finished a message that waits "
                       "again",
                       (unsigned long long)s->in_doubt);
        return 0;
    }
    text_add(text, ",\"repaired\":{\"file\":");
    text_json_string(text, path, strlen(path));
    text_format(text, ",\"messages\":%llu,\"in_doubt\":%llu}", (unsigned long long)s->saved,
                (unsigned long long)s->in_doubt);
    return 0;
}
