// intake.h: what stands between the records that arrive and the pipeline: who finds room, who is held back,
// and which topic is paused meanwhile. Only the consume thread uses it.
#ifndef SKINSIGHT_WORKER_INTAKE_H
#define SKINSIGHT_WORKER_INTAKE_H

#include "worker/worker.h"

struct intake;

struct intake *intake_new(struct worker *worker);
void intake_free(struct intake *intake); // NULL is allowed

// A record arrived, as a job; it is the intake's from now on. It goes into the pipeline, is held, or is
// dropped because it is answered or not ours.
void intake_take(struct intake *intake, struct job *job);
// Gives what is held to the pipeline where there is room now.
void intake_retry(struct intake *intake);
bool intake_is_holding(const struct intake *intake);
// Drops what is held: its records come again.
void intake_forget(struct intake *intake);

// The partitions have just been assigned: none stays paused from the assignment before.
void intake_begin_assignment(struct intake *intake);
// The worker is stopping: nothing more is taken.
void intake_stop(struct intake *intake);

#endif
