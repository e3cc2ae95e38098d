// batch.h: jobs of one model that are computed together. Made by the batch stage, freed by the infer stage,
// which owns its jobs meanwhile.
#ifndef SKINSIGHT_WORKER_STAGES_BATCH_H
#define SKINSIGHT_WORKER_STAGES_BATCH_H

#include "worker/device/latency.h"
#include "worker/job.h"

struct batch {
    char id[JOB_BATCH_ID_SIZE];
    int count;
    enum batch_reason reason;
    int64_t elapsed_us; // infer: what the device took
    struct job *jobs[BATCH_LIMIT];
};

struct worker;

// Drops from jobs those that a rebalance took away and answers those whose deadline would pass before the
// device could; where such a one leads others that can still be in time, one of these takes its place.
// Returns how many are left, in order.
int batch_keep_timely(struct worker *worker, struct job **jobs, int count);
// Tells each job the batch it is in; those that join it just now begin to compute.
void batch_stamp(struct worker *worker, const struct batch *batch);

#endif
