// parameters.c: reads weights for backends and folds batch normalisation.
#include "kernels/model/parameters.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

// A batch normalisation's vectors, one value for each channel.
struct batchnorm {
    int channels;
    float *gamma, *beta, *mean, *variance; // pieces of one block that begins at gamma
    float epsilon;
};

size_t parameters_weight_count(const struct network *network, const struct operation *operation)
{
    return operation->weight >= 0 ? parameter_size(&network->parameters[operation->weight]) : 0;
}

size_t parameters_bias_count(const struct network *network, const struct operation *operation)
{
    if (operation->batchnorm >= 0)
        return (size_t)network->tensors[operation->output].columns;
    return operation->bias >= 0 ? parameter_size(&network->parameters[operation->bias]) : 0;
}

static void read_values(const struct weights *weights, const char *name, float *values)
{
    const struct weight *weight = weights_find(weights, name);
    assert(weight);
    weight_to_float(weight, values);
}

static void batchnorm_init(struct batchnorm *norm, const struct network *network,
                           const struct operation *operation, const struct weights *weights)
{
    int channels = network->tensors[operation->output].columns;
    float *block = memory_alloc(4 * (size_t)channels * sizeof *block);
    *norm = (struct batchnorm){
        channels,
        block,
        block + channels,
        block + 2 * (size_t)channels,
        block + 3 * (size_t)channels,
        operation->epsilon,
    };
    for (int i = 0; i < 4; i++)
        read_values(weights, network->parameters[operation->batchnorm + i].name,
                    block + (size_t)i * (size_t)channels);
}

static double scale_of(const struct batchnorm *norm, int channel)
{
    return norm->gamma[channel] / sqrt((double)norm->variance[channel] + norm->epsilon);
}

// weight: (channels, count / channels); bias holds the convolution's own, or zeros.
static void fold(const struct batchnorm *norm, float *weight, size_t count, float *bias)
{
    size_t filter_size = count / (size_t)norm->channels;
    for (int channel = 0; channel < norm->channels; channel++) {
        double scale = scale_of(norm, channel);
        float *filter = weight + (size_t)channel * filter_size;
        for (size_t i = 0; weight && i < filter_size; i++)
            filter[i] = (float)(filter[i] * scale);
        if (bias)
            bias[channel] =
                (float)(norm->beta[channel] + ((double)bias[channel] - norm->mean[channel]) * scale);
    }
}

void parameters_read(const struct network *network, const struct operation *operation,
                     const struct weights *weights, float *weight, float *bias)
{
    if (weight && operation->weight >= 0)
        read_values(weights, network->parameters[operation->weight].name, weight);
    if (bias && operation->bias >= 0)
        read_values(weights, network->parameters[operation->bias].name, bias);
    if (operation->batchnorm < 0)
        return;
    int channels = network->tensors[operation->output].columns;
    if (bias && operation->bias < 0)
        memset(bias, 0, (size_t)channels * sizeof *bias);
    struct batchnorm norm;
    batchnorm_init(&norm, network, operation, weights);
    fold(&norm, weight, parameters_weight_count(network, operation), bias);
    free(norm.gamma);
}

void parameters_discard_pages(const struct network *network, const struct operation *operation,
                              const struct weights *weights)
{
    const int indices[] = {operation->weight, operation->bias};
    for (int i = 0; i < 2; i++) {
        const struct weight *weight =
            indices[i] >= 0 ? weights_find(weights, network->parameters[indices[i]].name) : NULL;
        if (weight)
            weights_discard_pages(weights, weight);
    }
}
