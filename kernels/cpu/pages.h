// pages.h: large blocks of memory straight from the system, on huge pages where it offers them.
#ifndef SKINSIGHT_KERNELS_CPU_PAGES_H
#define SKINSIGHT_KERNELS_CPU_PAGES_H

#include <stddef.h>

// Zeroed, 64-byte aligned at least. NULL when there is none. Memory is taken from the system when it is
// touched.
void *pages_new(size_t size);
void pages_free(void *memory, size_t size); // the same size; NULL is allowed

#endif
