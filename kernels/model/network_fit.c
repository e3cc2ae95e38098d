// network_fit.c: position embeddings learnt at one image size, for a network of another.
//
// The grid of positions is resized like an image: Keys' bicubic filter (a = -0.5), widened where the grid
// shrinks, weights cut off at the edges and made to sum to 1. That is PyTorch's interpolate(mode="bicubic",
// antialias=True), which timm's resample_abs_pos_embed calls; here in double, rounded once.
#include "kernels/model/network_weights.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum { MAX_GRID = 80 }; // 1022 pixels in patches of 14 are 73

static double filter(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

// One axis: weights[i * from + j] is the share of old place j in new place i.
static void axis_weights(int from, int to, double *weights)
{
    double scale = (double)from / to, stretch = fmax(scale, 1), support = 2 * stretch;
    for (int i = 0; i < to; i++) {
        double centre = scale * (i + 0.5), sum = 0, *row = weights + (size_t)i * (size_t)from;
        int first = (int)fmax(floor(centre - support + 0.5), 0);
        int end = (int)fmin(floor(centre + support + 0.5), from);
        for (int j = 0; j < from; j++)
            sum += row[j] = j >= first && j < end ? filter((j + 0.5 - centre) / stretch) : 0;
        for (int j = 0; j < from; j++)
            row[j] /= sum;
    }
}

struct grid {
    int from, to, width;
    const double *weights; // axis_weights
};

// Each row of the old grid across, then the rows down. old: (from, from, width), values: (to, to, width).
static void resize_grid(const struct grid *grid, const float *old, double *rows, float *values)
{
    size_t from = (size_t)grid->from, to = (size_t)grid->to, width = (size_t)grid->width;
    for (size_t y = 0; y < from; y++)
        for (size_t x = 0; x < to; x++)
            for (size_t c = 0; c < width; c++) {
                double sum = 0;
                for (size_t j = 0; j < from; j++)
                    sum += grid->weights[x * from + j] * old[(y * from + j) * width + c];
                rows[(y * to + x) * width + c] = sum;
            }
    for (size_t y = 0; y < to; y++)
        for (size_t i = 0; i < to * width; i++) {
            double sum = 0;
            for (size_t j = 0; j < from; j++)
                sum += grid->weights[y * from + j] * rows[j * to * width + i];
            values[y * to * width + i] = (float)sum;
        }
}

// The side of the grid that the tensor's positions make behind the class token, or 0.
static int grid_side(const struct weight *weight, int width)
{
    if (weight->rank != 3 || weight->shape[0] != 1 || weight->shape[2] != width ||
        (weight->dtype != DTYPE_F32 && weight->dtype != DTYPE_F16 && weight->dtype != DTYPE_BF16))
        return 0;
    for (int side = 1; side <= MAX_GRID; side++)
        if (weight->shape[1] == 1 + (int64_t)side * side)
            return side;
    return 0;
}

static void interpolate(struct weights *weights, const char *name, int from, int to, int width)
{
    const struct weight *weight = weights_find(weights, name);
    size_t row = (size_t)width, places = (size_t)to * (size_t)to;
    float *old = memory_alloc(weight->count * sizeof *old);
    float *values = memory_alloc((1 + places) * row * sizeof *values);
    double *rows = memory_alloc((size_t)from * (size_t)to * row * sizeof *rows);
    double *axis = memory_alloc((size_t)from * (size_t)to * sizeof *axis);
    weight_to_float(weight, old);
    memcpy(values, old, row * sizeof *values); // the class token's
    axis_weights(from, to, axis);
    resize_grid(&(struct grid){from, to, width, axis}, old + row, rows, values + row);
    weights_replace(weights, name, 3, (int64_t[]){1, 1 + (int64_t)places, width}, values);
    free(old);
    free(values);
    free(rows);
    free(axis);
}

static enum status fit_positions(const struct network *network, const struct operation *tokens,
                                 struct weights *weights, struct error *err)
{
    const struct tensor *shape = &network->tensors[tokens->output];
    const char *name = network->parameters[tokens->bias].name;
    const struct weight *weight = weights_find(weights, name);
    if (!weight || weight->rank != 3 || weight->shape[1] == shape->rows)
        return STATUS_OK; // fits, or network_check_weights says what is wrong
    int side = grid_side(weight, shape->columns), wanted = (int)lrint(sqrt(shape->rows - 1));
    if (side == 0)
        return error_set(err, STATUS_REJECTED,
                         "tensor '%s' (%lld x %lld x %lld) is not a class token and a square of positions of "
                         "width %d, which %s could be fitted with",
                         weight->name, (long long)weight->shape[0], (long long)weight->shape[1],
                         (long long)weight->shape[2], shape->columns, network->architecture);
    assert(wanted * wanted + 1 == shape->rows && wanted <= MAX_GRID);
    interpolate(weights, name, side, wanted, shape->columns);
    return STATUS_OK;
}

enum status network_fit_weights(const struct network *network, struct weights *weights, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < network->operation_count && status == STATUS_OK; i++)
        if (network->operations[i].kind == OP_TOKENS)
            status = fit_positions(network, &network->operations[i], weights, err);
    return status;
}
