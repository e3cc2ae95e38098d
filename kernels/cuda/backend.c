// backend.c: the CUDA backend's table, and the function through which a program gets it. See plugin.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cuda/health.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/plugin.h"
#include "kernels/model/network_weights.h"

static void plan_release(struct plan *base)
{
    struct cuda_plan *plan = (struct cuda_plan *)base;
    cuda_free_slices(plan);
    device_free(&plan->cuda->device, plan->weights);
    free(plan->steps);
    free(plan->activations);
    free(plan->network);
    free(plan);
}

static enum status check_precision(const struct device *device, enum precision precision, struct error *err)
{
    if (precision == PRECISION_BF16 && device->compute_capability < 80)
        return error_set(err, STATUS_REJECTED, "%s has no bf16, which came with Ampere; use fp16",
                         device->name);
    return STATUS_OK;
}

static const struct plan_ops plan_ops = {.run = cuda_run, .free = plan_release};

static struct cuda_plan *new_plan(struct cuda_backend *cuda, const struct network *network,
                                  const struct plan_options *options)
{
    struct cuda_plan *plan = memory_alloc(sizeof *plan);
    plan->plan = plan_describe(&cuda->backend, &plan_ops, network, options);
    plan->cuda = cuda;
    plan->network = memory_alloc(sizeof *network);
    *plan->network = *network;
    plan->product = (enum storage)options->precision;
    plan->attention = plan->product == STORE_UINT8 ? STORE_FP16 : plan->product;
    plan->slice = options->max_batch < SLICE_MAX ? options->max_batch : SLICE_MAX;
    for (int size = 1; size <= GRAPH_PAD_MAX; size *= 2)
        if (plan->slice <= size) { // room for the images that fill a slice up to the next graph
            plan->slice = size;
            break;
        }
    plan->steps = memory_alloc(STEPS_MAX * sizeof *plan->steps);
    plan->activations = memory_alloc(ACTIVATIONS_MAX * sizeof *plan->activations);
    return plan;
}

static void describe_backend(struct cuda_backend *cuda)
{
    struct backend *backend = &cuda->backend;
    char choices[16];
    library_class(cuda->library, choices);
    snprintf(backend->device, sizeof backend->device, "%.80s, %d multiprocessors, %zu GiB", cuda->device.name,
             cuda->device.multiprocessors, cuda->device.memory_size >> 30);
    snprintf(backend->device_class, sizeof backend->device_class, "sm_%d-%s", cuda->device.compute_capability,
             choices);
}

static enum status cuda_prepare(struct backend *backend, const struct network *network,
                                const struct weights *weights, const struct plan_options *options,
                                struct plan **result, struct error *err)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    enum status status = cuda_check_network(network, options->precision, err);
    if (status == STATUS_OK && options->attention == EXPLAIN_ROLLOUT)
        status = error_set(err, STATUS_REJECTED, "the CUDA backend has no rollout; use backend 'cpu'");
    if (status == STATUS_OK)
        status = check_precision(&cuda->device, options->precision, err);
    if (status == STATUS_OK)
        status = network_check_weights(network, weights, err);
    if (status != STATUS_OK)
        return status;
    struct cuda_plan *plan = new_plan(cuda, network, options);
    status = cuda_build(plan, plan->plan.heads > 0, err);
    if (status == STATUS_OK)
        status = cuda_pack(plan, weights, err);
    if (status == STATUS_OK)
        status = cuda_make_slices(plan, err);
    describe_backend(cuda); // its class, if products were tuned
    plan->plan.weight_size = plan->weights_size;
    plan->plan.memory_size += library_memory(cuda->library);
    if (status == STATUS_OK)
        *result = &plan->plan;
    else
        plan_release(&plan->plan);
    return status;
}

static enum status cuda_health(struct backend *backend, struct error *err)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    char reason[128];
    if (cuda->device.health && health_fault(cuda->device.health, reason, sizeof reason))
        return device_lose(&cuda->device, err, reason);
    return device_check(&cuda->device, "the last launch", err);
}

static void cuda_figures(struct backend *backend, struct device_figures *figures)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    if (cuda->device.health)
        health_read(cuda->device.health, figures);
    else
        backend_no_figures(backend, figures);
}

static void cuda_close(struct backend *backend)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    library_close(cuda->library);
    device_close(&cuda->device);
    free(cuda);
}

__attribute__((visibility("default"))) enum status
skinsight_cuda_backend_open(uint32_t interface_version, struct backend **backend, struct error *err)
{
    static const struct backend_ops ops = {
        .prepare = cuda_prepare,
        .prepare_training = backend_no_training,
        .health = cuda_health,
        .figures = cuda_figures,
        .peak_gflops = backend_no_peak,
        .close = cuda_close,
    };
    *backend = NULL;
    if (interface_version != BACKEND_INTERFACE_VERSION)
        return error_set(
            err, STATUS_REJECTED,
            "the CUDA backend was built for interface %d, the program for %u; install both from the "
            "same build",
            (int)BACKEND_INTERFACE_VERSION, interface_version);
    struct cuda_backend *cuda = memory_alloc(sizeof *cuda);
    enum status status = device_open(&cuda->device, err);
    if (status != STATUS_OK) {
        free(cuda);
        return status;
    }
    cuda->backend = (struct backend){.ops = &ops, .name = "cuda", .threads = 1};
    status = library_open(&cuda->library, &cuda->device, err);
    if (status != STATUS_OK) {
        cuda_close(&cuda->backend);
        return status;
    }
    describe_backend(cuda);
    *backend = &cuda->backend;
    return STATUS_OK;
}
