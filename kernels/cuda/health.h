// health.h: what NVIDIA's management library (NVML) tells of a GPU: figures for the metrics, and the faults
// that the runtime does not report. The library comes with the driver and is opened at run time; without it
// there are no figures, and faults show only as errors of the runtime.
//
// Thread: any, one at a time for each struct.
#ifndef SKINSIGHT_KERNELS_CUDA_HEALTH_H
#define SKINSIGHT_KERNELS_CUDA_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/backend.h"

struct health;

// pci_bus: "0000:00:1e.0", as cudaDeviceGetPCIBusId writes it. NULL when NVML or the device is missing.
struct health *health_open(const char *pci_bus);
void health_close(struct health *health); // NULL is allowed
void health_read(struct health *health, struct device_figures *figures);
// Whether the driver has reported an Xid of the device's own or an uncorrectable memory error since
// health_open, or can't reach the device; writes the reason. Xids that a program caused are counted for the
// figures.
bool health_fault(struct health *health, char *reason, int reason_size);

#endif
