// pack.c: one block of device memory for a plan's weights, in the type that each step multiplies. A tensor
// goes up as float, once, and is converted there; its mapped pages are given back at once.
#include <stdlib.h>

#include "common/memory.h"
#include "kernels/cuda/plan.h"
#include "kernels/preprocess.h"

// Takes pieces of the block; while `base` is NULL it only adds up how much is needed, and finds the largest
// tensor.
struct packer {
    struct cuda_plan *plan;
    const struct weights *weights;
    char *base;
    size_t used, largest;
    float *host, *staged; // one tensor as float, here and on the device
};

static void *take(struct packer *packer, size_t size)
{
    size_t at = packer->used;
    packer->used += memory_round_up(size, 256);
    return packer->base ? packer->base + at : NULL;
}

// (c', 3, height, width) -> (c', height, width, 3): the order of a patch's bytes in the view.
static void channels_last(const struct operation *convolution, const float *from, size_t channels, float *to)
{
    size_t area = (size_t)convolution->kernel_height * (size_t)convolution->kernel_width;
    for (size_t out = 0; out < channels; out++)
        for (size_t pixel = 0; pixel < area; pixel++)
            for (size_t channel = 0; channel < 3; channel++)
                to[(out * area + pixel) * 3 + channel] = from[(out * 3 + channel) * area + pixel];
}

// The tensor as float in staged.
static enum status stage(struct packer *packer, const struct weight *weight,
                         const struct operation *convolution, struct error *err)
{
    float *values = packer->host;
    weight_to_float(weight, values);
    weights_discard_pages(packer->weights, weight);
    if (convolution) {
        values += packer->largest;
        channels_last(convolution, packer->host, (size_t)weight->shape[0], values);
    }
    return device_upload(&packer->plan->cuda->device, packer->staged, values, weight->count * sizeof(float),
                         err);
}

static enum status pack_vector(struct packer *packer, const char *name, float **to, struct error *err)
{
    const struct weight *weight = weights_find(packer->weights, name);
    *to = take(packer, weight->count * sizeof(float));
    packer->largest = weight->count > packer->largest ? weight->count : packer->largest;
    if (!packer->base)
        return STATUS_OK;
    weight_to_float(weight, packer->host);
    return device_upload(&packer->plan->cuda->device, *to, packer->host, weight->count * sizeof(float), err);
}

static enum status convert(struct packer *packer, void *to, enum storage storage, const float *from, int rows,
                           int columns, struct error *err)
{
    struct matrix in = {.data = (void *)(uintptr_t)from, .rows = rows, .columns = columns, .stride = columns};
    struct matrix out = in;
    out.data = to;
    out.storage = storage;
    cuda_convert(packer->plan->cuda->device.compute, in, out);
    return device_check(&packer->plan->cuda->device, "converting weights", err);
}

static enum status pack_matrix(struct packer *packer, struct step *step, enum storage storage,
                               struct error *err)
{
    const struct weight *weight = weights_find(packer->weights, step->operation->weight);
    struct device *device = &packer->plan->cuda->device;
    int n = (int)weight->shape[0], k = (int)(weight->count / (size_t)weight->shape[0]);
    step->weight = take(packer, weight->count * storage_size(storage));
    if (storage == STORE_UINT8) {
        step->scale = take(packer, (size_t)n * sizeof *step->scale);
        step->sums = take(packer, (size_t)n * sizeof *step->sums);
    }
    packer->largest = weight->count > packer->largest ? weight->count : packer->largest;
    if (!packer->base)
        return STATUS_OK;
    bool convolution = step->operation->kind == OP_CONVOLUTION;
    enum status status = stage(packer, weight, convolution ? step->operation : NULL, err);
    if (status != STATUS_OK)
        return status;
    if (storage != STORE_UINT8)
        return convert(packer, step->weight, storage, packer->staged, n, k, err);
    cuda_quantise_weights(device->compute, packer->staged, n, k, step->weight, step->scale, step->sums);
    return device_check(device, "quantising weights", err);
}

