// random_weights.c: the generator and its rules. Every step is one correctly rounded IEEE operation, so that
// the Python side gives the same bits.
#include "kernels/model/random_weights.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

#define GOLDEN_RATIO UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t fnv1a64(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t random_weights_bits(uint64_t seed, const char *name, uint64_t index)
{
    return mix((mix(seed) ^ fnv1a64(name)) + (index + 1) * GOLDEN_RATIO);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

struct rule {
    float centre, width; // value = centre + width * u
};

static struct rule rule_of(const char *name, int rank, const int64_t *shape)
{
    if (ends_with(name, ".bias") || ends_with(name, ".running_mean"))
        return (struct rule){0, 0x1p-4f};
    if (ends_with(name, ".running_var"))
        return (struct rule){0.5f, 0x1p-4f};
    if (strcmp(name, "cls_token") == 0 || strcmp(name, "pos_embed") == 0)
        return (struct rule){0, 0x1p-2f};
    if (rank == 1)
        return (struct rule){1, 0x1p-3f};
    double fan_in = 1;
    for (int i = 1; i < rank; i++)
        fan_in *= (double)shape[i];
    return (struct rule){0, (float)sqrt(3 / fan_in)};
}

void random_weights_add(struct weights *weights, const char *name, int rank, const int64_t *shape,
                        uint64_t seed)
{
    struct rule rule = rule_of(name, rank, shape);
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= (size_t)shape[i];
    float *values = memory_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint64_t top = random_weights_bits(seed, name, i) >> 40; // 24 bits
        float u = (float)top * 0x1p-23f - 1.0f;
        values[i] = rule.centre + rule.width * u;
    }
    weights_add(weights, name, rank, shape, values);
    free(values);
}

void random_weights_fill(struct weights *weights, const struct network *network, uint64_t seed)
{
    for (int i = 0; i < network->parameter_count; i++) {
        const struct parameter *parameter = &network->parameters[i];
        random_weights_add(weights, parameter->name, parameter->rank, parameter->shape, seed);
    }
}
