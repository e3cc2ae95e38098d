// cache.h: answers in Redis, keyed by everything that decides their bits. A worker without Redis is slower,
// nothing else.
//
// Key: "skinsight:" + hex SHA-256 of (image digest, scope). Value: struct cache_value (cache_value.h), which
// is believed only where its seal is right. Only complete answers are stored (with their attention map);
// calibration and policy are applied after the cache.
#ifndef SKINSIGHT_WORKER_CACHE_CACHE_H
#define SKINSIGHT_WORKER_CACHE_CACHE_H

#include "worker/worker.h"

// Opens the Redis that the option cache names; none: *cache stays as it is. REJECTED as cache_check.
enum status cache_open(struct redis **cache, const struct config *config, struct error *err) MUST_CHECK;
// Fills in job->cache_key and, on a hit, the job's logits, features and map; true: a hit. A value that is not
// believed is a miss, counted and told. Without Redis, or where it does not answer, the key is empty.
enum cache_result { CACHE_HIT, CACHE_MISS, CACHE_UNAVAILABLE };
bool cache_find(struct worker *worker, struct job *job);
// Nothing is stored while Redis is left alone, nor once UNPROVEN_MOST values wait for the next check; that is
// told once and counted.
void cache_store(struct worker *worker, const struct job *job);
// The device passed a check: what was stored is right. Thread: infer.
void cache_prove(struct worker *worker);
// The device failed one, and worker->device says so: deletes what was stored since the last good one, as far
// as that can be done within a few seconds; what it could not is logged.
void cache_disprove(struct worker *worker);

#endif
