/*
 * pin.h - keeping records where they are while they are being saved.
 *
 * One at a time saves: who has the lock `saver` of sq_file_shm.  It alone sets the pin,
 * which producers look at where they look for room (ring/ring.c), and sliding heeds
 * (group/ring_compact.c).
 */
#ifndef SQ_PIN_H
#define SQ_PIN_H

#include "handle/handle.h"

/* Be the one who saves; from a dead one, if need be.  0, -ETIMEDOUT, -EINTR.  The handle
 * is attached. */
int sq_pin_enter(struct shmq *q, struct sq_deadline *deadline);

/* And no more; the pin is lifted. */
void sq_pin_leave(struct shmq *q);

/* From now on let go of nothing.  What producers may write over already, no group's side
 * that is entered after this refers to. */
void sq_pin_all(struct shmq *q);

/* Let go of what lies before `pos`, and have producers look. */
void sq_pin_move(struct shmq *q, uint64_t pos);

/* And let go of all. */
void sq_pin_lift(struct shmq *q);

/* P: if who set the pin has died, lift it.  Whether it did. */
bool sq_pin_lift_lost(struct shmq *q);

#endif
