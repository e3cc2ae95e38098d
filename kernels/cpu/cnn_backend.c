// cnn_backend.c: prepares plans of convolutional networks and runs them chunk by chunk. fast_backend.c hands
// it the networks that it can take.
#include <stdlib.h>

#include "common/memory.h"
#include "kernels/cpu/cnn.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/pages.h"
#include "kernels/cpu/peak.h"
#include "kernels/network_weights.h"
#include "kernels/preprocess.h"

// Images worked on together: one, as the maps of the first layers fill the caches, unless there are many
// threads to keep busy with the few places of the last layers.
enum { MAX_CHUNK = 32, THREADS_PER_PART = 8 };

static void plan_release(struct plan *base)
{
    struct cnn_plan *plan = (struct cnn_plan *)base;
    pages_free(plan->memory, plan->memory_size);
    pages_free(plan->weights, plan->weights_size);
    free(plan->steps);
    free(plan->tensors);
    free(plan->map_weight);
    free(plan->network);
    free(plan);
}

static void describe(struct cnn_plan *plan, const struct network *network, const struct plan_options *options)
{
    plan->plan = plan_describe(&plan->cnn->backend, network, options);
    plan->feature_map = plan->plan.heads ? network->operations[network->explained_op].output : -1;
    int chunk = 1 + team_threads(plan->cnn->team) / THREADS_PER_PART;
    chunk = chunk < MAX_CHUNK ? chunk : MAX_CHUNK;
    plan->chunk = chunk < options->max_batch ? chunk : options->max_batch;
    plan->network = memory_alloc(sizeof *network);
    *plan->network = *network;
    preprocess_table(network->mean, network->std, plan->table);
}

static enum status cnn_prepare(struct backend *backend, const struct network *network,
                               const struct weights *weights, const struct plan_options *options,
                               struct plan **result, struct error *err)
{
    if (options->precision != PRECISION_FP32)
        return error_set(err, STATUS_REJECTED, "%s runs in fp32 on the CPU, not in %s; use fp32",
                         network->architecture, precision_names[options->precision]);
    enum status status = network_check_weights(network, weights, err);
    if (status != STATUS_OK)
        return status;
    struct cnn_plan *plan = memory_alloc(sizeof *plan);
    plan->cnn = (struct cnn_backend *)backend;
    describe(plan, network, options);
    cnn_build(plan);
    status = cnn_pack_weights(plan, weights, err);
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

static enum status cnn_run(struct plan *base, const uint8_t *const *views, int count,
                           const struct inference *result, struct error *err)
{
    (void)err; // nothing can fail
    struct cnn_plan *plan = (struct cnn_plan *)base;
    size_t map_size = (size_t)base->map_height * (size_t)base->map_width;
    for (int first = 0; first < count; first += plan->chunk) {
        int images = count - first < plan->chunk ? count - first : plan->chunk;
        cnn_run_chunk(plan, views + first, images, result->logits + (size_t)first * (size_t)base->classes,
                      base->heads ? result->attention + (size_t)first * map_size : NULL);
    }
    return STATUS_OK;
}

static void cnn_close(struct backend *backend)
{
    free(backend);
}

struct backend *cnn_backend_open(const struct backend *like, struct team *team,
                                 const struct gemm_kernel *gemm)
{
    static const struct backend_ops ops = {
        .prepare = cnn_prepare,
        .run = cnn_run,
        .plan_free = plan_release,
        .health = backend_always_healthy,
        .figures = backend_no_figures,
        .peak_gflops = cpu_backend_peak_gflops,
        .close = cnn_close,
    };
    struct cnn_backend *cnn = memory_alloc(sizeof *cnn);
    cnn->backend = *like;
    cnn->backend.ops = &ops;
    cnn->team = team;
    cnn->gemm = gemm;
    cnn->ops = cpu_features_get().avx512 ? &conv_ops_avx512 : &conv_ops_avx2;
    return &cnn->backend;
}
