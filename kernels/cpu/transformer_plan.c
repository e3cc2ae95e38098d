// transformer_plan.c: prepares plans of vision transformers and runs them chunk by chunk.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cpu/pages.h"
#include "kernels/cpu/transformer.h"
#include "kernels/image/preprocess.h"

// Images worked on together: enough rows to keep the cores busy and to use weights twice while they are near;
// more would only push activations out of the caches. int8 weights are small enough to come anew for each
// image.
enum { MAX_CHUNK = 64, THREADS_PER_PART = 8 };

static void plan_release(struct plan *base)
{
    struct transformer_plan *plan = (struct transformer_plan *)base;
    pages_free(plan->memory, plan->memory_size);
    pages_free(plan->weights, plan->weights_size);
    free(plan->steps);
    free(plan->tensors);
    free(plan->network);
    free(plan);
}

static enum status choose_kernels(struct transformer_plan *plan, enum precision precision, struct error *err)
{
    const struct cpu_kernels *kernels = &plan->device->kernels;
    plan->gemm = kernels->gemm[precision];
    if (!plan->gemm)
        return error_set(err, STATUS_REJECTED,
                         "this processor (%s) can't compute in %s%s; use fp32%s or int8",
                         plan->device->backend.device, precision_names[precision],
                         precision == PRECISION_BF16 ? ", which needs AVX512_BF16" : "",
                         kernels->gemm[PRECISION_BF16] ? ", bf16" : "");
    bool half = precision != PRECISION_FP32 && kernels->gemm[PRECISION_BF16];
    plan->attention = kernels->gemm[half ? PRECISION_BF16 : PRECISION_FP32];
    return STATUS_OK;
}

static void make_tables(struct transformer_plan *plan)
{
    preprocess_table(plan->network->mean, plan->network->std, plan->table);
    plan->device->kernels.ops->to_bf16(plan->table, 3 * 256, plan->table_bf16);
}

static void choose_chunk(struct transformer_plan *plan)
{
    int chunk = plan->plan.precision == PRECISION_INT8 ? 1 : 2;
    chunk *= 1 + team_threads(plan->device->team) / THREADS_PER_PART;
    chunk = chunk < MAX_CHUNK ? chunk : MAX_CHUNK;
    plan->chunk = chunk < plan->plan.max_batch ? chunk : plan->plan.max_batch;
}

static enum status run(struct plan *base, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err)
{
    (void)err; // nothing can fail
    struct transformer_plan *plan = (struct transformer_plan *)base;
    for (int first = 0; first < count; first += plan->chunk) {
        int images = count - first < plan->chunk ? count - first : plan->chunk;
        const struct inference of_chunk = inference_from(base, result, first);
        transformer_run_chunk(plan, views + first, images, &of_chunk);
    }
    return STATUS_OK;
}

static const struct plan_ops plan_ops = {.run = run, .free = plan_release};

static enum status prepare(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct plan_options *options,
                           struct plan **result, struct error *err)
{
    if (!transformer_supports(network))
        return STATUS_OK;
    struct transformer_plan *plan = memory_alloc(sizeof *plan);
    plan->device = device;
    enum status status = choose_kernels(plan, options->precision, err);
    if (status != STATUS_OK)
        goto done;
    plan->plan = plan_describe(&device->backend, &plan_ops, network, options);
    if (options->attention == EXPLAIN_ROLLOUT && !plan->plan.heads) {
        status = error_set(err, STATUS_REJECTED, "%s has no attention to roll out", network->architecture);
        goto done;
    }
    plan->network = memory_alloc(sizeof *network);
    *plan->network = *network;
    plan->observer = options->precision == PRECISION_FP32 ? options->observer : NULL;
    plan->plan.observed = plan->observer != NULL;
    choose_chunk(plan);
    make_tables(plan);
    transformer_build(plan, plan->plan.heads ? options->attention : EXPLAIN_NOTHING);
    status = transformer_pack_weights(plan, weights, err);
    if (status != STATUS_OK)
        goto done;
    plan->memory = pages_new(plan->memory_size);
    if (!plan->memory)
        status =
            error_set(err, STATUS_FATAL, "no memory for %zu MiB of activations", plan->memory_size >> 20);
    else if (plan->rollout.blocks)
        rollout_place(&plan->rollout, plan->memory + plan->rollout_offset);
    plan->plan.weight_size = plan->weights_size;
    plan->plan.memory_size = plan->memory_size;
done:
    if (status == STATUS_OK)
        *result = &plan->plan;
    else
        plan_release(&plan->plan);
    return status;
}

const struct executor transformer_executor = {.needs_team = true, .prepare = prepare};
