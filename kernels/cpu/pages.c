// pages.c: anonymous mappings; from 2 MiB on the system is asked for huge pages, which spare the table walks
// of a stream of weights.
#include "kernels/cpu/pages.h"

#include <sys/mman.h>

enum { HUGE_PAGE = 2 * 1024 * 1024 };

void *pages_new(size_t size)
{
    void *memory = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (size >= HUGE_PAGE)
        madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

void pages_free(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size ? size : 1);
}
