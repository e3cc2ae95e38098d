// backend.c: passes calls to the table of a backend or plan.
#include "kernels/backend.h"

#include <assert.h>

void backend_close(struct backend *backend)
{
    if (backend)
        backend->ops->close(backend);
}

static bool has_layernorm(const struct network *network)
{
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].kind == OP_LAYERNORM)
            return true;
    return false;
}

enum status backend_prepare(struct backend *backend, const struct network *network,
                            const struct weights *weights, const struct plan_options *options,
                            struct plan **plan, struct error *err)
{
    assert(options->max_batch >= 1);
    *plan = NULL;
    struct network *folded = network_fold(network);
    enum status status = backend->ops->prepare(backend, folded, weights, options, plan, err);
    network_free(folded);
    assert((status == STATUS_OK) == (*plan != NULL));
    if (status == STATUS_OK && options->observer && !(*plan)->observed && has_layernorm(network)) {
        plan_free(*plan);
        *plan = NULL;
        status =
            error_set(err, STATUS_REJECTED,
                      "the rows of a LayerNorm in %s can't be seen on %s; a CPU with AVX2 shows them in fp32",
                      precision_names[options->precision], backend->device);
    }
    return status;
}

enum status plan_run(struct plan *plan, const uint8_t *const *views, int count,
                     const struct inference *result, struct error *err)
{
    assert(count >= 1 && count <= plan->max_batch);
    assert(result->logits && (result->attention || plan->heads == 0));
    return plan->ops->run(plan, views, count, result, err);
}

void plan_free(struct plan *plan)
{
    if (plan)
        plan->ops->free(plan);
}

enum status backend_health(struct backend *backend, struct error *err)
{
    return backend->ops->health(backend, err);
}

void backend_figures(struct backend *backend, struct device_figures *figures)
{
    backend->ops->figures(backend, figures);
}

double backend_peak_gflops(struct backend *backend, enum precision precision)
{
    return backend->ops->peak_gflops(backend, precision);
}
