// train_transformer_backward.c: backward of one chunk, block by block. dx is the gradient by the residual
// stream; each branch's gradient is added to it by the LayerNorm in front of the branch. See
// train_transformer.h.
#include <string.h>

#include "kernels/cpu/attention_gradient.h"
#include "kernels/cpu/train_transformer.h"

struct rows_work {
    const struct train_chunk *chunk;
    int block;
    int rows, image_rows;
    const struct train_norm *norm;
    const float *x, *stats;
    float *dx;
    char *out; // NULL: nobody wants dx as an operand
    struct dropout dropout;
};

static int units_of(int rows)
{
    return (rows + TRAIN_ROWS - 1) / TRAIN_ROWS;
}

static int end_of(const struct rows_work *work, int unit)
{
    return (unit + 1) * TRAIN_ROWS < work->rows ? (unit + 1) * TRAIN_ROWS : work->rows;
}

static const float *factors_of(const struct rows_work *work, int row, int count, int thread)
{
    return train_factors(work->chunk, &work->dropout, row / work->image_rows,
                         (size_t)(row % work->image_rows), count, thread);
}

// dx += the norm's gradient from dn, out = dropout(dx); the parameters' sums of this unit.
static void norm_unit(void *context, int unit, int thread)
{
    const struct rows_work *work = context;
    const struct train_transformer *training = work->chunk->training;
    size_t width = (size_t)training->shape.width;
    float *sums = training->norm_sums + (size_t)unit * 2 * width;
    memset(sums, 0, 2 * width * sizeof *sums);
    for (int row = unit * TRAIN_ROWS; row < end_of(work, unit); row++) {
        size_t r = (size_t)row;
        training->products.train_ops->norm_gradient(
            &(struct norm_row_gradient){
                .count = training->shape.width,
                .x = work->x + r * width,
                .stats = work->stats + 2 * r,
                .weight = train_parameter(training, work->norm->weight),
                .dy = training->dn + r * width,
                .dx = work->dx + r * width,
                .weight_sums = sums,
                .bias_sums = sums + width,
                .factors = work->out ? factors_of(work, row, training->shape.width, thread) : NULL,
                .out = work->out ? work->out + r * width * training->element : NULL,
            },
            training->half);
    }
}

static void norm_backward(const struct rows_work *work)
{
    const struct train_transformer *training = work->chunk->training;
    size_t width = (size_t)training->shape.width;
    float *weight = train_gradient(training, work->norm->weight);
    float *bias = train_gradient(training, work->norm->bias);
    team_run(training->products.team, norm_unit, (void *)work, units_of(work->rows));
    for (int unit = 0; unit < units_of(work->rows); unit++) {
        const float *sums = training->norm_sums + (size_t)unit * 2 * width;
        training->products.ops->add(weight, sums, (int)width, weight);
        training->products.ops->add(bias, sums + width, (int)width, bias);
    }
}

// out = dropout(dx)
static void scale_unit(void *context, int unit, int thread)
{
    const struct rows_work *work = context;
    const struct train_transformer *training = work->chunk->training;
    size_t width = (size_t)training->shape.width;
    for (int row = unit * TRAIN_ROWS; row < end_of(work, unit); row++)
        training->products.train_ops->scale(
            work->dx + (size_t)row * width, factors_of(work, row, (int)width, thread), (int)width,
            work->out + (size_t)row * width * training->element, training->half);
}

static void gelu_unit(void *context, int unit, int thread)
{
    const struct rows_work *work = context;
    const struct train_transformer *training = work->chunk->training;
    size_t size = (size_t)training->shape.hidden * training->element;
    for (int row = unit * TRAIN_ROWS; row < end_of(work, unit); row++)
        training->products.train_ops->gelu_gradient(
            &(struct gelu_row){
                .count = training->shape.hidden,
                .in = training->blocks[work->block].h + (size_t)row * size,
                .dy = training->dgelu + (size_t)row * size,
                .factors = factors_of(work, row, training->shape.hidden, thread),
                .out = training->dhidden + (size_t)row * size,
            },
            training->half);
}

static struct train_rows rows_of(const struct train_transformer *training, const char *operand, int columns,
                                 int rows)
{
    return (struct train_rows){operand, (size_t)columns * training->element, rows};
}

// Both gradients of a layer: to its parameters from dy and x, and dy W to `to`.
static void layer_backward(const struct train_transformer *training, const struct train_linear *linear,
                           const char *dy, const char *x, int rows, void *to, enum gemm_output output)
{
    struct train_rows dy_rows = rows_of(training, dy, linear->n, rows);
    struct train_rows x_rows = rows_of(training, x, linear->k, rows);
    size_t size = output == GEMM_OUTPUT_BF16 ? sizeof(uint16_t) : sizeof(float);
    train_linear_weight_gradient(&training->products, linear, &dy_rows, &x_rows);
    train_linear_input_gradient(&training->products, linear, &dy_rows, to, (size_t)linear->k * size, output);
}

