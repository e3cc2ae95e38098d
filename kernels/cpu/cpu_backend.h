// cpu_backend.h: the backend for the processor itself.
#ifndef SKINSIGHT_KERNELS_CPU_BACKEND_H
#define SKINSIGHT_KERNELS_CPU_BACKEND_H

#include "kernels/backend.h"

// threads 0: one for each core this process may use.
enum status cpu_backend_open(struct backend **backend, int threads, struct error *err) MUST_CHECK;

#endif
