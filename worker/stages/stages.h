// stages.h: what each stage does with one job, and the stages that have a loop of their own. pipeline.c puts
// them in order.
#ifndef SKINSIGHT_WORKER_STAGES_STAGES_H
#define SKINSIGHT_WORKER_STAGES_STAGES_H

#include "worker/worker.h"

// One job; returns the stage it goes to next. Called by several threads at once, each with its own job.
enum stage_id fetch_step(struct worker *worker, struct job *job); // record -> image bytes, or a cached answer
enum stage_id load_step(struct worker *worker, struct job *job);  // the same, with the object store's bytes
enum stage_id decode_step(struct worker *worker, struct job *job);      // image bytes -> view and features
enum stage_id postprocess_step(struct worker *worker, struct job *job); // logits -> probabilities, stored map

// How fetch and load end: the image is there or the job has failed. Digest, cache.
enum stage_id fetch_conclude(struct worker *worker, struct job *job);

// Loops of one thread; they end when their inbox is closed and empty.
void batch_loop(struct worker *worker);   // jobs -> batches
void infer_loop(struct worker *worker);   // batches -> logits and maps
void publish_loop(struct worker *worker); // answers -> transactions

// Whether answers wait to be published for longer than a session; reason then says why. Any thread.
bool publish_is_stuck(struct worker *worker, char *reason, size_t size);

#endif
