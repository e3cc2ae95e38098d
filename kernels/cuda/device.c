// device.c: device.h on the CUDA runtime. The runtime is linked in; the driver and NVML come from the
// machine.
#include "kernels/cuda/device.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cuda_runtime_api.h>

#include "common/base/clock.h"
#include "kernels/cuda/health.h"

// Waits shorter than this are answered by asking again and again, since a sleep would cost as much.
enum { SPIN_US = 3000, SLEEP_NS = 50000, OLDEST_COMPUTE_CAPABILITY = 75 };

enum status device_lose(struct device *device, struct error *err, const char *because)
{
    if (!device->lost) {
        device->lost = true;
        snprintf(device->lost_because, sizeof device->lost_because, "%s is lost: %s", device->name, because);
    }
    return error_set(err, STATUS_FATAL, "%s", device->lost_because);
}

// Turns what a call of the runtime gave into a status. Out of memory is no fault of the device.
static enum status judge(struct device *device, cudaError_t result, const char *doing, struct error *err)
{
    if (device->lost)
        return error_set(err, STATUS_FATAL, "%s", device->lost_because);
    if (result == cudaSuccess)
        return STATUS_OK;
    if (result == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return error_set(err, STATUS_FATAL, "%s has no memory left while %s", device->name, doing);
    }
    char because[192];
    snprintf(because, sizeof because, "%s gave %s (%s)", doing, cudaGetErrorName(result),
             cudaGetErrorString(result));
    return device_lose(device, err, because);
}

enum status device_check(struct device *device, const char *doing, struct error *err)
{
    cudaError_t result = cudaGetLastError();
    // What device_wait heard of a batch that still ran may be the last error, and is none.
    return judge(device, result == cudaErrorNotReady ? cudaSuccess : result, doing, err);
}

static enum status find_gpu(struct error *err)
{
    int count = 0, driver = 0;
    cudaError_t result = cudaGetDeviceCount(&count);
    if (result == cudaErrorNoDevice || (result == cudaSuccess && count == 0))
        return error_set(err, STATUS_REJECTED, "the CUDA backend finds no GPU; use backend 'cpu'");
    if (result == cudaSuccess)
        return STATUS_OK;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return error_set(err, STATUS_REJECTED, "the CUDA backend finds no NVIDIA driver; use backend 'cpu'");
    return error_set(
        err, STATUS_REJECTED,
        "the CUDA backend can't use the driver for CUDA %d.%d: %s; CUDA %d.%d needs version 580 or "
        "newer",
        driver / 1000, driver % 1000 / 10, cudaGetErrorString(result), CUDART_VERSION / 1000,
        CUDART_VERSION % 1000 / 10);
}

static enum status make_streams(struct device *device, struct error *err)
{
    cudaError_t result = cudaStreamCreateWithFlags(&device->compute, cudaStreamNonBlocking);
    if (result == cudaSuccess)
        result = cudaStreamCreateWithFlags(&device->copy, cudaStreamNonBlocking);
    for (int i = 0; i < DEVICE_SLOTS && result == cudaSuccess; i++) {
        result = cudaEventCreateWithFlags((cudaEvent_t *)&device->sent[i], cudaEventDisableTiming);
        if (result == cudaSuccess)
            result = cudaEventCreate((cudaEvent_t *)&device->done[i]); // with timing: the tuner's clock
    }
    return judge(device, result, "making streams", err);
}

static void destroy_streams(struct device *device)
{
    for (int i = 0; i < DEVICE_SLOTS; i++) {
        if (device->sent[i])
            cudaEventDestroy(device->sent[i]);
        if (device->done[i])
            cudaEventDestroy(device->done[i]);
    }
    if (device->compute)
        cudaStreamDestroy(device->compute);
    if (device->copy)
        cudaStreamDestroy(device->copy);
}

enum status device_open(struct device *device, struct error *err)
{
    *device = (struct device){.name = "the GPU", .graphs = true};
    enum status status = find_gpu(err);
    if (status != STATUS_OK)
        return status;
    struct cudaDeviceProp properties;
    status = judge(device, cudaGetDeviceProperties(&properties, 0), "asking for the GPU's properties", err);
    if (status == STATUS_OK)
        status = judge(device, cudaSetDevice(0), "choosing the GPU", err);
    if (status != STATUS_OK)
        return status;
    snprintf(device->name, sizeof device->name, "%.90s", properties.name);
    device->compute_capability = 10 * properties.major + properties.minor;
    device->multiprocessors = properties.multiProcessorCount;
    device->memory_size = properties.totalGlobalMem;
    if (device->compute_capability < OLDEST_COMPUTE_CAPABILITY)
        return error_set(err, STATUS_REJECTED,
                         "%s has compute capability %d.%d, the CUDA backend needs 7.5; use backend 'cpu'",
                         device->name, properties.major, properties.minor);
    char bus[32];
    if (cudaDeviceGetPCIBusId(bus, sizeof bus, 0) == cudaSuccess)
        device->health = health_open(bus);
    else
        cudaGetLastError(); // no figures, but a good device
    status = make_streams(device, err);
    if (status != STATUS_OK) {
        destroy_streams(device); // nothing is on them
        device_close(device);
    }
    return status;
}

