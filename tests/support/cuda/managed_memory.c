// managed_memory.c: cuda_memory.h on a real GPU: memory that both sides reach. A failure ends the test.
#include "tests/support/cuda/cuda_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

static void must(cudaError_t result)
{
    if (result == cudaSuccess)
        return;
    fprintf(stderr, "cuda_memory: %s\n", cudaGetErrorString(result));
    exit(result == cudaErrorInsufficientDriver || result == cudaErrorNoDevice ? 77 : 1);
}

void *cuda_memory(size_t size)
{
    void *memory = NULL;
    must(cudaMallocManaged(&memory, size, cudaMemAttachGlobal));
    cuda_memory_ready();
    memset(memory, 0xff, size);
    return memory;
}

void cuda_memory_free(void *memory)
{
    cuda_memory_ready();
    must(cudaFree(memory));
}

void cuda_memory_ready(void)
{
    must(cudaGetLastError());
    must(cudaDeviceSynchronize());
}

bool cuda_memory_runs(int compute_capability)
{
    int major = 0;
    must(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    return (compute_capability >= 80) == (major >= 8);
}

void cuda_memory_run_backwards(bool backwards)
{
    (void)backwards; // a GPU has no order
}