static void attention_backward(struct train_chunk *chunk, int block)
{
    struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    bool last = block + 1 == shape->block_count;
    attention_gradient_run(
        training->products.team,
        &(struct attention_gradient_call){
            .kernel = training->kernel,
            .ops = training->products.ops,
            .train_ops = training->products.train_ops,
            .images = chunk->images,
            .tokens = shape->tokens,
            .heads = shape->heads,
            .head_width = shape->width / shape->heads,
            .queries = train_tail_rows(training, block),
            .qkv = training->blocks[block].qkv,
            .dy = training->dhidden,
            .dqkv = training->dqkv,
            .diversity =
                last ? training->cpu.training.options.diversity / (chunk->scale->images * shape->heads) : 0,
            .scratch = training->attention_scratch,
        });
}

// dx, which has one row for each image, becomes the gradient by all tokens: nothing yet for the others.
static void spread_class_token(const struct train_chunk *chunk)
{
    const struct train_transformer *training = chunk->training;
    size_t width = (size_t)training->shape.width, image_size = width * (size_t)training->shape.tokens;
    for (int image = chunk->images - 1; image > 0; image--)
        memmove(training->dx + (size_t)image * image_size, training->dx + (size_t)image * width,
                width * sizeof(float));
    for (int image = 0; image < chunk->images; image++)
        memset(training->dx + (size_t)image * image_size + width, 0, (image_size - width) * sizeof(float));
}

static void block_backward(struct train_chunk *chunk, int block)
{
    struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    const struct train_block *parameters = &shape->blocks[block];
    const struct train_kept *kept = &training->blocks[block];
    enum gemm_output operand = training->half ? GEMM_OUTPUT_BF16 : GEMM_OUTPUT_FP32;
    int tail = train_tail_rows(training, block), images = chunk->images;
    struct rows_work work = {.chunk = chunk,
                             .block = block,
                             .rows = images * tail,
                             .image_rows = tail,
                             .dx = training->dx,
                             .out = training->dy};
    if (block + 1 == shape->block_count) { // the others' came from the norm behind them
        work.dropout = train_dropout(training, parameters->fc2_dropout, block);
        team_run(training->products.team, scale_unit, &work, units_of(work.rows));
    }
    layer_backward(training, &kept->layers[3], training->dy, kept->g, images * tail, training->dgelu,
                   operand);
    work.dropout = train_dropout(training, parameters->gelu_dropout, block);
    team_run(training->products.team, gelu_unit, &work, units_of(work.rows));
    layer_backward(training, &kept->layers[2], training->dhidden, kept->n2, images * tail, training->dn,
                   GEMM_OUTPUT_FP32);
    work.norm = &parameters->norm2;
    work.x = kept->x1;
    work.stats = kept->stats2;
    work.dropout = train_dropout(training, parameters->proj_dropout, block);
    norm_backward(&work);
    // The hidden layer's gradient is done with, so its memory takes the one by what was attended to.
    layer_backward(training, &kept->layers[1], training->dy, kept->attended, images * tail, training->dhidden,
                   operand);
    attention_backward(chunk, block);
    layer_backward(training, &kept->layers[0], training->dqkv, kept->n1, images * shape->tokens, training->dn,
                   GEMM_OUTPUT_FP32);
    if (tail == 1)
        spread_class_token(chunk);
    work.rows = images * shape->tokens;
    work.image_rows = shape->tokens;
    work.norm = &parameters->norm1;
    work.x = kept->x0;
    work.stats = kept->stats1;
    if (block > training->frozen)
        work.dropout = train_dropout(training, shape->blocks[block - 1].fc2_dropout, block - 1);
    else
        work.out = NULL;
    norm_backward(&work);
}

// One token of all images: its position's gradient, and the class token's or the patches'.
static void tokens_unit(void *context, int token, int thread)
{
    const struct train_chunk *chunk = context;
    const struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    const struct vector_ops *ops = training->products.ops;
    struct dropout dropout = train_dropout(training, shape->tokens_dropout, 0);
    size_t width = (size_t)shape->width, tokens = (size_t)shape->tokens, t = (size_t)token;
    float *positions = train_gradient(training, shape->pos_embed) + t * width;
    for (int image = 0; image < chunk->images; image++) {
        float *dx = training->dx + ((size_t)image * tokens + t) * width;
        const float *factors = train_factors(chunk, &dropout, image, t, shape->width, thread);
        if (factors)
            training->products.train_ops->scale(dx, factors, shape->width, dx, false);
        ops->add(positions, dx, shape->width, positions);
        if (token == 0)
            ops->add(train_gradient(training, shape->cls_token), dx, shape->width,
                     train_gradient(training, shape->cls_token));
        else
            training->products.train_ops->scale(dx, NULL, shape->width,
                                                training->dy + ((size_t)image * (tokens - 1) + t - 1) *
                                                                   width * training->element,
                                                training->half);
    }
}

static void embed_backward(struct train_chunk *chunk)
{
    struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    int patches = shape->tokens - 1;
    team_run(training->products.team, tokens_unit, chunk, shape->tokens);
    struct train_rows dy = rows_of(training, training->dy, shape->width, chunk->images * patches);
    struct train_rows pixels = rows_of(training, training->pixels, shape->patches.k, chunk->images * patches);
    train_linear_weight_gradient(&training->products, &training->patches, &dy, &pixels);
}

void train_transformer_backward(struct train_chunk *chunk)
{
    const struct train_transformer *training = chunk->training;
    for (int block = training->shape.block_count - 1; block >= training->frozen; block--)
        block_backward(chunk, block);
    if (training->frozen == 0)
        embed_backward(chunk);
}
