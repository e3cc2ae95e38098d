// cuda_memory.h: memory for the tests of the operations: the shim's (shim_device.c) or a GPU's
// (managed_memory.c).
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_MEMORY_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

void *cuda_memory(size_t size); // all bytes 0xff: NaN, whatever the type; at 256 bytes
void cuda_memory_free(void *memory);
void cuda_memory_ready(void);                   // waits until what was launched is done
bool cuda_memory_runs(int compute_capability);  // whether its kernels can be run
void cuda_memory_run_backwards(bool backwards); // threads in the other order; the shim only

#endif
