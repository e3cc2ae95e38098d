// train_convnet_norm.c: batch normalisation with the activation it takes along. Statistics and sums are made
// by blocks of rows in float, and over the blocks of each half of the batch in their order in double. No
// block has rows of two images: two processes make the same sums as one. See train_convnet.h.
#include <math.h>

#include "kernels/cpu/train_convnet.h"

static const double momentum = 0.1; // of the running statistics, PyTorch's

struct norm_work {
    const struct train_convnet *training;
    struct norm_rows rows; // all of them
    int image, block;      // rows of one
};

static int blocks_of_image(const struct norm_work *work)
{
    return (work->image + work->block - 1) / work->block;
}

static struct norm_rows block_of(const struct norm_work *work, int unit)
{
    struct norm_rows block = work->rows;
    int in_image = unit % blocks_of_image(work) * work->block, left = work->image - in_image;
    int first = unit / blocks_of_image(work) * work->image + in_image;
    size_t at = (size_t)first * (size_t)block.columns;
    block.rows = left < work->block ? left : work->block;
    block.x += at;
    if (block.y)
        block.y += at;
    if (block.dy)
        block.dy += at;
    if (block.dx)
        block.dx += at;
    return block;
}

static int blocks_of(const struct norm_work *work)
{
    return work->rows.rows / work->image * blocks_of_image(work);
}

// Blocks of the half of the batch that another process would have.
static int middle_of(const struct norm_work *work)
{
    int images = work->rows.rows / work->image;
    return exchange_middle(work->training->cpu.training.options.exchange, images) * blocks_of_image(work);
}

static float *partials_of(const struct norm_work *work, int unit)
{
    return work->training->partials + (size_t)unit * 2 * (size_t)work->rows.columns;
}

static void moments_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct norm_work *work = context;
    struct norm_rows block = block_of(work, unit);
    float *partials = partials_of(work, unit);
    work->training->ops->moments(block.x, block.rows, block.columns, partials, partials + block.columns);
}

static void norm_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct norm_work *work = context;
    struct norm_rows block = block_of(work, unit);
    work->training->ops->norm(&block);
}

static void sums_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct norm_work *work = context;
    struct norm_rows block = block_of(work, unit);
    float *partials = partials_of(work, unit);
    work->training->ops->norm_sums(&block, partials, partials + block.columns);
}

static void gradient_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct norm_work *work = context;
    struct norm_rows block = block_of(work, unit);
    work->training->ops->norm_gradient(&block);
}

// Means and sums of squares about them, over the batch of all processes: blocks have their own means, whose
// distances from the common one are added (Chan, Golub and LeVeque 1983).
static enum status find_moments(const struct norm_work *work, double *means, double *squares, double *rows,
                                struct error *err)
{
    struct exchange *exchange = work->training->cpu.training.options.exchange;
    int width = work->rows.columns, blocks = blocks_of(work), middle = middle_of(work);
    for (int i = 0; i < width; i++) {
        double halves[2] = {0, 0};
        for (int block = 0; block < blocks; block++)
            halves[block >= middle] += (double)partials_of(work, block)[i] * block_of(work, block).rows;
        means[i] = halves[0] + halves[1];
    }
    *rows = work->rows.rows;
    enum status status = exchange_sum_doubles(exchange, means, (size_t)width, err);
    if (status == STATUS_OK)
        status = exchange_sum_doubles(exchange, rows, 1, err);
    for (int i = 0; i < width; i++) {
        double halves[2] = {0, 0};
        means[i] /= *rows;
        for (int block = 0; block < blocks; block++) {
            const float *partials = partials_of(work, block);
            double away = partials[i] - means[i];
            halves[block >= middle] += partials[width + i] + block_of(work, block).rows * away * away;
        }
        squares[i] = halves[0] + halves[1];
    }
    if (status == STATUS_OK)
        status = exchange_sum_doubles(exchange, squares, (size_t)width, err);
    return status;
}

// The batch's mean and variance, which also move the running ones.
static enum status take_statistics(const struct norm_work *work, const struct operation *operation,
                                   float *means, float *inverse, struct error *err)
{
    const struct train_convnet *training = work->training;
    int width = work->rows.columns;
    double *totals = training->totals, *squares = totals + width, rows;
    float *running_mean = convnet_parameter(training, operation->batchnorm + 2);
    float *running_variance = convnet_parameter(training, operation->batchnorm + 3);
    train_run(training->cpu.device, moments_unit, (void *)work, blocks_of(work));
    enum status status = find_moments(work, totals, squares, &rows, err);
    if (status != STATUS_OK)
        return status;
    double unbiased = rows > 1 ? rows / (rows - 1) : 1;
    for (int i = 0; i < width; i++) {
        double variance = squares[i] / rows;
        means[i] = (float)totals[i];
        inverse[i] = (float)(1 / sqrt(variance + operation->epsilon));
        running_mean[i] = (float)((1 - momentum) * running_mean[i] + momentum * totals[i]);
        running_variance[i] = (float)((1 - momentum) * running_variance[i] + momentum * unbiased * variance);
    }
    return STATUS_OK;
}

