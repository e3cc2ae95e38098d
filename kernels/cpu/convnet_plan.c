// convnet_plan.c: prepares plans of convolutional networks and runs them chunk by chunk.
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/cpu/convnet.h"
#include "kernels/cpu/pages.h"
#include "kernels/image/preprocess.h"

// Images worked on together: one, as the maps of the first layers fill the caches, unless there are many
// threads to keep busy with the few places of the last layers.
enum { MAX_CHUNK = 32, THREADS_PER_PART = 8 };

static void plan_release(struct plan *base)
{
    struct convnet_plan *plan = (struct convnet_plan *)base;
    pages_free(plan->memory, plan->memory_size);
    pages_free(plan->weights, plan->weights_size);
    free(plan->steps);
    free(plan->tensors);
    free(plan->map_weight);
    free(plan->network);
    free(plan);
}

static enum status run(struct plan *base, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err)
{
    (void)err; // nothing can fail
    struct convnet_plan *plan = (struct convnet_plan *)base;
    for (int first = 0; first < count; first += plan->chunk) {
        int images = count - first < plan->chunk ? count - first : plan->chunk;
        const struct inference of_chunk = inference_from(base, result, first);
        convnet_run_chunk(plan, views + first, images, &of_chunk);
    }
    return STATUS_OK;
}

static const struct plan_ops plan_ops = {.run = run, .free = plan_release};

static void describe(struct convnet_plan *plan, const struct network *network,
                     const struct plan_options *options)
{
    plan->plan = plan_describe(&plan->device->backend, &plan_ops, network, options);
    plan->feature_map = plan->plan.heads ? network->operations[network->explained_op].output : -1;
    int chunk = 1 + team_threads(plan->device->team) / THREADS_PER_PART;
    chunk = chunk < MAX_CHUNK ? chunk : MAX_CHUNK;
    plan->chunk = chunk < options->max_batch ? chunk : options->max_batch;
    plan->network = memory_alloc(sizeof *network);
    *plan->network = *network;
    preprocess_table(network->mean, network->std, plan->table);
}

static enum status prepare(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct plan_options *options,
                           struct plan **result, struct error *err)
{
    if (network_map_is_attention(network) || options->attention == EXPLAIN_ROLLOUT)
        return STATUS_OK;
    struct convnet_plan *plan = memory_alloc(sizeof *plan);
    plan->device = device;
    describe(plan, network, options);
    enum status status = STATUS_OK;
    if (!convnet_build(plan)) {
        plan_release(&plan->plan);
        return STATUS_OK;
    }
    if (options->precision != PRECISION_FP32)
        status = error_set(err, STATUS_REJECTED, "%s runs in fp32 on the CPU, not in %s; use fp32",
                           network->architecture, precision_names[options->precision]);
    if (status == STATUS_OK)
        status = convnet_pack_weights(plan, weights, err);
    if (status == STATUS_OK && !(plan->memory = pages_new(plan->memory_size)))
        status =
            error_set(err, STATUS_FATAL, "no memory for %zu MiB of activations", plan->memory_size >> 20);
    plan->plan.weight_size = plan->weights_size;
    plan->plan.memory_size = plan->memory_size;
    if (status == STATUS_OK)
        *result = &plan->plan;
    else
        plan_release(&plan->plan);
    return status;
}

const struct executor convnet_executor = {.needs_team = true, .prepare = prepare};
