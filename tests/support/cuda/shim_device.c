// shim_device.c: kernels/cuda/device.h in the processor's memory, for tests without a GPU: everything happens
// at once and in order. Graphs, where a test asks for them, are lists of launches with their arguments; else
// plans run step by step. A test can let the n-th call from now on fail, as a lost device would.
#include "tests/support/cuda/shim_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/ops.h"
#include "tests/support/cuda/cuda_memory.h"

// cuda_shim.cpp, which is C++
extern bool shim_backwards;
void shim_capture_begin(void);
void *shim_capture_end(void);
void shim_replay(void *graph);
void shim_graph_free(void *graph);

struct shim_device_state shim_device = {.compute_capability = 80, .fail_at = -1};

static enum status step(struct device *device, const char *doing, struct error *err)
{
    if ((shim_device.fail_at >= 0 && shim_device.calls == shim_device.fail_at) ||
        (shim_device.fail_capturing && shim_device.capturing))
        return device_lose(device, err, doing);
    shim_device.calls++;
    return device->lost ? device_lose(device, err, "") : STATUS_OK;
}

enum status device_lose(struct device *device, struct error *err, const char *because)
{
    if (!device->lost)
        snprintf(device->lost_because, sizeof device->lost_because, "%s is lost: %s", device->name, because);
    device->lost = true;
    return error_set(err, STATUS_FATAL, "%s", device->lost_because);
}

enum status device_open(struct device *device, struct error *err)
{
    *device = (struct device){.name = "shim",
                              .compute_capability = shim_device.compute_capability,
                              .multiprocessors = 4,
                              .memory_size = (size_t)1 << 30,
                              .graphs = shim_device.graphs};
    return step(device, "opening", err);
}

void device_close(struct device *device)
{
    *device = (struct device){.lost = true};
}

static enum status allocate(struct device *device, void **memory, size_t size, struct error *err)
{
    *memory = NULL;
    enum status status = step(device, "allocating", err);
    if (status != STATUS_OK)
        return status;
    if (posix_memalign(memory, 256, size) != 0)
        return error_set(err, STATUS_FATAL, "no memory");
    memset(*memory, 0xff, size); // NaN, whatever the type
    shim_device.allocations++;
    return STATUS_OK;
}

static void release(void *memory)
{
    shim_device.allocations -= memory != NULL;
    free(memory);
}

enum status device_alloc(struct device *device, void **memory, size_t size, struct error *err)
{
    return allocate(device, memory, size, err);
}

void device_free(struct device *device, void *memory)
{
    (void)device;
    release(memory);
}

enum status device_alloc_pinned(struct device *device, void **memory, size_t size, struct error *err)
{
    return allocate(device, memory, size, err);
}

void device_free_pinned(struct device *device, void *memory)
{
    (void)device;
    release(memory);
}

static enum status copy(struct device *device, void *to, const void *from, size_t size, const char *doing,
                        struct error *err)
{
    enum status status = step(device, doing, err);
    if (status == STATUS_OK)
        memcpy(to, from, size);
    return status;
}

enum status device_upload(struct device *device, void *to, const void *from, size_t size, struct error *err)
{
    return copy(device, to, from, size, "uploading", err);
}

enum status device_send(struct device *device, int slot, void *to, const void *pinned, size_t size,
                        struct error *err)
{
    (void)slot;
    return copy(device, to, pinned, size, "sending", err);
}

enum status device_copy(struct device *device, void *to, const void *from, size_t size, struct error *err)
{
    return copy(device, to, from, size, "copying", err);
}

enum status device_receive(struct device *device, void *pinned, const void *from, size_t size,
                           struct error *err)
{
    return copy(device, pinned, from, size, "receiving", err);
}

enum status device_mark(struct device *device, int slot, struct error *err)
{
    (void)slot;
    return step(device, "marking", err);
}

enum status device_wait(struct device *device, int slot, struct error *err)
{
    (void)slot;
    return step(device, "waiting", err);
}

enum status device_finish(struct device *device, struct error *err)
{
    return step(device, "finishing", err);
}

enum status device_timer_start(struct device *device, struct error *err)
{
    return step(device, "timing", err);
}

enum status device_timer_stop(struct device *device, double *elapsed_us, struct error *err)
{
    *elapsed_us = 1;
    return step(device, "timing", err);
}

enum status device_capture_begin(struct device *device, struct error *err)
{
    enum status status = step(device, "capturing", err);
    if (status == STATUS_OK)
        shim_capture_begin();
    shim_device.capturing = status == STATUS_OK;
    return status;
}

void device_capture_drop(struct device *device)
{
    (void)device;
    shim_graph_free(shim_capture_end());
    shim_device.capturing = false;
}

enum status device_capture_end(struct device *device, struct device_graph **graph, struct error *err)
{
    *graph = shim_capture_end();
    shim_device.capturing = false;
    return step(device, "capturing", err);
}

enum status device_graph_launch(struct device *device, struct device_graph *graph, struct error *err)
{
    enum status status = step(device, "launching a graph", err);
    if (status == STATUS_OK)
        shim_replay(graph);
    return status;
}

void device_graph_free(struct device *device, struct device_graph *graph)
{
    (void)device;
    shim_graph_free(graph);
}

enum status device_check(struct device *device, const char *doing, struct error *err)
{
    return step(device, doing, err);
}

void *cuda_memory(size_t size)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 256, size) != 0)
        abort();
    memset(memory, 0xff, size);
    return memory;
}

void cuda_memory_free(void *memory)
{
    free(memory);
}

void cuda_memory_ready(void)
{
}

bool cuda_memory_runs(int compute_capability)
{
    (void)compute_capability;
    return true;
}

void cuda_memory_run_backwards(bool backwards)
{
    shim_backwards = backwards;
}
