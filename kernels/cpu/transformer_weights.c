// transformer_weights.c: one block of memory for a plan's weights: packed panels, LayerNorm vectors,
// positions. Each source tensor's pages are given back to the system as soon as it is packed.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cpu/pages.h"
#include "kernels/cpu/transformer.h"

// Takes pieces of the block; while `base` is NULL it only adds up how much is needed.
struct packer {
    struct transformer_plan *plan;
    const struct weights *weights;
    char *base;
    size_t used;
    bool failed;
};

static void *take(struct packer *packer, size_t size)
{
    size_t at = packer->used;
    packer->used += memory_round_up(size, 64);
    return packer->base ? packer->base + at : NULL;
}

// The tensor's values as floats: in place where they are, else a copy in *copy, which the caller frees.
static const float *floats_of(struct packer *packer, const struct weight *weight, float **copy)
{
    *copy = NULL;
    if (weight->dtype == DTYPE_F32 && (uintptr_t)weight->data % sizeof(float) == 0)
        return weight->data;
    *copy = memory_try_alloc(weight->count * sizeof(float));
    if (*copy)
        weight_to_float(weight, *copy);
    packer->failed = packer->failed || !*copy;
    return *copy;
}

static const struct weight *find(const struct packer *packer, int parameter)
{
    return weights_find(packer->weights, packer->plan->network->parameters[parameter].name);
}

static float *copy_vector(struct packer *packer, int parameter)
{
    const struct weight *weight = find(packer, parameter);
    float *to = take(packer, weight->count * sizeof(float));
    if (packer->base) {
        weight_to_float(weight, to);
        weights_discard_pages(packer->weights, weight);
    }
    return to;
}

// (c', 3, height, width) -> (c', height, width, 3): the order of a patch's bytes in the view.
static float *channels_last(const struct operation *convolution, const float *from, int channels)
{
    size_t area = (size_t)convolution->kernel_height * (size_t)convolution->kernel_width;
    float *to = memory_try_alloc((size_t)channels * area * 3 * sizeof(float));
    for (size_t out = 0; to && out < (size_t)channels; out++)
        for (size_t pixel = 0; pixel < area; pixel++)
            for (size_t channel = 0; channel < 3; channel++)
                to[(out * area + pixel) * 3 + channel] = from[(out * 3 + channel) * area + pixel];
    return to;
}

static void pack_gemm(struct packer *packer, struct step *step)
{
    const struct operation *operation = step->operation;
    const struct weight *weight = find(packer, operation->weight);
    int n = (int)weight->shape[0], k = (int)(weight->count / (size_t)n);
    void *memory = take(packer, gemm_packed_size(step->kernel, n, k));
    if (!packer->base)
        return;
    const struct weight *bias = operation->bias >= 0 ? find(packer, operation->bias) : NULL;
    float *copy, *bias_copy = NULL, *reordered = NULL;
    const float *values = floats_of(packer, weight, &copy);
    const float *bias_values = bias ? floats_of(packer, bias, &bias_copy) : NULL;
    if (operation->kind == OP_CONVOLUTION && values) {
        values = reordered = channels_last(operation, values, n);
        packer->failed = packer->failed || !reordered;
    }
    if (!packer->failed) {
        gemm_pack(&step->weights, step->kernel, packer->plan->device->team, values, bias_values, n, k,
                  memory);
        weights_discard_pages(packer->weights, weight);
    }
    free(copy);
    free(bias_copy);
    free(reordered);
}

// Positions of all tokens, and a first row that already holds the class token.
static void pack_tokens(struct packer *packer, struct step *step)
{
    const struct operation *tokens = step->operation;
    const float *class_token = copy_vector(packer, tokens->weight);
    float *positions = copy_vector(packer, tokens->bias);
    if (!packer->base)
        return;
    int width = packer->plan->tensors[step->output].columns;
    step->scale = positions;
    step[-1].positions = positions + width;
    for (int i = 0; i < width; i++)
        positions[i] = class_token[i] + positions[i];
}

static void pack_step(struct packer *packer, struct step *step)
{
    if (step->shares_weights) {
        step->weights = step[-1].weights;
    } else if (step->kind == LOWERED_PRODUCT) {
        pack_gemm(packer, step);
    } else if (step->kind == LOWERED_LAYERNORM) {
        step->scale = copy_vector(packer, step->operation->weight);
        step->bias = copy_vector(packer, step->operation->bias);
    } else if (step->kind == LOWERED_TOKENS) {
        pack_tokens(packer, step);
    }
}

enum status transformer_pack_weights(struct transformer_plan *plan, const struct weights *weights,
                                     struct error *err)
{
    struct packer packer = {.plan = plan, .weights = weights};
    for (int i = 0; i < plan->step_count; i++)
        pack_step(&packer, &plan->steps[i]);
    plan->weights_size = packer.used;
    plan->weights = pages_new(plan->weights_size);
    if (!plan->weights)
        return error_set(err, STATUS_FATAL, "no memory for %zu MiB of packed weights",
                         plan->weights_size >> 20);
    packer.base = plan->weights;
    packer.used = 0;
    for (int i = 0; i < plan->step_count && !packer.failed; i++)
        pack_step(&packer, &plan->steps[i]);
    if (packer.failed)
        return error_set(err, STATUS_FATAL, "no memory to pack the weights of %s",
                         plan->network->architecture);
    return STATUS_OK;
}
