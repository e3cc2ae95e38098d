// shim_device.h: what a test may set and ask of the device that shim_device.c plays.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_SHIM_DEVICE_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_SHIM_DEVICE_H

#include <stdbool.h>

struct shim_device_state {
    int compute_capability; // of the next device_open: 75 takes the kernels for Turing
    bool graphs;            // of the next device_open: whether it captures and replays
    bool capturing;         // a capture has begun and not ended
    bool fail_capturing;    // the first call while capturing loses the device
    long calls;             // of device functions that succeeded
    long fail_at;           // the call with this number loses the device; -1: none
    long allocations;       // alive
};
extern struct shim_device_state shim_device;

#endif
