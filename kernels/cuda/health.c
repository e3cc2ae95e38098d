// health.c: NVML through dlopen. See health.h. The declarations below are NVML's documented interface, which
// has kept them since 2012 (2016 for the versioned ones); its header comes with no package that the build
// needs.
#include "kernels/cuda/health.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

typedef void *nvml_device;
typedef void *nvml_events;
struct nvml_utilisation {
    unsigned gpu, memory; // percent
};
struct nvml_memory {
    unsigned long long total, free, used;
};
struct nvml_event {
    nvml_device device;
    unsigned long long type, data; // data: the Xid
    unsigned gpu_instance, compute_instance;
};

enum {
    NVML_EVENT_DOUBLE_BIT_ECC = 0x2,
    NVML_EVENT_XID_CRITICAL = 0x8,
    NVML_CLOCK_SM = 1,
    NVML_TEMPERATURE_GPU = 0,
    NVML_ERROR_UNCORRECTED = 1,
    NVML_ECC_VOLATILE = 0,
    NVML_GPU_IS_LOST = 15, // what a call may answer
    MOST_EVENTS = 64,      // read at one time
};

// What a program on the GPU did wrong or was ended for, as NVIDIA's list of Xids has it: the GPU is as good
// as before. Where it was this process, the runtime says so too.
static const unsigned long long program_xids[] = {
    13,  // a kernel's illegal instruction or address
    31,  // a page that is not mapped
    43,  // a channel that was reset after a fault
    45,  // a process that was ended while it worked
    68,  // video decoder
    109, // a time slice that did not end
};

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    int (*by_bus)(const char *pci_bus, nvml_device *device);
    int (*utilisation)(nvml_device device, struct nvml_utilisation *figures);
    int (*memory)(nvml_device device, struct nvml_memory *figures);
    int (*temperature)(nvml_device device, int sensor, unsigned *celsius);
    int (*power)(nvml_device device, unsigned *milliwatts);
    int (*power_limit)(nvml_device device, unsigned *milliwatts);
    int (*clock)(nvml_device device, int which, unsigned *mhz);
    int (*clock_max)(nvml_device device, int which, unsigned *mhz);
    int (*ecc_total)(nvml_device device, int kind, int counter, unsigned long long *errors);
    int (*events_create)(nvml_events *events);
    int (*events_free)(nvml_events events);
    int (*events_register)(nvml_device device, unsigned long long types, nvml_events events);
    int (*events_wait)(nvml_events events, struct nvml_event *event, unsigned timeout_ms);
};

struct health {
    void *library;
    struct nvml nvml;
    nvml_device device;
    nvml_events events; // NULL: the device gives none
    int64_t program_faults;
};

static bool find_functions(void *library, struct nvml *nvml)
{
    const struct {
        const char *name;
        void *slot;
    } functions[] = {
        {"nvmlInit_v2", &nvml->init},
        {"nvmlShutdown", &nvml->shutdown},
        {"nvmlDeviceGetHandleByPciBusId_v2", &nvml->by_bus},
        {"nvmlDeviceGetUtilizationRates", &nvml->utilisation},
        {"nvmlDeviceGetMemoryInfo", &nvml->memory},
        {"nvmlDeviceGetTemperature", &nvml->temperature},
        {"nvmlDeviceGetPowerUsage", &nvml->power},
        {"nvmlDeviceGetEnforcedPowerLimit", &nvml->power_limit},
        {"nvmlDeviceGetClockInfo", &nvml->clock},
        {"nvmlDeviceGetMaxClockInfo", &nvml->clock_max},
        {"nvmlDeviceGetTotalEccErrors", &nvml->ecc_total},
        {"nvmlEventSetCreate", &nvml->events_create},
        {"nvmlEventSetFree", &nvml->events_free},
        {"nvmlDeviceRegisterEvents", &nvml->events_register},
        {"nvmlEventSetWait_v2", &nvml->events_wait},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *found = dlsym(library, functions[i].name);
        if (!found)
            return false;
        memcpy(functions[i].slot, &found, sizeof found);
    }
    return true;
}

