// cache_terms.h: what the cached answers and the stored maps of one model have in common: everything that
// decides their bits besides the image, and the secret that seals them. Read-only once filled in.
#ifndef SKINSIGHT_WORKER_CACHE_CACHE_TERMS_H
#define SKINSIGHT_WORKER_CACHE_CACHE_TERMS_H

#include "common/program/config.h"
#include "common/services/object_store.h"
#include "worker/device/engine.h"

enum { CACHE_SCOPE_SIZE = 512, CACHE_SECRET_LEAST = 16, CACHE_SECRET_MOST = 1024 };

struct cache_terms {
    char scope[CACHE_SCOPE_SIZE]; // part of every key of the cache, and of every value
    bool has_reference;           // the model has one: the answers have a distance and a quantile
    char map_suffix[32];          // what a map's object key has behind the image's digest
    uint8_t secret[CACHE_SECRET_MOST];
    size_t secret_size; // 0: none
};

// REJECTED: the option cache names a Redis on another machine and there is no cache_secret. Looks at the
// options alone.
enum status cache_check(const struct config *config, struct error *err) MUST_CHECK;
// The secret, where the options name a cache and a secret. REJECTED: its file is open to others, or not of 16
// to 1024 bytes.
enum status cache_read_secret(struct cache_terms *terms, const struct config *config,
                              struct error *err) MUST_CHECK;
// All of them, of the engine's answers, whose maps lie in this store. Errors as cache_read_secret's.
enum status cache_terms_init(struct cache_terms *terms, const struct engine *engine,
                             const struct object_store *objects, const struct config *config,
                             struct error *err) MUST_CHECK;

// The object key of an image's attention map. Two devices or builds may differ in a bit, so their maps have
// different keys.
void cache_map_key(const struct cache_terms *terms, const struct digest *image, char key[OBJECT_KEY_SIZE]);

#endif
