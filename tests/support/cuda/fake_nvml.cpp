// fake_nvml.cpp: NVIDIA's management library without a GPU, for kernels/cuda/health.c: a shared library of
// NVML's name, with the functions that its documentation describes as far as they are used.
#include "tests/support/cuda/fake_nvml.h"

#include <cstring>

struct fake_nvml fake_nvml;

static const int not_found = 6, not_supported = 3;

// A figure, where the device gives any.
template <typename T> static int give(T *to, T value)
{
    if (fake_nvml.no_figures)
        return not_supported;
    *to = value;
    return 0;
}

extern "C" {

struct utilisation {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};
struct event {
    void *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

int nvmlInit_v2(void)
{
    fake_nvml.opened++;
    return 0;
}
int nvmlShutdown(void)
{
    fake_nvml.opened--;
    return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device)
{
    *device = &fake_nvml;
    return fake_nvml.no_device || strcmp(bus, "0000:00:1e.0") != 0 ? not_found : 0;
}
int nvmlDeviceGetUtilizationRates(void *, utilisation *figures)
{
    return give(figures, {97, 40});
}
int nvmlDeviceGetMemoryInfo(void *, memory *figures)
{
    return give(figures, {16ull << 30, 10ull << 30, 6ull << 30});
}
int nvmlDeviceGetTemperature(void *, int sensor, unsigned *celsius)
{
    return sensor == 0 ? give(celsius, 71u) : not_supported;
}
int nvmlDeviceGetPowerUsage(void *, unsigned *milliwatts)
{
    return give(milliwatts, 69500u);
}
int nvmlDeviceGetEnforcedPowerLimit(void *, unsigned *milliwatts)
{
    return give(milliwatts, 70000u);
}
int nvmlDeviceGetClockInfo(void *, int which, unsigned *mhz)
{
    return which == 1 ? give(mhz, 960u) : not_supported;
}
int nvmlDeviceGetMaxClockInfo(void *, int which, unsigned *mhz)
{
    return which == 1 ? give(mhz, 1590u) : not_supported;
}
int nvmlDeviceGetTotalEccErrors(void *, int kind, int counter, unsigned long long *errors)
{
    return kind == 1 && counter == 0 ? give(errors, 2ull) : not_supported;
}
int nvmlEventSetCreate(void **events)
{
    *events = &fake_nvml.events;
    fake_nvml.event_sets++;
    return 0;
}
int nvmlEventSetFree(void *)
{
    fake_nvml.event_sets--;
    return 0;
}
int nvmlDeviceRegisterEvents(void *, unsigned long long types, void *)
{
    fake_nvml.asked_for = types;
    return types & ~fake_nvml.events ? not_supported : 0;
}
int nvmlEventSetWait_v2(void *, event *event, unsigned timeout_ms)
{
    if (fake_nvml.waited == 0 && fake_nvml.repeats > 0 && fake_nvml.repeats-- == 1)
        fake_nvml.waited = FAKE_NVML_TIMEOUT;
    else if (timeout_ms == 0 && fake_nvml.waited == 0)
        *event = {&fake_nvml, fake_nvml.type, fake_nvml.data, ~0u, ~0u};
    return fake_nvml.waited;
}
}
