// unproven.c: an array that grows up to its limit.
#include "worker/cache/unproven.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum { CAPACITY_FIRST = 256 };

void unproven_init(struct unproven *unproven)
{
    *unproven = (struct unproven){.count = 0};
    pthread_mutex_init(&unproven->lock, NULL);
}

void unproven_release(struct unproven *unproven)
{
    pthread_mutex_destroy(&unproven->lock);
    free(unproven->keys);
}

bool unproven_add(struct unproven *unproven, const struct digest *key)
{
    pthread_mutex_lock(&unproven->lock);
    bool room = unproven->count < UNPROVEN_MOST;
    if (room && unproven->count == unproven->capacity) {
        unproven->capacity = unproven->capacity ? 2 * unproven->capacity : CAPACITY_FIRST;
        unproven->keys = memory_realloc(unproven->keys, (size_t)unproven->capacity * sizeof *unproven->keys);
    }
    if (room)
        unproven->keys[unproven->count++] = *key;
    pthread_mutex_unlock(&unproven->lock);
    return room;
}

void unproven_clear(struct unproven *unproven)
{
    pthread_mutex_lock(&unproven->lock);
    unproven->count = 0;
    pthread_mutex_unlock(&unproven->lock);
}

int unproven_take(struct unproven *unproven, struct digest *keys, int most)
{
    pthread_mutex_lock(&unproven->lock);
    int count = unproven->count < most ? unproven->count : most;
    unproven->count -= count;
    if (count > 0)
        memcpy(keys, unproven->keys + unproven->count, (size_t)count * sizeof *keys);
    pthread_mutex_unlock(&unproven->lock);
    return count;
}