static struct norm_work work_of(const struct convnet_batch *batch, int index)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct tensor shape = convnet_shape(training, operation->input);
    int fused = training->fused[index];
    return (struct norm_work){
        .training = training,
        .image = shape.rows,
        .block = convnet_block_rows(shape.columns),
        .rows = {.rows = batch->images * shape.rows,
                 .columns = shape.columns,
                 .x = training->values[operation->input],
                 .mean = training->norms[index],
                 .scale = training->columns,
                 .bias = convnet_parameter(training, operation->bias),
                 .activation = fused < 0
                                   ? ACTIVATION_NONE
                                   : train_convnet_activation(convnet_operation(training, fused)->kind)},
    };
}

static void find_scale(const struct train_convnet *training, const struct operation *operation,
                       const float *inverse, int width)
{
    const float *weight = convnet_parameter(training, operation->weight);
    for (int i = 0; i < width; i++)
        training->columns[i] = weight[i] * inverse[i];
}

enum status train_convnet_norm(const struct convnet_batch *batch, int index, struct error *err)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct norm_work work = work_of(batch, index);
    int width = work.rows.columns, fused = training->fused[index];
    float *means = training->norms[index], *inverse = means + width;
    enum status status = STATUS_OK;
    if (index < training->list.frozen_operations) {
        const float *running_mean = convnet_parameter(training, operation->batchnorm + 2);
        const float *running_variance = convnet_parameter(training, operation->batchnorm + 3);
        for (int i = 0; i < width; i++) {
            means[i] = running_mean[i];
            inverse[i] = (float)(1 / sqrt((double)running_variance[i] + operation->epsilon));
        }
    } else {
        status = take_statistics(&work, operation, means, inverse, err);
    }
    find_scale(training, operation, inverse, width);
    work.rows.y =
        training->values[fused < 0 ? operation->output : convnet_operation(training, fused)->output];
    if (status == STATUS_OK)
        train_run(training->cpu.device, norm_unit, &work, blocks_of(&work));
    return status;
}

// With z = (x - mean) / deviation: dx = (g - mean(g) - z * mean(g * z)) * weight / deviation. totals: sums of
// g, then of g * (x - mean).
static enum status find_slopes(const struct norm_work *work, const float *inverse, double *totals,
                               struct error *err)
{
    const struct train_convnet *training = work->training;
    int width = work->rows.columns;
    totals[2 * width] = work->rows.rows;
    enum status status =
        exchange_sum_doubles(training->cpu.training.options.exchange, totals, 2 * (size_t)width + 1, err);
    double rows = totals[2 * width];
    float *offset = training->columns + width, *slope = offset + width;
    for (int i = 0; i < width; i++) {
        double scale = training->columns[i];
        offset[i] = (float)(scale * totals[i] / rows);
        slope[i] = (float)(scale * totals[width + i] / rows * inverse[i] * inverse[i]);
    }
    return status;
}

enum status train_convnet_norm_backward(const struct convnet_batch *batch, const struct gradient_step *step,
                                        struct error *err)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, step->operation);
    struct norm_work work = work_of(batch, step->operation);
    int width = work.rows.columns, fused = training->fused[step->operation];
    int blocks = blocks_of(&work), middle = middle_of(&work);
    const float *inverse = training->norms[step->operation] + width;
    double *totals = training->totals;
    find_scale(training, operation, inverse, width);
    work.rows.dy =
        training->slopes[fused < 0 ? operation->output : convnet_operation(training, fused)->output];
    train_run(training->cpu.device, sums_unit, &work, blocks);
    for (int i = 0; i < 2 * width; i++) {
        double halves[2] = {0, 0};
        for (int block = 0; block < blocks; block++)
            halves[block >= middle] += partials_of(&work, block)[i];
        totals[i] = halves[0] + halves[1];
    }
    enum status status = find_slopes(&work, inverse, totals, err);
    // Totals are of all processes now; gradients are summed over them later.
    bool first = exchange_rank(training->cpu.training.options.exchange) == 0;
    for (int i = 0; i < width && first && step->parameters; i++) {
        convnet_gradient(training, operation->weight)[i] += (float)(totals[width + i] * inverse[i]);
        convnet_gradient(training, operation->bias)[i] += (float)totals[i];
    }
    work.rows.dx = training->slopes[operation->input];
    work.rows.adds = step->input == GRADIENT_ADD;
    work.rows.offset = training->columns + width;
    work.rows.slope = work.rows.offset + width;
    if (status == STATUS_OK && step->input != GRADIENT_NONE)
        train_run(training->cpu.device, gradient_unit, &work, blocks);
    return status;
}
