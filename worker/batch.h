// batch.h: jobs that are computed together. Made by the batch stage, freed by the infer stage, which owns its
// jobs meanwhile.
#ifndef SKINSIGHT_WORKER_BATCH_H
#define SKINSIGHT_WORKER_BATCH_H

#include "worker/job.h"

enum { BATCH_LIMIT = 256 };

struct batch {
    char id[JOB_BATCH_ID_SIZE];
    int count;
    enum batch_reason reason;
    struct job *jobs[BATCH_LIMIT];
};

#endif
