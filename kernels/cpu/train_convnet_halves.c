// train_convnet_halves.c: gradients of parameters, of one half of the batch after the other: as two processes
// would sum them. See train_convnet.h.
#include <string.h>

#include "kernels/cpu/train_convnet.h"

enum { UNIT_VALUES = 1 << 16 };

// The parameters of an operation: its weight, and the bias behind it.
struct gradient_range {
    float *values, *other;
    size_t count;
};

static struct gradient_range range_of(const struct train_convnet *training, int index)
{
    const struct operation *operation = convnet_operation(training, index);
    int last = operation->bias == operation->weight + 1 ? operation->bias : operation->weight;
    const size_t *offsets = training->cpu.offsets;
    return (struct gradient_range){convnet_gradient(training, operation->weight), training->first_half,
                                   offsets[last + 1] - offsets[operation->weight]};
}

static void add_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct gradient_range *range = context;
    size_t begin = (size_t)unit * UNIT_VALUES, left = range->count - begin;
    size_t end = begin + (left < UNIT_VALUES ? left : UNIT_VALUES);
    for (size_t i = begin; i < end; i++)
        range->values[i] = range->other[i] + range->values[i];
}

void train_convnet_halves(const struct convnet_batch *batch, int index,
                          void (*add)(const struct convnet_batch *half, int index))
{
    struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct convnet_batch half = *batch;
    half.images = exchange_middle(training->cpu.training.options.exchange, batch->images);
    add(&half, index);
    if (half.images == batch->images)
        return;
    struct gradient_range range = range_of(training, index);
    float *x = training->values[operation->input], *dy = training->slopes[operation->output];
    memcpy(range.other, range.values, range.count * sizeof *range.values);
    memset(range.values, 0, range.count * sizeof *range.values);
    training->values[operation->input] += (size_t)half.images * convnet_size(training, operation->input);
    training->slopes[operation->output] += (size_t)half.images * convnet_size(training, operation->output);
    half.images = batch->images - half.images;
    add(&half, index);
    training->values[operation->input] = x;
    training->slopes[operation->output] = dy;
    train_run(training->cpu.device, add_unit, &range, (int)((range.count + UNIT_VALUES - 1) / UNIT_VALUES));
}
