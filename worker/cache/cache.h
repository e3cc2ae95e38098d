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
// Fills in job->cache_key and, on a hit, the job's logits, features and map. REFUSED: what is there is not
// believed; it is counted and told. UNAVAILABLE: no Redis, or it does not answer; the key is empty then.
enum cache_result { CACHE_HIT, CACHE_MISS, CACHE_UNAVAILABLE, CACHE_REFUSED };
enum cache_result cache_find(struct worker *worker, struct job *job);
// The same once more, not counted as a lookup.
enum cache_result cache_look(struct worker *worker, struct job *job);
// False: the answer is not in the cache, or that is not known. Nothing is stored while Redis is left alone,
// nor once UNPROVEN_MOST values wait for the next check; that is told once and counted.
bool cache_store(struct worker *worker, const struct job *job);
// The device passed a check: what was stored is right. Thread: infer.
void cache_prove(struct worker *worker);
// The device failed one, and worker->device says so: deletes what was stored since the last good one, as far
// as that can be done within a few seconds; what it could not is logged.
void cache_disprove(struct worker *worker);

#endif
