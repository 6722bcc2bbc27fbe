/*
 * check_load.c - a file read as shmq_load() reads it, see check.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "common/cli.h"
#include "persist/restore.h"
#include "shmq-check/check.h"

enum { LOOKS = 10, PAUSE_NS = 50 * 1000 * 1000 };

static int read_file(const char *path, struct sq_file_bytes *bytes, int64_t *file_ns)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for a FIFO */
    struct stat st;

    if (fd < 0)
        return sq_fail(-errno, "cannot open it");
    int rc = fstat(fd, &st) != 0 ? sq_fail(-errno, "cannot look at it") : 0;
    if (rc == 0 && !S_ISREG(st.st_mode))
        rc = sq_fail(-EPROTO, "not a regular file");
    if (rc == 0) {
        *file_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        rc = sq_file_read(fd, bytes);
    }
    close(fd);
    return rc;
}

int check_judge(const void *bytes, uint64_t size, struct sq_image *image)
{
    struct shmq_attr attr;
    int rc = sq_image_read(image, bytes, size);

    if (rc == 0)
        rc = sq_restore_attr(image, &attr);
    if (rc == 0)
        return image->is_torn ? CHECK_TORN : CHECK_WHOLE;
    return rc == -EBADMSG ? CHECK_REFUSED : rc == -EPROTO ? CHECK_FOREIGN : rc;
}

/* Whether two looks have found the same to be wrong.  Damage in a file that grows
 * is still there; an end may look torn as long as somebody writes to it. */
static bool is_certain(const struct check_bytes *f, enum check_verdict before, const char *why,
                       const struct sq_file_bytes *bytes)
{
    if (f->verdict != before || strcmp(f->why, why) != 0)
        return false;
    return f->verdict != CHECK_TORN ||
           (bytes->size == f->bytes.size && memcmp(bytes->bytes, f->bytes.bytes, bytes->size) == 0);
}

static int look_once(struct check_bytes *f)
{
    sq_image_free(&f->image);
    f->image = (struct sq_image){0};
    f->bytes = (struct sq_file_bytes){0};
    int rc = read_file(f->path, &f->bytes, &f->written_ns);
    if (rc == 0)
        rc = check_judge(f->bytes.bytes, f->bytes.size, &f->image);
    if (rc < 0)
        return rc;
    f->verdict = (enum check_verdict)rc;
    snprintf(f->why, sizeof(f->why), "%s",
             rc == CHECK_REFUSED || rc == CHECK_FOREIGN ? shmq_last_error_detail() : "");
    return 0;
}

/* Judge it, until it is whole or what is wrong was wrong before. */
int check_look_at(struct check_bytes *f)
{
    int rc = look_once(f);
    bool certain = false;

    for (int looks = 1; rc == 0 && f->verdict != CHECK_WHOLE && !certain && looks < LOOKS;
         looks++) {
        struct sq_file_bytes bytes = f->bytes;
        enum check_verdict before = f->verdict;
        char why[sizeof(f->why)];
        memcpy(why, f->why, sizeof(why));
        cli_sleep_until(cli_now_ns() + PAUSE_NS);
        rc = look_once(f);
        certain = rc == 0 && is_certain(f, before, why, &bytes);
        sq_file_free(&bytes);
    }
    return rc;
}

void check_let_go(struct check_bytes *f)
{
    sq_image_free(&f->image);
    sq_file_free(&f->bytes);
}
