/*
 * faults.h - within record.so: which files are meant, and which calls on them fail.
 */
#ifndef DISK_FAULTS_H
#define DISK_FAULTS_H

#include <stdbool.h>

enum { DISK_PATH_MAX = 4096 };

/* The part of an absolute path that is within the folder, or NULL. */
const char *disk_within(const char *path);

/* Likewise of a descriptor; "" is the folder itself. */
const char *disk_within_fd(int fd, char path[DISK_PATH_MAX]);

/* How a call can fail, and how it does. */
enum { CAN_EIO = 1, CAN_ENOSPC = 2, CAN_SHORT = 4, CAN_WRITE = 7 };
enum { NO_FAULT = 0, FAULT_SHORT = -1 }; /* or an errno */

/* Whether any is to fail. */
bool disk_may_fail(void);

/* Is it the turn of this call? */
int disk_fault(const char *name, int can);

/* For those that can only fail with EIO: whether it does; that is in errno then. */
bool disk_fails(const char *name);

#endif
