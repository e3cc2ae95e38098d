// train_transformer_forward.c: forward of one chunk, the loss, and its gradient down to the last block. See
// train_transformer.h.
#include <math.h>
#include <string.h>

#include "kernels/cpu/fused_attention.h"
#include "kernels/cpu/train_transformer.h"

// Row by row work on a chunk, in units of TRAIN_ROWS rows, all images one after the other.
struct rows_work {
    const struct train_chunk *chunk;
    int block;
    int rows; // of the whole chunk
    const float *x, *y;
    size_t x_stride; // floats
    float *sum, *stats;
    char *out; // NULL: no norm
    const struct train_norm *norm;
    struct dropout dropout;
    int image_rows; // of one image
};

static int units_of(int rows)
{
    return (rows + TRAIN_ROWS - 1) / TRAIN_ROWS;
}

// sum = x + dropout(y), out = norm(sum)
static void sum_unit(void *context, int unit, int thread)
{
    const struct rows_work *work = context;
    const struct train_transformer *training = work->chunk->training;
    int end = (unit + 1) * TRAIN_ROWS < work->rows ? (unit + 1) * TRAIN_ROWS : work->rows;
    size_t width = (size_t)training->shape.width;
    for (int row = unit * TRAIN_ROWS; row < end; row++) {
        size_t r = (size_t)row;
        struct norm_row call = {
            .count = training->shape.width,
            .x = work->x ? work->x + r * work->x_stride : NULL,
            .y = work->y + r * width,
            .factors = train_factors(work->chunk, &work->dropout, row / work->image_rows,
                                     r % (size_t)work->image_rows, training->shape.width, thread),
            .sum = work->sum + r * width,
        };
        if (work->out) {
            call.weight = train_parameter(training, work->norm->weight);
            call.bias = train_parameter(training, work->norm->bias);
            call.epsilon = work->norm->epsilon;
            call.out = work->out + r * width * training->element;
            call.stats = work->stats + 2 * r;
        }
        training->products.train_ops->norm(&call, training->half);
    }
}

// Where a block's input goes, with its norm: the next block's memory, or behind the last x_last.
static void set_target(struct rows_work *work, struct train_transformer *training, int block)
{
    if (block == training->shape.block_count) {
        work->sum = training->x_last;
        return;
    }
    struct train_kept *kept = &training->blocks[block];
    work->sum = kept->x0;
    work->stats = kept->stats1;
    work->out = kept->n1;
    work->norm = &training->shape.blocks[block].norm1;
}

// Rows of pixels of one patch, in the order of the filters' weights; one unit: a row of patches of an image.
static void pixels_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct train_chunk *chunk = context;
    const struct train_transformer *training = chunk->training;
    int patch = training->shape.patch, side = training->shape.side, across = side / patch;
    int image = unit / across, patch_row = unit % across, count = training->shape.patches.k;
    const float *pixels = chunk->batch->images[chunk->first + image];
    float row[TRAIN_MAX_PATCH];
    for (int column = 0; column < across; column++) {
        char *to = training->pixels + (size_t)(image * across * across + patch_row * across + column) *
                                          (size_t)count * training->element;
        for (int y = 0; y < patch; y++) {
            const float *from = pixels + ((size_t)(patch_row * patch + y) * side + column * patch) * 3;
            for (int x = 0; x < patch; x++)
                for (int c = 0; c < 3; c++)
                    row[(c * patch + y) * patch + x] = from[3 * x + c];
        }
        training->products.train_ops->scale(row, NULL, count, to, training->half);
    }
}

// The token's row in front of dropout into dx, which is free yet: patch or class token, and its position.
static void tokens_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct train_chunk *chunk = context;
    const struct train_transformer *training = chunk->training;
    int tokens = training->shape.tokens, width = training->shape.width;
    int image = unit / tokens, token = unit % tokens;
    const float *from = token == 0 ? train_parameter(training, training->shape.cls_token)
                                   : training->y + (size_t)(image * (tokens - 1) + token - 1) * (size_t)width;
    training->products.ops->add(
        from, train_parameter(training, training->shape.pos_embed) + (size_t)token * (size_t)width, width,
        training->dx + (size_t)unit * (size_t)width);
}

static void embed(struct train_chunk *chunk)
{
    struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    int across = shape->side / shape->patch, patches = across * across;
    size_t width = (size_t)shape->width;
    struct train_rows pixels = {training->pixels, (size_t)shape->patches.k * training->element,
                                chunk->images * patches};
    team_run(training->products.team, pixels_unit, chunk, chunk->images * across);
    train_linear_forward(&training->products, &training->patches, &pixels, training->y, width * sizeof(float),
                         GEMM_OUTPUT_FP32);
    team_run(training->products.team, tokens_unit, chunk, chunk->images * shape->tokens);
    struct rows_work work = {.chunk = chunk,
                             .rows = chunk->images * shape->tokens,
                             .y = training->dx,
                             .dropout = train_dropout(training, shape->tokens_dropout, 0),
                             .image_rows = shape->tokens};
    set_target(&work, training, 0);
    team_run(training->products.team, sum_unit, &work, units_of(work.rows));
}

