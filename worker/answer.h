// answer.h: the terminal record ("skinsight.prediction.v1", docs/FORMATS.md) of a job, from what its stages
// filled in.
#ifndef SKINSIGHT_WORKER_ANSWER_H
#define SKINSIGHT_WORKER_ANSWER_H

#include "worker/worker.h"

// Writes job->answer (cleared first). Deterministic but for the time stamps. FATAL when memory is out.
enum status answer_write(const struct worker *worker, struct job *job, struct error *err) MUST_CHECK;

#endif