// The part of the columns that a step computes, of weights that another step packed whole.
static void share_weights(struct step *step, const struct step *whole, enum storage storage, int k)
{
    int first = step->first_column;
    step->weight = (char *)whole->weight + (size_t)first * (size_t)k * storage_size(storage);
    step->bias = whole->bias ? whole->bias + first : NULL;
    step->bias_half = whole->bias_half ? (char *)whole->bias_half + 2 * (size_t)first : NULL;
    step->scale = whole->scale ? whole->scale + first : NULL;
    step->sums = whole->sums ? whole->sums + first : NULL;
}

static enum status pack_product(struct packer *packer, struct step *step, struct error *err)
{
    const struct cuda_plan *plan = packer->plan;
    const struct activation *input = &plan->activations[step->input],
                            *output = &plan->activations[step->output];
    if (step->first_column > 0) {
        if (packer->base)
            share_weights(step, step - 1, input->storage, input->columns);
        return STATUS_OK;
    }
    enum status status = pack_matrix(packer, step, input->storage, err);
    if (status == STATUS_OK && step->operation->bias[0])
        status = pack_vector(packer, step->operation->bias, &step->bias, err);
    if (status != STATUS_OK || !step->operation->bias[0] || output->storage == STORE_FP32)
        return status;
    step->bias_half = take(packer, (size_t)output->columns * 2);
    return packer->base
               ? convert(packer, step->bias_half, output->storage, step->bias, 1, output->columns, err)
               : STATUS_OK;
}

static enum status pack_step(struct packer *packer, struct step *step, struct error *err)
{
    if (step->kind == STEP_PRODUCT)
        return pack_product(packer, step, err);
    if (step->kind != STEP_LAYERNORM && step->kind != STEP_TOKENS)
        return STATUS_OK;
    float *weight = NULL;
    enum status status = pack_vector(packer, step->operation->weight, &weight, err);
    step->weight = weight;
    return status == STATUS_OK ? pack_vector(packer, step->operation->bias, &step->bias, err) : status;
}

static enum status pack_all(struct packer *packer, struct error *err)
{
    enum status status = STATUS_OK;
    struct cuda_plan *plan = packer->plan;
    packer->used = 0;
    for (int i = 0; i < plan->step_count && status == STATUS_OK; i++)
        status = pack_step(packer, &plan->steps[i], err);
    plan->table = take(packer, 3 * 256 * sizeof(float));
    if (status != STATUS_OK || !packer->base)
        return status;
    float table[3 * 256];
    preprocess_table(plan->network->mean, plan->network->std, table);
    return device_upload(&plan->cuda->device, plan->table, table, sizeof table, err);
}

enum status cuda_pack(struct cuda_plan *plan, const struct weights *weights, struct error *err)
{
    struct packer packer = {.plan = plan, .weights = weights};
    struct device *device = &plan->cuda->device;
    enum status status = pack_all(&packer, err);
    plan->weights_size = packer.used;
    void *block = NULL, *staged = NULL;
    if (status == STATUS_OK)
        status = device_alloc(device, &block, plan->weights_size, err);
    plan->weights = packer.base = block;
    if (status == STATUS_OK)
        status = device_alloc(device, &staged, packer.largest * sizeof(float), err);
    packer.staged = staged;
    packer.host = memory_try_alloc(2 * packer.largest * sizeof(float)); // twice: channels_last
    if (status == STATUS_OK && !packer.host)
        status = error_set(err, STATUS_FATAL, "no memory to convert the weights of %s",
                           plan->network->architecture);
    if (status == STATUS_OK)
        status = pack_all(&packer, err);
    if (status == STATUS_OK)
        status = device_finish(device, err);
    free(packer.host);
    device_free(device, staged);
    return status;
}
