// backend_open.c: finds a backend by name. A device is chosen here once; the rest of the program never asks
// which one it is.
#include <string.h>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/plugin.h"
#include "kernels/simulated.h"

enum status backend_open(struct backend **backend, const char *name, int threads, struct error *err)
{
    *backend = NULL;
    if (threads < 0)
        return error_set(err, STATUS_REJECTED, "%d threads; 0 means one for each core", threads);
    if (strcmp(name, "cuda") == 0)
        return cuda_plugin_open(backend, err);
    if (strcmp(name, "auto") == 0 && cuda_driver_is_there() && cuda_plugin_open(backend, NULL) == STATUS_OK)
        return STATUS_OK;
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0)
        return cpu_backend_open(backend, threads, err);
    if (strcmp(name, "simulated") == 0)
        return simulated_backend_open(backend, err);
    return error_set(err, STATUS_REJECTED, "backend '%.32s' is not known; cpu, cuda, simulated and auto are",
                     name);
}
