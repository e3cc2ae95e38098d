// cpu_backend.c: opens the processor as a device: the fast executor where it has vectors, else the plain one.
#include "kernels/cpu/cpu_backend.h"

#include "common/processors.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/fast.h"
#include "kernels/cpu/plain.h"
#include "kernels/cpu/team.h"

static int usable_cores(void)
{
    int cores = processors_usable();
    return cores < TEAM_MAX_THREADS ? cores : TEAM_MAX_THREADS;
}

enum status cpu_backend_open(struct backend **backend, int threads, struct error *err)
{
    if (cpu_features_get().avx2)
        return fast_backend_open(backend, threads ? threads : usable_cores(), err);
    *backend = cpu_plain_backend_open();
    return STATUS_OK;
}
