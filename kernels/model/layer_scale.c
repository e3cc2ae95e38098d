// layer_scale.c: the rows of two linear layers in each block times a vector.
#include "kernels/model/layer_scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

struct place {
    const char *suffix; // of the vector's name
    const char *layer;  // that takes its place
};
static const struct place places[] = {{".ls1.gamma", ".attn.proj"}, {".ls2.gamma", ".mlp.fc2"}};

// The place and the length of what stands before its suffix; NULL: the tensor is no such vector.
static const struct place *find_place(const char *name, size_t *prefix)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t suffix = strlen(places[i].suffix);
        if (length > suffix && strcmp(name + length - suffix, places[i].suffix) == 0) {
            *prefix = length - suffix;
            return &places[i];
        }
    }
    return NULL;
}

bool layer_scale_is(const char *name)
{
    size_t prefix;
    return find_place(name, &prefix) != NULL;
}

static bool is_float(const struct weight *weight)
{
    return weight->dtype == DTYPE_F32 || weight->dtype == DTYPE_F16 || weight->dtype == DTYPE_BF16;
}

static enum status scale_rows(const struct weight *gamma, const char *name, struct weights *target,
                              struct error *err)
{
    const struct weight *weight = weights_find(target, name);
    if (!weight || weight->rank == 0 || gamma->rank != 1 || weight->shape[0] != gamma->shape[0] ||
        !is_float(weight) || !is_float(gamma))
        return error_set(err, STATUS_REJECTED, "tensor '%s' has no '%s' with as many rows to scale",
                         gamma->name, name);
    size_t row = weight->count / gamma->count;
    float *factors = memory_alloc(gamma->count * sizeof *factors);
    float *values = memory_alloc(weight->count * sizeof *values);
    weight_to_float(gamma, factors);
    weight_to_float(weight, values);
    for (size_t i = 0; i < weight->count; i++)
        values[i] = (float)((double)values[i] * (double)factors[i / row]);
    int64_t shape[TENSOR_MAX_RANK];
    memcpy(shape, weight->shape, sizeof shape); // weights_replace changes what weight points to
    weights_replace(target, name, weight->rank, shape, values);
    free(factors);
    free(values);
    return STATUS_OK;
}

enum status layer_scale_fold(const struct weights *source, struct weights *target, struct error *err)
{
    static const char *const parts[] = {".weight", ".bias"};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < weights_count(source) && status == STATUS_OK; i++) {
        size_t prefix;
        const struct weight *gamma = weights_at(source, i);
        const struct place *place = find_place(gamma->name, &prefix);
        for (int part = 0; place && part < 2 && status == STATUS_OK; part++) {
            char name[2 * TENSOR_NAME_SIZE];
            snprintf(name, sizeof name, "%.*s%s%s", (int)prefix, gamma->name, place->layer, parts[part]);
            status = scale_rows(gamma, name, target, err);
        }
    }
    return status;
}
