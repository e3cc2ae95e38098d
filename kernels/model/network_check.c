// network_check.c: whether a set of weights fits a network: each name there, its shape, its type, and every
// value finite; and which architecture a set of weights belongs to. Asked when a model is opened, when its
// file has been read whole, and by every backend that prepares a plan.
#include "kernels/model/network_weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

static void shape_text(int rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? " x " : "", (long long)shape[i]);
}

static bool has_shape(const struct weight *weight, int rank, const int64_t *shape)
{
    return weight->rank == rank && memcmp(weight->shape, shape, (size_t)rank * sizeof shape[0]) == 0;
}

// Running variances: a root is taken of them. NaN is another complaint's.
static size_t first_negative(const struct weight *weight)
{
    size_t i = 0;
    float *values = memory_alloc(weight->count * sizeof *values);
    weight_to_float(weight, values);
    while (i < weight->count && !(values[i] < 0))
        i++;
    free(values);
    return i;
}

static enum status check_values(const struct weights *weights, const struct weight *weight, bool is_variance,
                                struct error *err)
{
    if (weight->dtype != DTYPE_F32 && weight->dtype != DTYPE_F16 && weight->dtype != DTYPE_BF16)
        return error_set(err, STATUS_REJECTED, "tensor '%s' holds whole numbers; F32, F16 or BF16 is needed",
                         weight->name);
    size_t bad = weights_first_not_finite(weights, weight);
    if (bad < weight->count)
        return error_set(err, STATUS_REJECTED, "tensor '%s' is not finite: value %zu is NaN or infinite",
                         weight->name, bad);
    bad = is_variance ? first_negative(weight) : weight->count;
    if (bad < weight->count)
        return error_set(err, STATUS_REJECTED, "tensor '%s' holds variances, but value %zu is negative",
                         weight->name, bad);
    return STATUS_OK;
}

static bool fits(const struct parameter *parameter, const struct weights *weights)
{
    const struct weight *weight = weights_find(weights, parameter->name);
    return weight && has_shape(weight, parameter->rank, parameter->shape);
}

// Whether every tensor of the network but its head's and its positions is there in the right shape.
static bool body_fits(const struct network *network, const struct weights *weights)
{
    bool passed_over[NETWORK_MAX_PARAMETERS] = {false};
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        if (operation->output == network->logits)
            passed_over[operation->weight] = passed_over[operation->bias] = true;
        else if (operation->kind == OP_TOKENS)
            passed_over[operation->bias] = true;
    }
    for (int i = 0; i < network->parameter_count; i++)
        if (!passed_over[i] && !fits(&network->parameters[i], weights))
            return false;
    return true;
}

const char *network_recognise(const struct weights *weights)
{
    const char *const *names = network_architectures();
    for (int i = 0; names[i]; i++) {
        struct network *network = NULL;
        if (network_build(&network, names[i], 1, NULL) != STATUS_OK)
            continue;
        bool found = body_fits(network, weights);
        network_free(network);
        if (found)
            return names[i];
    }
    return NULL;
}

void network_add_recognised(const struct network *network, const struct weights *weights, struct error *err)
{
    const char *name = err ? network_recognise(weights) : NULL;
    if (!name || strcmp(name, network->architecture) == 0)
        return;
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, "; these are weights of %s, not of %s", name,
             network->architecture);
}

enum status network_check_shape(const struct network *network, const struct weights *weights,
                                const char *name, struct error *err)
{
    char expected[96], found[96];
    int index = network_find_parameter(network, name);
    const struct parameter *parameter = index < 0 ? NULL : &network->parameters[index];
    const struct weight *weight = weights_find(weights, name);
    if (parameter && fits(parameter, weights))
        return STATUS_OK;
    if (parameter)
        shape_text(parameter->rank, parameter->shape, expected, sizeof expected);
    if (!parameter) {
        (void)error_set(err, STATUS_REJECTED, "tensor '%s' has no place in %s", name, network->architecture);
    } else if (weight) {
        shape_text(weight->rank, weight->shape, found, sizeof found);
        (void)error_set(err, STATUS_REJECTED, "tensor '%s' has shape %s, %s needs %s", name, found,
                        network->architecture, expected);
    } else {
        (void)error_set(err, STATUS_REJECTED, "tensor '%s' (%s) is missing", name, expected);
    }
    network_add_recognised(network, weights, err);
    return STATUS_REJECTED;
}

enum status network_check_weights(const struct network *network, const struct weights *weights,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < network->parameter_count && status == STATUS_OK; i++) {
        const struct parameter *parameter = &network->parameters[i];
        status = network_check_shape(network, weights, parameter->name, err);
        if (status == STATUS_OK)
            status = check_values(weights, weights_find(weights, parameter->name),
                                  parameter->kind == PARAMETER_VARIANCE, err);
    }
    return status;
}
