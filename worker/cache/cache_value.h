// cache_value.h: what the cache holds about one image, and when it is believed. Pure; any thread.
//
// Redis is not believed. A value is closed by an HMAC-SHA-256 under the bytes of the file cache_secret, names
// the scope and the image that it is about, and holds nothing that a computation could not have given.
// Without a secret the HMAC's key is empty: a checksum, for a Redis that only this machine reaches.
#ifndef SKINSIGHT_WORKER_CACHE_CACHE_VALUE_H
#define SKINSIGHT_WORKER_CACHE_CACHE_VALUE_H

#include "worker/cache/cache_terms.h"
#include "worker/job.h"

// Little-endian, without gaps.
struct cache_value {
    char magic[8]; // "SSCACHE2"
    char scope[CACHE_SCOPE_SIZE];
    struct digest image_sha256;
    float logits[LESION_CLASSES];
    float distance, quantile; // of the embedding; NaN: the model has no reference
    struct features features;
    char attention_key[OBJECT_KEY_SIZE];
    struct digest attention_sha256;
    struct digest seal; // HMAC-SHA-256 of everything before it
};
_Static_assert(sizeof(struct cache_value) == 8 + 512 + 32 + 32 + 8 + 208 + 256 + 32 + 32, "no gaps");

// Why a value is not believed, in the order of the checks; the label of METRIC_CACHE_REFUSED.
enum cache_refusal {
    CACHE_REFUSED_FORM,      // cut short, too long, of another type or version
    CACHE_REFUSED_SEAL,      // not written by a worker that has the secret, or damaged
    CACHE_REFUSED_OTHER_KEY, // about another image, model, device, build or object store
    CACHE_REFUSED_CONTENT,   // holds what no computation gives
    CACHE_BELIEVED = METRIC_REFUSAL_COUNT
};

void cache_value_fill(struct cache_value *value, const struct cache_terms *terms, const struct job *job);
// Fills in the job's logits, distance, features and map where the value is believed; else the job stays as it
// is.
enum cache_refusal cache_value_read(struct bytes bytes, const struct cache_terms *terms, struct job *job);
// Computes value->seal anew.
void cache_value_seal(struct cache_value *value, const struct cache_terms *terms);

#endif
