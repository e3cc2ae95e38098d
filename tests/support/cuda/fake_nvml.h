// fake_nvml.h: what a test may set and ask of the NVML that fake_nvml.cpp plays.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_FAKE_NVML_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_FAKE_NVML_H

#ifdef __cplusplus
extern "C" {
#endif

enum { FAKE_NVML_TIMEOUT = 10, FAKE_NVML_LOST = 15 }; // as NVML's header has them

struct fake_nvml {
    int opened, event_sets; // alive
    int no_device, no_figures;
    unsigned long long events;    // that the device knows; bit 1: double ECC, bit 3: critical Xid
    unsigned long long asked_for; // of them, by the last call that asked
    int waited;                   // what waiting for an event gives: 0, one of the two above
    unsigned long long type, data;
    int repeats; // events of that kind before FAKE_NVML_TIMEOUT; 0: no end
};
extern struct fake_nvml fake_nvml;

#ifdef __cplusplus
}
#endif

#endif
