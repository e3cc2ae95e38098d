// train_transformer.c: prepares the fast executor of transformers and works off a batch chunk by chunk. See
// train_transformer.h.
#include "kernels/cpu/train_transformer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/cpu/attention_gradient.h"
#include "kernels/cpu/denormals.h"
#include "kernels/cpu/fused_attention.h"
#include "kernels/cpu/pages.h"
#include "kernels/memory_plan.h"

enum { ALIGNMENT = 64 };

// Hands out pieces of one block of memory; with base NULL it only measures.
struct layout {
    char *base;
    size_t at;
};

static void *take(struct layout *layout, size_t size)
{
    size_t begin = layout->at;
    layout->at += memory_round_up(size, ALIGNMENT) + ALIGNMENT; // vectors may read past an end
    return layout->base ? layout->base + begin : NULL;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct train_linear linear_of(const struct train_transformer *training,
                                     const struct train_layer *layer, bool trained)
{
    return (struct train_linear){
        .n = layer->n,
        .k = layer->k,
        .weight = train_parameter(training, layer->weight),
        .bias = train_parameter(training, layer->bias),
        .weight_gradient = trained ? train_gradient(training, layer->weight) : NULL,
        .bias_gradient = trained ? train_gradient(training, layer->bias) : NULL,
    };
}

static void lay_out_panels(struct train_transformer *training, struct layout *layout,
                           struct train_linear *linear, bool backward)
{
    const struct gemm_kernel *kernel = training->kernel;
    linear->forward.data = take(layout, train_panels_size(kernel, linear->n, linear->k));
    linear->backward.data = backward ? take(layout, train_panels_size(kernel, linear->k, linear->n)) : NULL;
}

static void lay_out_kept(const struct train_transformer *training, struct layout *layout, int block,
                         struct train_kept *kept)
{
    const struct train_shape *shape = &training->shape;
    size_t images = (size_t)training->chunk, element = training->element, width = (size_t)shape->width;
    size_t rows = images * (size_t)shape->tokens, tail = images * (size_t)train_tail_rows(training, block);
    if (block < training->frozen && block > 0) { // shared, but the last one's tail is not larger
        struct train_linear layers[4];
        memcpy(layers, kept->layers, sizeof layers);
        *kept = training->blocks[0];
        memcpy(kept->layers, layers, sizeof layers);
        return;
    }
    tail = block < training->frozen ? rows : tail;
    kept->x0 = take(layout, rows * width * sizeof(float));
    kept->x1 = take(layout, tail * width * sizeof(float));
    kept->stats1 = take(layout, rows * 2 * sizeof(float));
    kept->stats2 = take(layout, tail * 2 * sizeof(float));
    kept->n1 = take(layout, rows * width * element);
    kept->qkv = take(layout, rows * 3 * width * element);
    kept->attended = take(layout, tail * width * element);
    kept->n2 = take(layout, tail * width * element);
    kept->h = take(layout, tail * (size_t)shape->hidden * element);
    kept->g = take(layout, tail * (size_t)shape->hidden * element);
}

static void lay_out_workspace(struct train_transformer *training, struct layout *layout)
{
    const struct train_shape *shape = &training->shape;
    const struct gemm_kernel *kernel = training->kernel;
    size_t images = (size_t)training->chunk, element = training->element, width = (size_t)shape->width;
    size_t rows = images * (size_t)shape->tokens, hidden = (size_t)shape->hidden;
    size_t threads = (size_t)team_threads(training->cpu.device->team);
    int widest = (int)max_size(max_size(hidden, 3 * width), (size_t)shape->patches.k);
    int head_width = shape->width / shape->heads;
    training->pixels = take(layout, rows * (size_t)shape->patches.k * element);
    training->y = take(layout, rows * width * sizeof(float));
    training->x_last = take(layout, images * width * sizeof(float));
    training->class_weights = take(layout, images * (size_t)shape->heads * (size_t)shape->tokens *
                                               (size_t)shape->tokens * sizeof(float));
    training->dx = take(layout, rows * width * sizeof(float));
    training->dn = take(layout, rows * width * sizeof(float));
    training->dy = take(layout, rows * width * element);
    training->dhidden = take(layout, rows * hidden * element);
    training->dgelu = take(layout, rows * hidden * element);
    training->dqkv = take(layout, rows * 3 * width * element);
    training->norm_sums = take(layout, (rows / TRAIN_ROWS + 1) * 2 * width * sizeof(float));
    training->factors = take(layout, threads * (size_t)widest * sizeof(float));
    size_t scratch = attention_gradient_scratch(kernel, shape->tokens, head_width);
    scratch = max_size(scratch, attention_scratch_size(kernel, shape->tokens, head_width));
    training->attention_scratch = take(layout, threads * scratch);
    training->head = take(layout, (2 * (size_t)shape->classes + 4 * width) * sizeof(double));
    training->products.zeros = take(layout, ((size_t)widest + 2 * GEMM_MAX_PANEL_COLUMNS) * sizeof(float));
    training->products.transposed = take(layout, train_transposed_size(kernel, widest, (int)rows));
    training->products.panels = take(layout, train_panels_size(kernel, widest, (int)rows));
}

static size_t lay_out(struct train_transformer *training, char *base)
{
    struct layout layout = {.base = base};
    const struct train_shape *shape = &training->shape;
    training->patches = linear_of(training, &shape->patches, training->frozen == 0);
    lay_out_panels(training, &layout, &training->patches, false);
    for (int i = 0; i < shape->block_count; i++) {
        const struct train_layer *layers[4] = {&shape->blocks[i].qkv, &shape->blocks[i].proj,
                                               &shape->blocks[i].fc1, &shape->blocks[i].fc2};
        bool trained = i >= training->frozen;
        for (int j = 0; j < 4; j++) {
            training->blocks[i].layers[j] = linear_of(training, layers[j], trained);
            lay_out_panels(training, &layout, &training->blocks[i].layers[j], trained);
        }
        lay_out_kept(training, &layout, i, &training->blocks[i]);
    }
    lay_out_workspace(training, &layout);
    return layout.at;
}

void train_transformer_pack(struct train_transformer *training)
{
    const struct train_products *products = &training->products;
    train_linear_pack(products, &training->patches, (char *)training->patches.forward.data, NULL);
    for (int i = 0; i < training->shape.block_count; i++)
        for (int j = 0; j < 4; j++) {
            struct train_linear *linear = &training->blocks[i].layers[j];
            train_linear_pack(products, linear, (char *)linear->forward.data, (char *)linear->backward.data);
        }
}

struct dropout train_dropout(const struct train_transformer *training, int operation, int block)
{
    const struct training_options *options = &training->cpu.training.options;
    bool none = operation < 0 || block < training->frozen;
    return dropout_of(options->seed, none ? 0 : operation, none ? 0 : options->dropout);
}

const float *train_factors(const struct train_chunk *chunk, const struct dropout *dropout, int image,
                           size_t row, int count, int thread)
{
    const struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    if (dropout->threshold == 0)
        return NULL;
    int widest = shape->hidden > 3 * shape->width ? shape->hidden : 3 * shape->width;
    float *factors = training->factors + (size_t)thread * (size_t)widest;
    training->products.train_ops->dropout(dropout, chunk->batch->counters[chunk->first + image],
                                          (uint32_t)(row * (size_t)count), count, factors);
    return factors;
}

static enum status gradients(struct training *base, const struct training_batch *batch,
                             struct training_result *result, struct error *err)
{
    struct train_transformer *training = (struct train_transformer *)base;
    struct loss_scale scale;
    double classification = 0, diversity = 0;
    enum status status = loss_scale_of(&base->options, batch, &scale, err);
    if (status != STATUS_OK)
        return status;
    memset(training->cpu.blocks[TRAINING_GRADIENTS], 0, base->size * sizeof(float));
    train_transformer_pack(training);
    for (int first = 0; first < batch->count; first += training->chunk) {
        struct train_chunk chunk = {.training = training, .batch = batch, .scale = &scale, .first = first};
        chunk.images = batch->count - first < training->chunk ? batch->count - first : training->chunk;
        train_transformer_forward(&chunk);
        unsigned before = denormals_to_zero();
        train_transformer_loss(&chunk);
        denormals_restore(before);
        train_transformer_backward(&chunk);
        classification += chunk.classification;
        diversity += chunk.diversity;
    }
    return loss_result(&base->options, classification, diversity, result, err);
}

static void free_training(struct training *base)
{
    struct train_transformer *training = (struct train_transformer *)base;
    pages_free(training->memory, training->memory_size);
    train_blocks_release(&training->cpu);
    free(training);
}

static const struct training_ops ops = {
    .gradients = gradients,
    .exchange = train_blocks_exchange,
    .norm = train_blocks_norm,
    .update = train_blocks_update,
    .save = train_blocks_save,
    .load = train_blocks_load,
    .free = free_training,
};

static enum status choose_kernels(struct train_transformer *training, struct error *err)
{
    const struct cpu_device *device = training->cpu.device;
    enum precision precision = training->cpu.training.options.precision;
    training->half = precision == PRECISION_BF16;
    training->element = training->half ? sizeof(uint16_t) : sizeof(float);
    training->kernel = device->kernels.gemm[precision];
    if (!training->kernel)
        return error_set(err, STATUS_REJECTED,
                         "this processor (%s) can't train in %s, which needs AVX512_BF16; use fp32",
                         device->backend.device, precision_names[precision]);
    struct cpu_features features = cpu_features_get();
    training->products = (struct train_products){
        .team = device->team,
        .kernel = training->kernel,
        .ops = device->kernels.ops,
        .train_ops = features.avx512bf16 ? &train_ops_avx512bf16
                     : features.avx512   ? &train_ops_avx512
                                         : &train_ops_avx2,
        .half = training->half,
    };
    return STATUS_OK;
}

// Rows have to begin at a multiple of dropout's and bf16's groups.
static bool fits(const struct train_shape *shape)
{
    return shape->width % DROPOUT_GROUP == 0 && shape->hidden % DROPOUT_GROUP == 0 &&
           shape->width / shape->heads % 2 == 0 && shape->patches.k <= TRAIN_MAX_PATCH;
}

static enum status prepare(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct training_options *options,
                           struct training **result, struct error *err)
{
    struct train_transformer *training = memory_alloc(sizeof *training);
    struct training *base = &training->cpu.training;
    enum status status = STATUS_OK;
    if (!train_transformer_parse(network, &training->shape) || !fits(&training->shape))
        goto done;
    base->ops = &ops;
    strcpy(base->executor, "transformer");
    status = train_blocks_init(&training->cpu, device, network, weights, options, err);
    if (status == STATUS_OK)
        status = choose_kernels(training, err);
    if (status != STATUS_OK)
        goto done;
    training->frozen = options->freeze_blocks;
    training->chunk = options->max_batch < TRAIN_CHUNK ? options->max_batch : TRAIN_CHUNK;
    training->memory_size = lay_out(training, NULL);
    training->memory = pages_new(training->memory_size);
    if (training->memory) {
        lay_out(training, training->memory);
        base->memory_size += training->memory_size;
        *result = base;
    } else {
        status =
            error_set(err, STATUS_FATAL, "no memory for %zu MiB of activations", training->memory_size >> 20);
    }
done:
    if (!*result)
        free_training(base);
    return status;
}

const struct train_executor train_transformer_executor = {.needs_team = true, .prepare = prepare};
