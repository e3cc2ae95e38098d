// pack.c: one block of device memory for a plan's weights, in the type that each step multiplies. A tensor
// goes up as float, once, and is converted there; its mapped pages are given back at once.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cuda/plan.h"
#include "kernels/image/preprocess.h"
#include "kernels/model/parameters.h"

// Takes pieces of the block; while `base` is NULL it only adds up how much is needed, and finds the largest
// tensor.
struct packer {
    struct cuda_plan *plan;
    const struct weights *weights;
    char *base;
    size_t used, largest;
    float *host, *staged; // one tensor as float, here (twice: it is reordered) and on the device
};

static void *take(struct packer *packer, size_t size)
{
    size_t at = packer->used;
    packer->used += memory_round_up(size, 256);
    return packer->base ? packer->base + at : NULL;
}

// Takes a piece for floats, which host will hold; false while only adding up.
static bool take_floats(struct packer *packer, float **to, size_t count)
{
    *to = take(packer, count * sizeof **to);
    packer->largest = count > packer->largest ? count : packer->largest;
    return packer->base != NULL;
}

static enum status upload(struct packer *packer, float *to, const float *from, size_t count,
                          struct error *err)
{
    return device_upload(&packer->plan->cuda->device, to, from, count * sizeof *to, err);
}

static enum status pack_bias(struct packer *packer, struct step *step, struct error *err)
{
    const struct network *network = packer->plan->network;
    size_t count = parameters_bias_count(network, step->operation);
    if (count == 0 || !take_floats(packer, &step->bias, count))
        return STATUS_OK;
    parameters_read(network, step->operation, packer->weights, NULL, packer->host);
    return upload(packer, step->bias, packer->host, count, err);
}

// Weight and bias as they are.
static enum status pack_vectors(struct packer *packer, struct step *step, struct error *err)
{
    const struct network *network = packer->plan->network;
    size_t count = parameters_weight_count(network, step->operation);
    float *weight;
    enum status status = STATUS_OK;
    if (take_floats(packer, &weight, count)) {
        parameters_read(network, step->operation, packer->weights, packer->host, NULL);
        status = upload(packer, weight, packer->host, count, err);
    }
    step->weight = weight;
    return status == STATUS_OK ? pack_bias(packer, step, err) : status;
}

// (channels, 1, height, width) -> (height, width, channels)
static enum status pack_depthwise(struct packer *packer, struct step *step, struct error *err)
{
    const struct network *network = packer->plan->network;
    size_t count = parameters_weight_count(network, step->operation);
    size_t channels = (size_t)network->tensors[step->operation->output].columns, area = count / channels;
    float *weight;
    enum status status = STATUS_OK;
    if (take_floats(packer, &weight, count)) {
        float *turned = packer->host + packer->largest;
        parameters_read(network, step->operation, packer->weights, packer->host, NULL);
        for (size_t i = 0; i < count; i++)
            turned[i % area * channels + i / area] = packer->host[i];
        status = upload(packer, weight, turned, count, err);
    }
    step->weight = weight;
    return status == STATUS_OK ? pack_bias(packer, step, err) : status;
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

// (n, channels, height, width) -> (n, height, width, channels), the order of a window, and zeros up to k
// values.
static void channels_last(const struct operation *convolution, const float *from, size_t n, size_t filter,
                          float *to, size_t k)
{
    size_t area = (size_t)convolution->kernel_height * (size_t)convolution->kernel_width;
    size_t channels = filter / area;
    memset(to, 0, n * k * sizeof *to);
    for (size_t i = 0; i < n * filter; i++) {
        size_t place = i % area, channel = i / area % channels;
        to[i / filter * k + place * channels + channel] = from[i];
    }
}

// The weight as float in staged, rows of k values.
static enum status stage(struct packer *packer, const struct operation *operation, size_t n, size_t k,
                         struct error *err)
{
    const struct network *network = packer->plan->network;
    float *values = packer->host;
    parameters_read(network, operation, packer->weights, values, NULL);
    if (operation->kind == OP_CONVOLUTION) {
        values += packer->largest;
        channels_last(operation, packer->host, n, parameters_weight_count(network, operation) / n, values, k);
    }
    return upload(packer, packer->staged, values, n * k, err);
}

static enum status pack_matrix(struct packer *packer, struct step *step, enum storage storage,
                               struct error *err)
{
    const struct cuda_plan *plan = packer->plan;
    struct device *device = &packer->plan->cuda->device;
    size_t n = (size_t)plan->network->tensors[step->operation->output].columns;
    size_t k = (size_t)plan->activations[step->input].columns;
    if (step->windowed)
        k *= (size_t)step->operation->kernel_height * (size_t)step->operation->kernel_width;
    step->weight = take(packer, n * k * storage_size(storage));
    if (storage == STORE_UINT8) {
        step->scale = take(packer, n * sizeof *step->scale);
        step->sums = take(packer, n * sizeof *step->sums);
    }
    packer->largest = n * k > packer->largest ? n * k : packer->largest;
    if (!packer->base)
        return STATUS_OK;
    enum status status = stage(packer, step->operation, n, k, err);
    if (status != STATUS_OK)
        return status;
    if (storage != STORE_UINT8)
        return convert(packer, step->weight, storage, packer->staged, (int)n, (int)k, err);
    cuda_quantise_weights(device->compute, packer->staged, (int)n, (int)k, step->weight, step->scale,
                          step->sums);
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
    if (status == STATUS_OK)
        status = pack_bias(packer, step, err);
    if (status != STATUS_OK || output->storage == STORE_FP32 ||
        parameters_bias_count(plan->network, step->operation) == 0)
        return status;
    step->bias_half = take(packer, (size_t)output->columns * 2);
    return packer->base
               ? convert(packer, step->bias_half, output->storage, step->bias, 1, output->columns, err)
               : STATUS_OK;
}

static enum status pack_step(struct packer *packer, struct step *step, struct error *err)
{
    enum status status = STATUS_OK;
    if (step->kind == STEP_PRODUCT)
        status = pack_product(packer, step, err);
    else if (step->kind == STEP_DEPTHWISE)
        status = pack_depthwise(packer, step, err);
    else if (step->kind == STEP_LAYERNORM || step->kind == STEP_TOKENS)
        status = pack_vectors(packer, step, err);
    else if (step->kind == STEP_CLASS_MAP)
        step->weight = (step - 1)->weight; // the head's, which is float
    if (packer->base && step->operation && status == STATUS_OK)
        parameters_discard_pages(packer->plan->network, step->operation, packer->weights);
    return status;
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
    packer.host = memory_try_alloc(2 * packer.largest * sizeof(float));
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