static void gelu_unit(void *context, int unit, int thread)
{
    const struct rows_work *work = context;
    const struct train_transformer *training = work->chunk->training;
    const struct train_kept *kept = &training->blocks[work->block];
    int end = (unit + 1) * TRAIN_ROWS < work->rows ? (unit + 1) * TRAIN_ROWS : work->rows;
    size_t size = (size_t)training->shape.hidden * training->element;
    for (int row = unit * TRAIN_ROWS; row < end; row++)
        training->products.train_ops->gelu(
            &(struct gelu_row){.count = training->shape.hidden,
                               .in = kept->h + (size_t)row * size,
                               .factors = train_factors(work->chunk, &work->dropout, row / work->image_rows,
                                                        (size_t)(row % work->image_rows),
                                                        training->shape.hidden, thread),
                               .out = kept->g + (size_t)row * size},
            training->half);
}

static void attend(struct train_chunk *chunk, int block)
{
    struct train_transformer *training = chunk->training;
    const struct train_shape *shape = &training->shape;
    const struct train_kept *kept = &training->blocks[block];
    size_t row = (size_t)shape->width * training->element;
    int queries = train_tail_rows(training, block);
    attention_run(training->products.team,
                  &(struct attention_call){
                      .kernel = training->kernel,
                      .ops = training->products.ops,
                      .images = chunk->images,
                      .tokens = shape->tokens,
                      .heads = shape->heads,
                      .head_width = shape->width / shape->heads,
                      .queries = queries,
                      .qkv = kept->qkv,
                      .qkv_stride = 3 * row,
                      .qkv_image_stride = 3 * row * (size_t)shape->tokens,
                      .output = kept->attended,
                      .output_stride = row,
                      .output_image_stride = row * (size_t)queries,
                      .output_type = training->half ? GEMM_OUTPUT_BF16 : GEMM_OUTPUT_FP32,
                      .weights = block + 1 == shape->block_count ? training->class_weights : NULL,
                      .scratch = training->attention_scratch,
                  });
}

static struct train_rows rows_of(const struct train_transformer *training, const char *operand, int columns,
                                 int rows)
{
    return (struct train_rows){operand, (size_t)columns * training->element, rows};
}

static void run_block(struct train_chunk *chunk, int block)
{
    struct train_transformer *training = chunk->training;
    const struct train_products *products = &training->products;
    const struct train_shape *shape = &training->shape;
    const struct train_block *parameters = &shape->blocks[block];
    struct train_kept *kept = &training->blocks[block];
    enum gemm_output operand = training->half ? GEMM_OUTPUT_BF16 : GEMM_OUTPUT_FP32;
    int tail = train_tail_rows(training, block), images = chunk->images;
    size_t width = (size_t)shape->width, row = width * sizeof(float);
    struct train_rows n1 = rows_of(training, kept->n1, shape->width, images * shape->tokens);
    struct train_rows attended = rows_of(training, kept->attended, shape->width, images * tail);
    struct train_rows n2 = rows_of(training, kept->n2, shape->width, images * tail);
    struct train_rows g = rows_of(training, kept->g, shape->hidden, images * tail);
    train_linear_forward(products, &kept->layers[0], &n1, kept->qkv, 3 * width * training->element, operand);
    attend(chunk, block);
    train_linear_forward(products, &kept->layers[1], &attended, training->y, row, GEMM_OUTPUT_FP32);
    struct rows_work work = {.chunk = chunk,
                             .block = block,
                             .rows = images * tail,
                             .x = kept->x0,
                             .x_stride = tail == 1 ? width * (size_t)shape->tokens : width,
                             .y = training->y,
                             .sum = kept->x1,
                             .stats = kept->stats2,
                             .out = kept->n2,
                             .norm = &parameters->norm2,
                             .dropout = train_dropout(training, parameters->proj_dropout, block),
                             .image_rows = tail};
    team_run(products->team, sum_unit, &work, units_of(work.rows));
    train_linear_forward(products, &kept->layers[2], &n2, kept->h, (size_t)shape->hidden * training->element,
                         operand);
    work.dropout = train_dropout(training, parameters->gelu_dropout, block);
    team_run(products->team, gelu_unit, &work, units_of(work.rows));
    train_linear_forward(products, &kept->layers[3], &g, training->y, row, GEMM_OUTPUT_FP32);
    work.x = kept->x1;
    work.x_stride = width;
    work.out = NULL;
    work.dropout = train_dropout(training, parameters->fc2_dropout, block);
    set_target(&work, training, block + 1);
    team_run(products->team, sum_unit, &work, units_of(work.rows));
}

void train_transformer_forward(struct train_chunk *chunk)
{
    embed(chunk);
    for (int block = 0; block < chunk->training->shape.block_count; block++)
        run_block(chunk, block);
}

