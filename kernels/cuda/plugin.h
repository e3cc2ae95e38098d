// plugin.h: how a program gets the CUDA backend: from a library of its own, opened at run time, so that
// nothing else of SkinSight needs CUDA to be built or started.
//
// kernels/cuda_plugin.c looks for the library, in this order: the file that the environment's
// SKINSIGHT_CUDA_PLUGIN names, and no other then; beside the program; ../lib/skinsight and ../lib from there.
// It is never closed: CUDA's own threads and handlers stay until the process ends.
#ifndef SKINSIGHT_KERNELS_CUDA_PLUGIN_H
#define SKINSIGHT_KERNELS_CUDA_PLUGIN_H

#include "kernels/backend.h"

#define CUDA_PLUGIN_FILE  "libskinsight_cuda.so"
#define CUDA_PLUGIN_ENTRY "skinsight_cuda_backend_open"

// The library's visible function. interface_version: BACKEND_INTERFACE_VERSION of the caller;
// REJECTED when it is not the library's own, or when driver, GPU or a library is missing: the sentence says
// which.
typedef enum status cuda_plugin_entry(uint32_t interface_version, struct backend **backend,
                                      struct error *err);

#ifdef __cplusplus
extern "C" {
#endif
enum status skinsight_cuda_backend_open(uint32_t interface_version, struct backend **backend,
                                        struct error *err);
#ifdef __cplusplus
}
#endif

// In the program: whether the machine has NVIDIA's driver. Without it the library, whose own libraries take
// 150 MB of memory, need not be opened to learn that there is no GPU. Any thread.
bool cuda_driver_is_there(void);
// In the program: finds and opens the library and lets it open the first GPU. REJECTED: one sentence on what
// is missing. Any thread.
enum status cuda_plugin_open(struct backend **backend, struct error *err) MUST_CHECK;

#endif
