// pipeline.h: the stages as one table and the threads that run them. Jobs enter with worker_offer.
#ifndef SKINSIGHT_WORKER_PIPELINE_H
#define SKINSIGHT_WORKER_PIPELINE_H

#include "worker/worker.h"

struct pipeline;

// Of an enum stage_id, and of STAGE_TOTAL.
const char *pipeline_stage_name(unsigned id);
// How much longer than stage_timeout_ms a step of the stage may take; -1: its steps are not watched.
int64_t pipeline_more_ms(const struct worker *worker, enum stage_id id);
// Makes worker->inboxes; worker_close releases them.
void pipeline_init_inboxes(struct worker *worker);

struct pipeline *pipeline_start(struct worker *worker);
// Closes the stages one after the other, first to last, each when what came before has ended; then returns.
void pipeline_stop(struct pipeline *pipeline);

#endif