void device_close(struct device *device)
{
    if (!device->lost) // it may wait for the device
        destroy_streams(device);
    health_close(device->health);
    *device = (struct device){.lost = true, .lost_because = "the GPU is closed"};
}

enum status device_alloc(struct device *device, void **memory, size_t size, struct error *err)
{
    *memory = NULL;
    return judge(device, cudaMalloc(memory, size), "allocating", err);
}

void device_free(struct device *device, void *memory)
{
    if (!device->lost)
        cudaFree(memory);
}

enum status device_alloc_pinned(struct device *device, void **memory, size_t size, struct error *err)
{
    *memory = NULL;
    return judge(device, cudaMallocHost(memory, size), "allocating pinned memory", err);
}

void device_free_pinned(struct device *device, void *memory)
{
    if (memory && !device->lost)
        cudaFreeHost(memory);
}

enum status device_finish(struct device *device, struct error *err)
{
    enum status status = device_mark(device, 0, err);
    return status == STATUS_OK ? device_wait(device, 0, err) : status;
}

enum status device_upload(struct device *device, void *to, const void *from, size_t size, struct error *err)
{
    enum status status = judge(
        device, cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, device->compute), "uploading", err);
    return status == STATUS_OK ? device_finish(device, err) : status;
}

enum status device_send(struct device *device, int slot, void *to, const void *pinned, size_t size,
                        struct error *err)
{
    cudaError_t result = cudaMemcpyAsync(to, pinned, size, cudaMemcpyHostToDevice, device->copy);
    if (result == cudaSuccess)
        result = cudaEventRecord(device->sent[slot], device->copy);
    if (result == cudaSuccess)
        result = cudaStreamWaitEvent(device->compute, device->sent[slot], 0);
    return judge(device, result, "sending images", err);
}

enum status device_copy(struct device *device, void *to, const void *from, size_t size, struct error *err)
{
    return judge(device, cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, device->compute),
                 "copying", err);
}

enum status device_receive(struct device *device, void *pinned, const void *from, size_t size,
                           struct error *err)
{
    return judge(device, cudaMemcpyAsync(pinned, from, size, cudaMemcpyDeviceToHost, device->compute),
                 "fetching results", err);
}

enum status device_mark(struct device *device, int slot, struct error *err)
{
    return judge(device, cudaEventRecord(device->done[slot], device->compute), "recording an end", err);
}

enum status device_wait(struct device *device, int slot, struct error *err)
{
    int64_t begun_us = clock_monotonic_us();
    for (;;) {
        cudaError_t result = cudaEventQuery(device->done[slot]);
        if (result != cudaErrorNotReady)
            return judge(device, result, "computing", err);
        int64_t waited_us = clock_monotonic_us() - begun_us;
        if (waited_us > (int64_t)DEVICE_TIMEOUT_MS * 1000)
            return device_lose(device, err, "what it was given did not end in time");
        if (waited_us > SPIN_US)
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
        else
            sched_yield();
    }
}

enum status device_timer_start(struct device *device, struct error *err)
{
    return device_mark(device, 0, err);
}

enum status device_timer_stop(struct device *device, double *elapsed_us, struct error *err)
{
    float elapsed_ms = 0;
    enum status status = device_mark(device, 1, err);
    if (status == STATUS_OK)
        status = device_wait(device, 1, err);
    if (status == STATUS_OK)
        status =
            judge(device, cudaEventElapsedTime(&elapsed_ms, device->done[0], device->done[1]), "timing", err);
    *elapsed_us = 1000.0 * (double)elapsed_ms;
    return status;
}

enum status device_capture_begin(struct device *device, struct error *err)
{
    return judge(device, cudaStreamBeginCapture(device->compute, cudaStreamCaptureModeThreadLocal),
                 "beginning a graph", err);
}

enum status device_capture_end(struct device *device, struct device_graph **graph, struct error *err)
{
    cudaGraph_t captured = NULL;
    cudaGraphExec_t executable = NULL;
    cudaError_t result = cudaStreamEndCapture(device->compute, &captured);
    if (result == cudaSuccess)
        result = cudaGraphInstantiate(&executable, captured, 0);
    if (captured)
        cudaGraphDestroy(captured);
    *graph = (struct device_graph *)executable;
    return judge(device, result, "making a graph", err);
}

void device_capture_drop(struct device *device)
{
    cudaGraph_t captured = NULL;
    cudaStreamEndCapture(device->compute, &captured);
    if (captured)
        cudaGraphDestroy(captured);
    cudaGetLastError(); // the caller has told what failed
}

enum status device_graph_launch(struct device *device, struct device_graph *graph, struct error *err)
{
    return judge(device, cudaGraphLaunch((cudaGraphExec_t)graph, device->compute), "launching a graph", err);
}

void device_graph_free(struct device *device, struct device_graph *graph)
{
    if (graph && !device->lost)
        cudaGraphExecDestroy((cudaGraphExec_t)graph);
}
