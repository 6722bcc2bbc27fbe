/*
 * stat_scan.h - what shmq-stat finds out by looking at every message of a queue: its dead
 * letters, and how many messages there are of each priority.
 */
#ifndef SHMQ_STAT_SCAN_H
#define SHMQ_STAT_SCAN_H

struct watch;
struct watched;

/*
 * Look at those of the queue that is open, for what is wanted: 0 or a negative errno.
 * Unlike the other figures they are not had without a lock and without permission to write.
 */
int stat_look(const struct watch *w, struct watched *one);

#endif
