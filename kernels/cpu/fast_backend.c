// fast_backend.c: the backend of processors with AVX2 or better: opens the team, prepares plans, runs them
// chunk by chunk. A convolutional network gets the executor of cnn.h; one with an operation that has no fast
// step the plain executor, in fp32.
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "kernels/cpu/cnn.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/fast.h"
#include "kernels/cpu/pages.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/plain.h"
#include "kernels/network_weights.h"
#include "kernels/preprocess.h"

// Images worked on together: enough rows to keep the cores busy and to use weights twice while they are near;
// more would only push activations out of the caches. int8 weights are small enough to come anew for each
// image.
enum { MAX_CHUNK = 64, THREADS_PER_PART = 8 };

static void plan_release(struct plan *base)
{
    struct fast_plan *plan = (struct fast_plan *)base;
    pages_free(plan->memory, plan->memory_size);
    pages_free(plan->weights, plan->weights_size);
    free(plan->steps);
    free(plan->tensors);
    free(plan->network);
    free(plan);
}

static enum status choose_kernels(struct fast_plan *plan, enum precision precision, struct error *err)
{
    const struct cpu_kernels *kernels = &plan->fast->kernels;
    plan->gemm = kernels->gemm[precision];
    if (!plan->gemm)
        return error_set(err, STATUS_REJECTED, "this processor (%s) can't compute in %s%s; use fp32%s%s",
                         plan->fast->backend.device, precision_names[precision],
                         precision == PRECISION_BF16   ? ", which needs AVX512_BF16"
                         : precision == PRECISION_INT8 ? ", which needs AVX512_VNNI"
                                                       : "",
                         kernels->gemm[PRECISION_BF16] ? " or bf16" : "",
                         kernels->gemm[PRECISION_INT8] ? " or int8" : "");
    bool half = precision != PRECISION_FP32 && kernels->gemm[PRECISION_BF16];
    plan->attention = kernels->gemm[half ? PRECISION_BF16 : PRECISION_FP32];
    return STATUS_OK;
}

static void make_tables(struct fast_plan *plan)
{
    preprocess_table(plan->network->mean, plan->network->std, plan->table);
    plan->fast->kernels.ops->to_bf16(plan->table, 3 * 256, plan->table_bf16);
}

static void choose_chunk(struct fast_plan *plan)
{
    int chunk = plan->plan.precision == PRECISION_INT8 ? 1 : 2;
    chunk *= 1 + team_threads(plan->fast->team) / THREADS_PER_PART;
    chunk = chunk < MAX_CHUNK ? chunk : MAX_CHUNK;
    plan->chunk = chunk < plan->plan.max_batch ? chunk : plan->plan.max_batch;
}

static enum status fast_prepare(struct backend *backend, const struct network *network,
                                const struct weights *weights, const struct plan_options *options,
                                struct plan **result, struct error *err)
{
    struct fast_backend *fast = (struct fast_backend *)backend;
    if (!network_map_is_attention(network) && options->attention != EXPLAIN_ROLLOUT &&
        cnn_supports(network, options->attention))
        return fast->cnn->ops->prepare(fast->cnn, network, weights, options, result, err);
    if (!fast_supports(network))
        return fast->plain->ops->prepare(fast->plain, network, weights, options, result, err);
    struct fast_plan *plan = memory_alloc(sizeof *plan);
    plan->fast = fast;
    enum status status = choose_kernels(plan, options->precision, err);
    if (status == STATUS_OK)
        status = network_check_weights(network, weights, err);
    if (status != STATUS_OK)
        goto done;
    plan->plan = plan_describe(backend, network, options);
    if (options->attention == EXPLAIN_ROLLOUT && !plan->plan.heads) {
        status = error_set(err, STATUS_REJECTED, "%s has no attention to roll out", network->architecture);
        goto done;
    }
    plan->network = memory_alloc(sizeof *network);
    *plan->network = *network;
    plan->steps = memory_alloc(FAST_MAX_STEPS * sizeof *plan->steps);
    plan->tensors = memory_alloc(FAST_MAX_TENSORS * sizeof *plan->tensors);
    plan->observer = options->precision == PRECISION_FP32 ? options->observer : NULL;
    plan->plan.observed = plan->observer != NULL;
    choose_chunk(plan);
    make_tables(plan);
    fast_build(plan, plan->plan.heads ? options->attention : EXPLAIN_NOTHING);
    status = fast_pack_weights(plan, weights, err);
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

static enum status fast_run(struct plan *base, const uint8_t *const *views, int count,
                            const struct inference *result, struct error *err)
{
    (void)err; // nothing can fail
    struct fast_plan *plan = (struct fast_plan *)base;
    size_t map_size = (size_t)base->heads * (size_t)base->map_height * (size_t)base->map_width;
    for (int first = 0; first < count; first += plan->chunk) {
        int images = count - first < plan->chunk ? count - first : plan->chunk;
        fast_run_chunk(plan, views + first, images, result->logits + (size_t)first * (size_t)base->classes,
                       base->heads ? result->attention + (size_t)first * map_size : NULL);
    }
    return STATUS_OK;
}

static void fast_close(struct backend *backend)
{
    struct fast_backend *fast = (struct fast_backend *)backend;
    team_free(fast->team);
    backend_close(fast->cnn);
    backend_close(fast->plain);
    free(fast);
}

enum status fast_backend_open(struct backend **backend, int threads, struct error *err)
{
    static const struct backend_ops ops = {
        .prepare = fast_prepare,
        .run = fast_run,
        .plan_free = plan_release,
        .health = backend_always_healthy,
        .figures = backend_no_figures,
        .peak_gflops = cpu_backend_peak_gflops,
        .close = fast_close,
    };
    struct team *team = NULL;
    enum status status = team_new(&team, threads, err);
    if (status != STATUS_OK)
        return status;
    struct fast_backend *fast = memory_alloc(sizeof *fast);
    fast->backend = (struct backend){.ops = &ops, .name = "cpu", .threads = threads};
    fast->plain = cpu_plain_backend_open();
    fast->kernels = cpu_kernels_get();
    fast->team = team;
    cpu_features_describe(fast->backend.device, sizeof fast->backend.device, threads);
    strcpy(fast->backend.device_class, cpu_features_class());
    fast->cnn = cnn_backend_open(&fast->backend, team, fast->kernels.gemm[PRECISION_FP32]);
    *backend = &fast->backend;
    return STATUS_OK;
}
