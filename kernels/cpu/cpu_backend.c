// cpu_backend.c: opens the processor as a device.
#include "kernels/cpu/cpu_backend.h"

#include <sched.h>

#include "kernels/cpu/plain.h"

static int usable_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum status cpu_backend_open(struct backend **backend, int threads, struct error *err)
{
    (void)err; // nothing can fail
    *backend = cpu_plain_backend_open();
    (*backend)->threads = threads ? threads : usable_cores();
    return STATUS_OK;
}