// Minus the entropies of the class token's weights, of all heads of the chunk.
static double negative_entropies(const struct train_chunk *chunk)
{
    const struct train_shape *shape = &chunk->training->shape;
    size_t tokens = (size_t)shape->tokens;
    double sum = 0;
    for (int i = 0; i < chunk->images * shape->heads; i++) {
        const float *weights = chunk->training->class_weights + (size_t)i * tokens * tokens;
        for (size_t j = 0; j < tokens; j++)
            if (!(weights[j] == 0)) // p log p goes to 0; NaN goes on
                sum += weights[j] * log((double)weights[j]);
    }
    return sum;
}

// The last norm, dropout and head of one image, and back. In double: it is little, and the loss hangs on it.
struct head_work {
    const float *x, *weight, *norm_weight, *norm_bias;
    const float *factors; // NULL: no dropout
    double mean, inverse;
    double *logits, *slopes, *z, *features, *feature_slopes;
};

static void head_forward(const struct train_transformer *training, struct head_work *work)
{
    const struct train_shape *shape = &training->shape;
    const float *bias = train_parameter(training, shape->head.bias);
    int width = shape->width;
    double variance = 0;
    work->mean = 0;
    for (int i = 0; i < width; i++)
        work->mean += work->x[i];
    work->mean /= width;
    for (int i = 0; i < width; i++)
        variance += (work->x[i] - work->mean) * (work->x[i] - work->mean);
    work->inverse = 1 / sqrt(variance / width + shape->norm.epsilon);
    for (int i = 0; i < width; i++) {
        work->z[i] = (work->x[i] - work->mean) * work->inverse;
        work->features[i] =
            (work->z[i] * work->norm_weight[i] + work->norm_bias[i]) * (work->factors ? work->factors[i] : 1);
    }
    for (int n = 0; n < shape->classes; n++) {
        work->logits[n] = bias[n];
        for (int i = 0; i < width; i++)
            work->logits[n] += work->features[i] * work->weight[(size_t)n * width + i];
    }
}

// Adds to the parameters' gradients; dx is stored.
static void head_backward(const struct train_transformer *training, struct head_work *work, float *dx)
{
    const struct train_shape *shape = &training->shape;
    float *weight_gradient = train_gradient(training, shape->head.weight);
    float *bias_gradient = train_gradient(training, shape->head.bias);
    float *norm_weight_gradient = train_gradient(training, shape->norm.weight);
    float *norm_bias_gradient = train_gradient(training, shape->norm.bias);
    int width = shape->width;
    double g_mean = 0, gz_mean = 0, *slopes = work->feature_slopes;
    memset(slopes, 0, (size_t)width * sizeof *slopes);
    for (int n = 0; n < shape->classes; n++) {
        bias_gradient[n] += (float)work->slopes[n];
        for (int i = 0; i < width; i++) {
            weight_gradient[(size_t)n * width + i] += (float)(work->slopes[n] * work->features[i]);
            slopes[i] += work->slopes[n] * work->weight[(size_t)n * width + i];
        }
    }
    for (int i = 0; i < width; i++) {
        slopes[i] *= work->factors ? work->factors[i] : 1;
        norm_weight_gradient[i] += (float)(slopes[i] * work->z[i]);
        norm_bias_gradient[i] += (float)slopes[i];
        slopes[i] *= work->norm_weight[i];
        g_mean += slopes[i] / width;
        gz_mean += slopes[i] * work->z[i] / width;
    }
    for (int i = 0; i < width; i++)
        dx[i] = (float)((slopes[i] - g_mean - work->z[i] * gz_mean) * work->inverse);
}

void train_transformer_loss(struct train_chunk *chunk)
{
    struct train_transformer *training = chunk->training;
    const struct training_options *options = &training->cpu.training.options;
    const struct train_shape *shape = &training->shape;
    struct dropout dropout = train_dropout(training, shape->head_dropout, shape->block_count);
    size_t width = (size_t)shape->width;
    double *rows = training->head + 2 * shape->classes;
    struct head_work work = {
        .weight = train_parameter(training, shape->head.weight),
        .norm_weight = train_parameter(training, shape->norm.weight),
        .norm_bias = train_parameter(training, shape->norm.bias),
        .logits = training->head,
        .slopes = training->head + shape->classes,
        .z = rows,
        .features = rows + width,
        .feature_slopes = rows + 2 * width,
    };
    for (int image = 0; image < chunk->images; image++) {
        int number = chunk->first + image;
        const float *teacher = chunk->batch->teacher;
        work.x = training->x_last + (size_t)image * width;
        work.factors = train_factors(chunk, &dropout, image, 0, shape->width, 0);
        head_forward(training, &work);
        chunk->classification += loss_classification(
            options, chunk->scale, shape->classes, work.logits, chunk->batch->labels[number],
            teacher ? teacher + (size_t)number * (size_t)shape->classes : NULL, work.slopes);
        head_backward(training, &work, training->dx + (size_t)image * width);
    }
    chunk->diversity = negative_entropies(chunk) / (chunk->scale->images * shape->heads);
}
