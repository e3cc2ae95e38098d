// intake.h: what stands between the records that arrive and the pipeline. A short list for each topic holds
// the records that find no room; from the two lists the pipeline is filled, so that urgent jobs get their
// share of whichever limit binds. Knows nothing of Kafka. Only the consume thread uses it.
//
// A topic is to be paused once its list is full, and read again when half of it is left: a pause drops what
// the Kafka client has fetched already, and fetching it again takes longer than one job.
#ifndef SKINSIGHT_WORKER_STAGES_INTAKE_H
#define SKINSIGHT_WORKER_STAGES_INTAKE_H

#include "worker/worker.h"

// A list is full with so many jobs or bytes of records. The bytes come on top of intake_limit_bytes.
enum { INTAKE_HELD_JOBS = 64, INTAKE_HELD_BYTES = 8 * 1024 * 1024 };

struct intake;

struct intake *intake_new(struct worker *worker);
void intake_free(struct intake *intake); // NULL is allowed

// Holds the job of a record that arrived, in the order of its partition's log. False: its topic's list is
// full, and the job stays the caller's.
bool intake_hold(struct intake *intake, struct job *job) MUST_CHECK;
// Gives held jobs to the pipeline while there is room. Those that are answered or not ours are dropped.
void intake_place(struct intake *intake);
// The partition has been read to its end. Counts once no record of it is held.
void intake_reach_end(struct intake *intake, enum job_topic topic, int32_t partition);
bool intake_is_empty(const struct intake *intake);
// Whether the topic's records should not come for now.
bool intake_wants_pause(struct intake *intake, enum job_topic topic);
// Drops what is held: its records come again.
void intake_forget(struct intake *intake);
// The same for partitions that are not ours any more.
void intake_forget_left_out(struct intake *intake);

#endif
