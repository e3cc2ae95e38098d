// network_check.c: whether a set of weights fits a network: each name there, its shape, its type, and every
// value finite. Runs once when a model is opened, before a backend sees the weights.
#include "kernels/network.h"

#include <stdio.h>
#include <string.h>

static void shape_text(int rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? " x " : "", (long long)shape[i]);
}

// Index of the first NaN or infinity, or weight->count. Both have all bits of the exponent set.
static size_t first_not_finite(const struct weight *weight)
{
    const uint8_t *data = weight->data;
    if (weight->dtype == DTYPE_F32) {
        for (size_t i = 0; i < weight->count; i++) {
            uint32_t bits;
            memcpy(&bits, data + 4 * i, sizeof bits);
            if ((bits & 0x7f800000) == 0x7f800000)
                return i;
        }
        return weight->count;
    }
    uint16_t exponent = weight->dtype == DTYPE_F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; i < weight->count; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        if ((bits & exponent) == exponent)
            return i;
    }
    return weight->count;
}

static enum status check_weight(const struct network *network, const struct weights *weights,
                                const char *name, struct error *err)
{
    int64_t shape[TENSOR_MAX_RANK];
    char expected[96], found[96];
    int rank = network_weight_shape(network, name, shape);
    shape_text(rank, shape, expected, sizeof expected);
    const struct weight *weight = weights_find(weights, name);
    if (!weight)
        return error_set(err, STATUS_REJECTED, "tensor '%s' (%s) is missing", name, expected);
    shape_text(weight->rank, weight->shape, found, sizeof found);
    if (weight->rank != rank || memcmp(weight->shape, shape, (size_t)rank * sizeof shape[0]) != 0)
        return error_set(err, STATUS_REJECTED, "tensor '%s' has shape %s, %s needs %s", name, found,
                         network->architecture, expected);
    if (weight->dtype != DTYPE_F32 && weight->dtype != DTYPE_F16 && weight->dtype != DTYPE_BF16)
        return error_set(err, STATUS_REJECTED, "tensor '%s' holds whole numbers; F32, F16 or BF16 is needed",
                         name);
    size_t bad = first_not_finite(weight);
    weights_discard_pages(weights, weight); // a whole model's pages would stand beside the packed weights
    if (bad < weight->count)
        return error_set(err, STATUS_REJECTED, "tensor '%s' is not finite: value %zu is NaN or infinite",
                         name, bad);
    return STATUS_OK;
}

enum status network_check_weights(const struct network *network, const struct weights *weights,
                                  struct error *err)
{
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        enum status status = STATUS_OK;
        if (operation->weight[0])
            status = check_weight(network, weights, operation->weight, err);
        if (status == STATUS_OK && operation->bias[0])
            status = check_weight(network, weights, operation->bias, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}
