// memory.h: small allocations that can't fail, and larger ones that can.
//
// A small allocation that fails aborts: there is nothing sensible left to do, and a restart recovers.
// Anything whose size comes from outside is checked against a cap first and then allocated with
// memory_try_alloc, which can fail.
#ifndef SKINSIGHT_COMMON_BASE_MEMORY_H
#define SKINSIGHT_COMMON_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *memory_alloc(size_t size); // zeroed; aborts when there is none
void *memory_realloc(void *old, size_t size);
char *memory_strdup(const char *text);
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2))); // caller frees

void *memory_try_alloc(size_t size); // not zeroed; NULL when there is none

#endif
