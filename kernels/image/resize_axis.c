// resize_axis.c: the weights of one axis, in the order and precision of Pillow's precompute_coeffs and
// normalize_coeffs_8bpc; any other order of the double operations would change bits.
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/image/resize.h"

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

// Weights of the source points begin .. end - 1 as fractions of 2^22.
static void fill_weights(int32_t *weight, double *values, int begin, int end, double centre, double scale)
{
    double inverse = 1.0 / scale;
    double sum = 0.0;
    for (int i = begin; i < end; i++) {
        values[i - begin] = triangle((i - centre + 0.5) * inverse);
        sum += values[i - begin];
    }
    for (int i = 0; i < end - begin; i++) {
        double value = sum != 0.0 ? values[i] / sum : values[i];
        weight[i] = (int32_t)(0.5 + value * (1 << RESIZE_FRACTION_BITS));
    }
}

// Zero weights at either end add nothing: drop them.
static int trim(int32_t *weight, int used, int *first)
{
    while (used > 1 && weight[used - 1] == 0)
        used--;
    int leading = 0;
    while (leading < used - 1 && weight[leading] == 0)
        leading++;
    memmove(weight, weight + leading, (size_t)(used - leading) * sizeof *weight);
    memset(weight + used - leading, 0, (size_t)leading * sizeof *weight);
    *first += leading;
    return used - leading;
}

static void fill_output(struct resize_axis *axis, int index, double *values, int from, int to, int offset)
{
    double scale = (double)from / to;
    double filter_scale = scale < 1.0 ? 1.0 : scale;
    double centre = (offset + index + 0.5) * scale;
    int begin = (int)(centre - filter_scale + 0.5);
    if (begin < 0)
        begin = 0;
    int end = (int)(centre + filter_scale + 0.5);
    if (end > from)
        end = from;
    assert(begin < end && end - begin <= axis->taps);
    int32_t *weight = axis->weight + (size_t)index * (size_t)axis->taps;
    fill_weights(weight, values, begin, end, centre, filter_scale);
    axis->first[index] = begin;
    axis->used[index] = trim(weight, end - begin, &axis->first[index]);
}

// Sets axis->most, and moves the weights of outputs near the end so far to the right, behind zeros, that
// `most` weights reach no further than the axis.
static void even_out(struct resize_axis *axis, int from)
{
    for (int i = 0; i < axis->count; i++)
        if (axis->most < axis->used[i])
            axis->most = axis->used[i];
    axis->most = axis->most <= RESIZE_PAIR ? RESIZE_PAIR : (axis->most + 3) / 4 * 4;
    for (int i = 0; i < axis->count; i++) {
        int shift = axis->first[i] + axis->most - from;
        if (shift > axis->first[i])
            shift = axis->first[i];
        if (shift <= 0)
            continue;
        int32_t *weight = axis->weight + (size_t)i * (size_t)axis->taps;
        memmove(weight + shift, weight, (size_t)axis->used[i] * sizeof *weight);
        memset(weight, 0, (size_t)shift * sizeof *weight);
        axis->first[i] -= shift;
        axis->used[i] += shift;
    }
}

static void split_weights(struct resize_axis *axis)
{
    size_t weights = (size_t)axis->count * (size_t)axis->taps;
    for (size_t i = 0; i < weights; i++) {
        axis->high[i] = (int16_t)(axis->weight[i] >> RESIZE_SPLIT_BITS);
        axis->low[i] = (int16_t)(axis->weight[i] & ((1 << RESIZE_SPLIT_BITS) - 1));
    }
}

enum status resize_axis_init(struct resize_axis *axis, int from, int to, int offset, int count,
                             struct error *err)
{
    double scale = (double)from / to;
    int support = (int)ceil(scale < 1.0 ? 1.0 : scale);
    int taps = (support * 2 + 1 + 3) / 4 * 4;
    size_t weights = (size_t)count * (size_t)taps;
    *axis = (struct resize_axis){.count = count, .taps = taps};
    axis->first = memory_try_alloc((size_t)count * sizeof *axis->first);
    axis->used = memory_try_alloc((size_t)count * sizeof *axis->used);
    axis->weight = memory_try_alloc(weights * sizeof *axis->weight);
    axis->high = memory_try_alloc(weights * sizeof *axis->high);
    axis->low = memory_try_alloc(weights * sizeof *axis->low);
    double *values = memory_try_alloc((size_t)taps * sizeof *values);
    bool complete = axis->first && axis->used && axis->weight && axis->high && axis->low && values;
    if (complete) {
        memset(axis->weight, 0, weights * sizeof *axis->weight);
        for (int i = 0; i < count; i++)
            fill_output(axis, i, values, from, to, offset);
        even_out(axis, from);
        split_weights(axis);
    }
    free(values);
    if (complete)
        return STATUS_OK;
    resize_axis_release(axis);
    return error_set(err, STATUS_FATAL, "no memory for the weights of resizing %d points to %d", from, to);
}

void resize_axis_release(struct resize_axis *axis)
{
    free(axis->first);
    free(axis->used);
    free(axis->weight);
    free(axis->high);
    free(axis->low);
    *axis = (struct resize_axis){0};
}
