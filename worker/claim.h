// claim.h: single flight across workers. Whoever misses an image in the cache claims it there before it
// computes it; a worker that finds it claimed waits for the answer instead. Nobody waits longer than an
// answer takes here, from fetched to stored, and never when that would cost a deadline: a claim is a hint,
// and what comes of ignoring it is an image computed twice.
//
// Key: "skinsight-claim:" + the cache key. Value: the owner's number. It expires after twice the time that
// its maker thinks an answer takes. Any thread, each with its own job.
#ifndef SKINSIGHT_WORKER_CLAIM_H
#define SKINSIGHT_WORKER_CLAIM_H

#include "worker/worker.h"

// After a miss. True: another worker's answer came meanwhile and is filled in, as by cache_find. False:
// compute it.
bool claim_or_wait(struct worker *worker, struct job *job);
// The job was not stored after all: who waits need not.
void claim_release(struct worker *worker, const struct job *job);
// The job was computed and stored: that is how long it takes. Follows slower answers at once, faster ones
// slowly.
void claim_learn(struct worker *worker, const struct job *job);

#endif