struct health *health_open(const char *pci_bus)
{
    struct health *health = memory_alloc(sizeof *health);
    struct nvml *nvml = &health->nvml;
    health->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!health->library || !find_functions(health->library, nvml) || nvml->init() != 0)
        goto no_library;
    if (nvml->by_bus(pci_bus, &health->device) != 0)
        goto no_device;
    if (nvml->events_create(&health->events) == 0 && // without ECC it refuses both for the one's sake
        nvml->events_register(health->device, NVML_EVENT_DOUBLE_BIT_ECC | NVML_EVENT_XID_CRITICAL,
                              health->events) != 0 &&
        nvml->events_register(health->device, NVML_EVENT_XID_CRITICAL, health->events) != 0) {
        nvml->events_free(health->events);
        health->events = NULL;
    }
    return health;
no_device:
    nvml->shutdown();
no_library:
    if (health->library)
        dlclose(health->library);
    free(health);
    return NULL;
}

void health_close(struct health *health)
{
    if (!health)
        return;
    if (health->events)
        health->nvml.events_free(health->events);
    health->nvml.shutdown();
    dlclose(health->library);
    free(health);
}

void health_read(struct health *health, struct device_figures *figures)
{
    const struct nvml *nvml = &health->nvml;
    struct nvml_utilisation utilisation;
    struct nvml_memory memory;
    unsigned value;
    unsigned long long errors;
    backend_no_figures(NULL, figures);
    if (health->events)
        figures->program_faults = health->program_faults;
    if (nvml->utilisation(health->device, &utilisation) == 0)
        figures->utilisation_percent = (int)utilisation.gpu;
    if (nvml->memory(health->device, &memory) == 0) {
        figures->memory_used = (int64_t)memory.used;
        figures->memory_total = (int64_t)memory.total;
    }
    if (nvml->temperature(health->device, NVML_TEMPERATURE_GPU, &value) == 0)
        figures->temperature_c = (int)value;
    if (nvml->power(health->device, &value) == 0)
        figures->power_mw = (int)value;
    if (nvml->power_limit(health->device, &value) == 0)
        figures->power_limit_mw = (int)value;
    if (nvml->clock(health->device, NVML_CLOCK_SM, &value) == 0)
        figures->clock_mhz = (int)value;
    if (nvml->clock_max(health->device, NVML_CLOCK_SM, &value) == 0)
        figures->clock_max_mhz = (int)value;
    if (nvml->ecc_total(health->device, NVML_ERROR_UNCORRECTED, NVML_ECC_VOLATILE, &errors) == 0)
        figures->ecc_uncorrected = (int64_t)errors;
}

static bool is_program_fault(const struct nvml_event *event)
{
    for (size_t i = 0; i < sizeof program_xids / sizeof program_xids[0]; i++)
        if (event->type == NVML_EVENT_XID_CRITICAL && event->data == program_xids[i])
            return true;
    return false;
}

// What an answer to the wait for an event says of the device.
static bool is_fault(int answer, const struct nvml_event *event, char *reason, int reason_size)
{
    if (answer == NVML_GPU_IS_LOST)
        snprintf(reason, (size_t)reason_size, "it is no longer on the bus");
    else if (answer == 0 && event->type == NVML_EVENT_XID_CRITICAL)
        snprintf(reason, (size_t)reason_size, "the driver reported Xid %llu", event->data);
    else if (answer == 0)
        snprintf(reason, (size_t)reason_size, "an uncorrectable memory error was reported");
    return answer == 0 || answer == NVML_GPU_IS_LOST; // else nothing has happened
}

bool health_fault(struct health *health, char *reason, int reason_size)
{
    struct nvml_event event;
    for (int i = 0; i < MOST_EVENTS && health->events; i++) {
        int answer = health->nvml.events_wait(health->events, &event, 0);
        if (answer != 0 || !is_program_fault(&event))
            return is_fault(answer, &event, reason, reason_size);
        health->program_faults++;
    }
    return false;
}
