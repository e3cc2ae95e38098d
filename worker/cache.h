// cache.h: answers in Redis, keyed by everything that decides their bits. A worker without Redis is slower,
// nothing else.
//
// Key: "skinsight:" + hex SHA-256 of (image digest, scope). Value: struct cache_value below, little-endian,
// fixed size, closed by the SHA-256 of everything before it. A value whose size, magic, scope, image digest
// or checksum differs is a miss. Only complete answers are stored (with their attention map); calibration and
// policy are applied after the cache.
#ifndef SKINSIGHT_WORKER_CACHE_H
#define SKINSIGHT_WORKER_CACHE_H

#include "worker/worker.h"

struct cache_value {
    char magic[8]; // "SSCACHE1"
    char scope[512];
    struct digest image_sha256;
    float logits[LESION_CLASSES];
    struct features features;
    char attention_key[OBJECT_KEY_SIZE];
    struct digest attention_sha256;
    struct digest checksum;
};

// Writes worker->cache_scope and map_scope.
void cache_scope_init(struct worker *worker);
// Fills in job->cache_key and, on a hit, the job's logits, features and map. UNAVAILABLE: no Redis, or it
// does not answer; the key is empty then.
enum cache_result { CACHE_HIT, CACHE_MISS, CACHE_UNAVAILABLE };
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

// The pure halves, for tests and fuzzing.
void cache_value_fill(struct cache_value *value, const char *scope, const struct job *job);
bool cache_value_read(struct bytes bytes, const char *scope, struct job *job);

#endif
