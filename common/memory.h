// memory.h: small allocations that can't fail, and arenas for things that die together.
//
// A small allocation that fails aborts: there is nothing sensible left to do, and a restart recovers.
// Anything whose size comes from outside is checked against a cap first and then allocated with
// memory_try_alloc, which can fail.
#ifndef SKINSIGHT_COMMON_MEMORY_H
#define SKINSIGHT_COMMON_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *memory_alloc(size_t size); // zeroed; aborts when there is none
void *memory_realloc(void *old, size_t size);
char *memory_strdup(const char *text);
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2))); // caller frees

void *memory_try_alloc(size_t size); // not zeroed; NULL when there is none

// An arena hands out pieces that are released all at once. Not thread-safe: it belongs to its owner.
struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used;  // bytes handed out
    size_t limit; // most it will ever hand out
};

void arena_init(struct arena *arena, size_t limit);
void *arena_alloc(struct arena *arena, size_t size); // zeroed, 16-byte aligned; NULL beyond the limit
void *arena_copy(struct arena *arena, const void *bytes, size_t size);
void arena_release(struct arena *arena); // safe on a zeroed arena, and twice

#endif
