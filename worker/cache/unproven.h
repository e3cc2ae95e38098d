// unproven.h: the cache values that were written since the device last passed its check. Where it fails the
// next one they are deleted: other workers must not go on answering from them. Any thread.
#ifndef SKINSIGHT_WORKER_CACHE_UNPROVEN_H
#define SKINSIGHT_WORKER_CACHE_UNPROVEN_H

#include <pthread.h>
#include <stdbool.h>

#include "common/base/digest.h"

enum { UNPROVEN_MOST = 65536 };

struct unproven {
    pthread_mutex_t lock;
    struct digest *keys;
    int count, capacity;
};

void unproven_init(struct unproven *unproven);
void unproven_release(struct unproven *unproven);

// Before the value is written. False: it can't be remembered any more, so it must not be written before the
// next check has passed.
bool unproven_add(struct unproven *unproven, const struct digest *key);
// The device passed a check.
void unproven_clear(struct unproven *unproven);
// Takes up to most keys out, those added last first; how many.
int unproven_take(struct unproven *unproven, struct digest *keys, int most);

#endif
