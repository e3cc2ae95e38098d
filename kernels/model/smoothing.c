// smoothing.c: ranges of the LayerNorms' channels, and the weights changed by them. No thread of its own.
#include "kernels/model/smoothing.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum { MOST_EXPONENT = 12 };
static const float activation_share = 0.7f;

struct channels {
    const struct operation *layernorm; // of the network; NULL: one that stays
    int columns;
    float *greatest; // magnitude seen of each channel
};

struct smoothing {
    const struct network *network;
    struct channels layers[NETWORK_MAX_OPERATIONS]; // by the number of the operation
};

static bool reads(const struct operation *operation, int tensor)
{
    return operation->input == tensor || operation->second == tensor;
}

static const char *name_of(const struct network *network, int parameter)
{
    return network->parameters[parameter].name;
}

// Only linear layers read it, and none of them is the head, which is always computed in fp32.
static bool can_be_smoothed(const struct network *network, const struct operation *layernorm)
{
    int readers = 0;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        if (!reads(operation, layernorm->output))
            continue;
        if (operation->kind != OP_LINEAR || operation->output == network->logits)
            return false;
        readers++;
    }
    return readers > 0;
}

struct smoothing *smoothing_new(const struct network *network)
{
    struct smoothing *smoothing = memory_alloc(sizeof *smoothing);
    smoothing->network = network;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        struct channels *channels = &smoothing->layers[i];
        if (operation->kind != OP_LAYERNORM || !can_be_smoothed(network, operation))
            continue;
        channels->layernorm = operation;
        channels->columns = network->tensors[operation->output].columns;
        channels->greatest = memory_alloc((size_t)channels->columns * sizeof(float));
    }
    return smoothing;
}

void smoothing_free(struct smoothing *smoothing)
{
    for (int i = 0; smoothing && i < smoothing->network->operation_count; i++)
        free(smoothing->layers[i].greatest);
    free(smoothing);
}

void smoothing_see(void *context, const struct operation *layernorm, const float *row, int columns)
{
    struct smoothing *smoothing = context;
    for (int i = 0; i < smoothing->network->operation_count; i++) {
        struct channels *channels = &smoothing->layers[i];
        if (!channels->layernorm || channels->layernorm->weight != layernorm->weight)
            continue;
        assert(channels->columns == columns);
        for (int k = 0; k < columns; k++)
            channels->greatest[k] = fmaxf(channels->greatest[k], fabsf(row[k]));
    }
}

static void column_maxima(const struct weight *weight, const float *values, float *greatest)
{
    size_t columns = (size_t)weight->shape[1];
    for (size_t i = 0; i < weight->count; i++)
        greatest[i % columns] = fmaxf(greatest[i % columns], fabsf(values[i]));
}

// Multiplies value i of the tensor by factors[i % columns].
static void multiply(struct weights *weights, const char *name, const float *factors, int columns)
{
    const struct weight *weight = weights_find(weights, name);
    struct weight copy = *weight;
    float *values = memory_alloc(weight->count * sizeof *values);
    weight_to_float(weight, values);
    for (size_t i = 0; i < copy.count; i++)
        values[i] *= factors[i % (size_t)columns];
    weights_replace(weights, name, copy.rank, copy.shape, values);
    free(values);
}

// From what was seen and the greatest weights to each channel's power of two, their mean exponent 0.
static void choose_factors(const struct channels *channels, const float *weight_maxima, float *factors)
{
    double sum = 0;
    int count = 0;
    for (int k = 0; k < channels->columns; k++) {
        bool known = channels->greatest[k] > 0 && weight_maxima[k] > 0;
        factors[k] = known ? activation_share * log2f(channels->greatest[k]) -
                                 (1 - activation_share) * log2f(weight_maxima[k])
                           : NAN;
        sum += known ? factors[k] : 0;
        count += known;
    }
    for (int k = 0; k < channels->columns; k++) {
        float exponent = isnan(factors[k]) ? 0 : rintf(factors[k] - (float)(sum / count));
        factors[k] = ldexpf(1, (int)fmaxf(-MOST_EXPONENT, fminf(exponent, MOST_EXPONENT)));
    }
}

static bool was_seen(const struct channels *channels)
{
    for (int k = 0; channels->layernorm && k < channels->columns; k++)
        if (channels->greatest[k] > 0)
            return true;
    return false;
}

static void smooth(const struct network *network, const struct channels *channels, struct weights *weights)
{
    size_t columns = (size_t)channels->columns;
    float *factors = memory_alloc(columns * sizeof *factors),
          *maxima = memory_alloc(columns * sizeof *maxima);
    for (int i = 0; i < network->operation_count; i++) {
        if (!reads(&network->operations[i], channels->layernorm->output))
            continue;
        const struct weight *weight = weights_find(weights, name_of(network, network->operations[i].weight));
        float *values = memory_alloc(weight->count * sizeof *values);
        weight_to_float(weight, values);
        column_maxima(weight, values, maxima);
        free(values);
    }
    choose_factors(channels, maxima, factors);
    for (int i = 0; i < network->operation_count; i++)
        if (reads(&network->operations[i], channels->layernorm->output))
            multiply(weights, name_of(network, network->operations[i].weight), factors, channels->columns);
    for (size_t k = 0; k < columns; k++)
        factors[k] = 1 / factors[k];
    multiply(weights, name_of(network, channels->layernorm->weight), factors, channels->columns);
    multiply(weights, name_of(network, channels->layernorm->bias), factors, channels->columns);
    free(factors);
    free(maxima);
}

int smoothing_apply(const struct smoothing *smoothing, struct weights *weights)
{
    int changed = 0;
    for (int i = 0; i < smoothing->network->operation_count; i++) {
        if (!was_seen(&smoothing->layers[i]))
            continue;
        smooth(smoothing->network, &smoothing->layers[i], weights);
        changed++;
    }
    return changed;
}
