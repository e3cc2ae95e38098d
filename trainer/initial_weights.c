// initial_weights.c: normal values from counter_random.h (Box and Muller 1958).
#include "trainer/initial_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/counter_random.h"
#include "common/base/memory.h"
#include "trainer/streams.h"

enum { TRIES = 8 };

static double normal(const struct random_stream *stream, uint64_t index)
{
    double u = 1 - counter_random_uniform(stream, 2 * index); // not 0
    return sqrt(-2 * log(u)) * cos(2 * M_PI * counter_random_uniform(stream, 2 * index + 1));
}

// Within two deviations: one of 20 is drawn again; eight such in a row are one of 10^10 and are cut.
static double cut_normal(const struct random_stream *stream, uint64_t index)
{
    double value = 0;
    for (uint64_t i = 0; i < TRIES; i++) {
        value = normal(stream, index * TRIES + i);
        if (fabs(value) <= 2)
            return value;
    }
    return copysign(2, value);
}

static double deviation_of(const struct network *network, int parameter)
{
    const struct parameter *about = &network->parameters[parameter];
    if (about->rank != 4 || network_has_patches(network))
        return 0.02;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        if (operation->kind == OP_CONVOLUTION && operation->weight == parameter)
            return sqrt(2.0 * operation->groups /
                        (double)(about->shape[0] * about->shape[2] * about->shape[3]));
    }
    return 0.02;
}

static bool is_bias(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ".bias") == 0;
}

static void fill(const struct network *network, int index, uint64_t seed, float *values, size_t count)
{
    const struct parameter *parameter = &network->parameters[index];
    const struct random_stream stream = {seed, STREAM_INITIAL_WEIGHTS + ((uint64_t)index << 32)};
    double deviation = deviation_of(network, index);
    for (size_t i = 0; i < count; i++)
        switch (parameter->kind) {
        case PARAMETER_MATRIX:
        case PARAMETER_TOKEN:
            values[i] = (float)(deviation * cut_normal(&stream, i));
            break;
        case PARAMETER_VECTOR:
            values[i] = is_bias(parameter->name) ? 0 : 1;
            break;
        default:
            values[i] = parameter->kind == PARAMETER_VARIANCE;
        }
}

static void add(struct weights *weights, const struct network *network, int index, uint64_t seed,
                bool replace)
{
    const struct parameter *parameter = &network->parameters[index];
    size_t count = parameter_size(parameter);
    float *values = memory_alloc(count * sizeof *values);
    fill(network, index, seed, values, count);
    if (replace)
        weights_replace(weights, parameter->name, parameter->rank, parameter->shape, values);
    else
        weights_add(weights, parameter->name, parameter->rank, parameter->shape, values);
    free(values);
}

void initial_weights_fill(struct weights *weights, const struct network *network, uint64_t seed)
{
    for (int i = 0; i < network->parameter_count; i++)
        add(weights, network, i, seed, false);
}

void initial_weights_replace_head(struct weights *weights, const struct network *network, uint64_t seed)
{
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        if (operation->output != network->logits)
            continue;
        add(weights, network, operation->weight, seed, true);
        add(weights, network, operation->bias, seed, true);
    }
}
