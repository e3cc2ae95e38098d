// claim.h: single flight across workers. Whoever misses an image in the cache claims it there before it
// computes it; a worker that finds it claimed waits for the answer instead. Nobody waits longer than about an
// inference takes here, never when that would cost a deadline, and one thread each of fetch and load never
// waits: a claim is a hint, and what comes of ignoring it is an image computed twice.
//
// Key: "skinsight-claim:" + the cache key. Value: the owner's number. It expires after twice the time that
// its maker would wait. One that expired and was taken by another worker may be deleted by its first owner:
// that costs one computation, never an answer. Any thread, each with its own job.
#ifndef SKINSIGHT_WORKER_CACHE_CLAIM_H
#define SKINSIGHT_WORKER_CACHE_CLAIM_H

#include "worker/worker.h"

// After a miss. True: another worker's answer came meanwhile and is filled in, as by cache_find. False:
// compute it.
bool claim_or_wait(struct worker *worker, struct job *job);
// The job was not stored after all: who waits need not.
void claim_release(struct worker *worker, const struct job *job);
// A job was computed and stored, which took so long, queues left out. Follows slower ones at once, faster
// ones slowly.
void claim_learn(struct served_model *served, int64_t took_us);

// How long to wait for another worker's answer: that what is learnt, and a quarter for the stages' handing
// over, 2 s at most, and so that an answer can still be computed here before the deadline. Unix ms; deadline
// below 0: none. 0: don't wait. Pure.
int64_t claim_wait_ms(int64_t now_ms, int64_t deadline_ms, int64_t learnt_us);

#endif
