// fake_cudart.h: what a test may set and ask of the CUDA runtime that fake_cudart.c plays.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_FAKE_CUDART_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_FAKE_CUDART_H

#include <stdbool.h>

#include <cuda_runtime_api.h>

struct fake_cudart {
    cudaError_t counting;  // what asking for the number of GPUs gives
    int gpus, driver;      // driver: 12040 is CUDA 12.4; 0: none
    int major, minor;      // of the compute capability
    cudaError_t working;   // what every call gives that works with the GPU
    int works;             // such calls that succeed before that; then it is so for all
    bool hangs;            // what was put on a stream never ends
    cudaError_t last;      // for cudaGetLastError
    int alive;             // streams, events, graphs, memory
    int captures;          // begun and not ended
    char streams[2][1024]; // what happened on the first and the second stream, in words
};
extern struct fake_cudart fake_cudart;

#endif
