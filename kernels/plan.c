// plan.c: what backends have in common: what a caller may know of a plan, where an image's results lie, the
// slots of a device that has nothing to say there. Apart from backend.c, so that the CUDA backend's library
// can have it without every other backend.
#include "kernels/backend.h"

struct plan plan_describe(struct backend *backend, const struct plan_ops *ops, const struct network *network,
                          const struct plan_options *options)
{
    int heads = options->attention == EXPLAIN_NOTHING || network->explained_op < 0 ? 0
                : options->attention == EXPLAIN_ROLLOUT                            ? 1
                                                        : network_map_heads(network);
    return (struct plan){.ops = ops,
                         .backend = backend,
                         .max_batch = options->max_batch,
                         .classes = network->classes,
                         .view_size = network->image_size * network->image_size * 3,
                         .heads = heads,
                         .map_height = heads ? network->map_height : 0,
                         .map_width = heads ? network->map_width : 0,
                         .embedding_width = network->tensors[network->embedding].columns,
                         .flops = network_flops(network),
                         .precision = options->precision};
}

struct inference inference_from(const struct plan *plan, const struct inference *result, int first)
{
    size_t image = (size_t)first;
    size_t map_size = (size_t)plan->heads * (size_t)plan->map_height * (size_t)plan->map_width;
    return (struct inference){
        .logits = result->logits + image * (size_t)plan->classes,
        .attention = plan->heads && result->attention ? result->attention + image * map_size : NULL,
        .embedding = result->embedding ? result->embedding + image * (size_t)plan->embedding_width : NULL};
}

enum status backend_no_training(struct backend *backend, const struct network *network,
                                const struct weights *weights, const struct training_options *options,
                                struct training **training, struct error *err)
{
    (void)network;
    (void)weights;
    (void)options;
    (void)training;
    return error_set(err, STATUS_REJECTED, "the %s backend can't train yet; --backend cpu can",
                     backend->name);
}

enum status backend_always_healthy(struct backend *backend, struct error *err)
{
    (void)backend;
    (void)err;
    return STATUS_OK;
}

void backend_no_figures(struct backend *backend, struct device_figures *figures)
{
    (void)backend;
    *figures = (struct device_figures){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
}

double backend_no_peak(struct backend *backend, enum precision precision)
{
    (void)backend;
    (void)precision;
    return 0;
}
