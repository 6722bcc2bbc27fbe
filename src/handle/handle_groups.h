/*
 * handle_groups.h - entering several groups' sides, and keeping groups as they are.
 */
#ifndef SQ_HANDLE_GROUPS_H
#define SQ_HANDLE_GROUPS_H

#include "handle/handle.h"

/* Have groups neither made nor removed by others.  Before any side is entered. */
int sq_hold_groups(struct shmq *q, struct sq_deadline *deadline);
void sq_release_groups(struct shmq *q);

/* Have all the groups' sides, after P if that is wanted too.  0, or none is had. */
int sq_enter_groups(struct shmq *q, uint64_t *entered, struct sq_deadline *deadline);
void sq_leave_groups(struct shmq *q, uint64_t entered);

#endif
