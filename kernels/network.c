// network.c: the architectures known, the calls that append operations, and the shapes that follow from them.
#include "kernels/network.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "kernels/model/vit.h"
#include "kernels/network_build.h"

// The architectures: names[i] is built by builders[i], which gets the network with its name, classes and
// normalisation set.
static const char *const names[] = {"vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224",
                                    "vit_large_patch16_224", NULL};
static void (*const builders[])(struct network *network) = {vit_build, vit_build, vit_build, vit_build};
enum { ARCHITECTURE_COUNT = sizeof builders / sizeof builders[0] };
_Static_assert(ARCHITECTURE_COUNT == sizeof names / sizeof names[0] - 1, "a builder for each name");

enum { MAX_CLASSES = 100000 };

static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
static const float imagenet_std[3] = {0.229f, 0.224f, 0.225f};

const char *const *network_architectures(void)
{
    return names;
}

static enum status unknown_architecture(const char *name, struct error *err)
{
    char known[256] = "";
    for (int i = 0; i < ARCHITECTURE_COUNT; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    return error_set(err, STATUS_REJECTED, "architecture '%.64s' is not known; these are: %s", name, known);
}

enum status network_build(struct network **result, const char *architecture, int classes, struct error *err)
{
    *result = NULL;
    if (classes < 1 || classes > MAX_CLASSES)
        return error_set(err, STATUS_REJECTED, "a network of %d classes; 1 to %d are allowed", classes,
                         MAX_CLASSES);
    for (int i = 0; i < ARCHITECTURE_COUNT; i++) {
        if (strcmp(architecture, names[i]) != 0)
            continue;
        struct network *network = memory_alloc(sizeof *network);
        snprintf(network->architecture, sizeof network->architecture, "%s", architecture);
        network->classes = classes;
        network->attention = -1;
        memcpy(network->mean, imagenet_mean, sizeof network->mean);
        memcpy(network->std, imagenet_std, sizeof network->std);
        builders[i](network);
        *result = network;
        return STATUS_OK;
    }
    return unknown_architecture(architecture, err);
}

void network_free(struct network *network)
{
    free(network);
}

// Appends an operation with one output of the given shape.
static struct operation *append(struct network *network, enum op_kind kind, int input, struct tensor output)
{
    assert(network->operation_count < NETWORK_MAX_OPERATIONS);
    assert(network->tensor_count < NETWORK_MAX_TENSORS);
    assert(input >= -1 && input < network->tensor_count);
    struct operation *operation = &network->operations[network->operation_count++];
    *operation = (struct operation){
        .kind = kind, .input = input, .second = -1, .output = network->tensor_count++, .groups = 1};
    network->tensors[operation->output] = output;
    return operation;
}

static void set_name(char name[TENSOR_NAME_SIZE], const char *prefix, const char *suffix)
{
    int length = snprintf(name, TENSOR_NAME_SIZE, "%s%s", prefix, suffix);
    assert(length > 0 && length < TENSOR_NAME_SIZE);
    (void)length;
}

int network_add_normalise(struct network *network)
{
    int size = network->image_size;
    struct operation *operation = append(network, OP_NORMALISE, -1, (struct tensor){size * size, 3});
    operation->height = operation->width = size;
    return operation->output;
}

int network_add_convolution(struct network *network, int input, const struct convolution_shape *shape,
                            const char *prefix)
{
    int height = (shape->height + 2 * shape->padding - shape->kernel) / shape->stride + 1;
    int width = (shape->width + 2 * shape->padding - shape->kernel) / shape->stride + 1;
    assert(height > 0 && width > 0 && shape->height * shape->width == network->tensors[input].rows);
    assert(network->tensors[input].columns % shape->groups == 0 && shape->channels % shape->groups == 0);
    struct operation *operation =
        append(network, OP_CONVOLUTION, input, (struct tensor){height * width, shape->channels});
    operation->height = shape->height;
    operation->width = shape->width;
    operation->kernel_height = operation->kernel_width = shape->kernel;
    operation->stride = shape->stride;
    operation->padding = shape->padding;
    operation->groups = shape->groups;
    set_name(operation->weight, prefix, ".weight");
    if (shape->bias)
        set_name(operation->bias, prefix, ".bias");
    return operation->output;
}

int network_add_tokens(struct network *network, int input, const char *cls_token, const char *pos_embed)
{
    struct tensor output = network->tensors[input];
    output.rows++;
    struct operation *operation = append(network, OP_TOKENS, input, output);
    set_name(operation->weight, cls_token, "");
    set_name(operation->bias, pos_embed, "");
    return operation->output;
}

int network_add_layernorm(struct network *network, int input, float epsilon, const char *prefix)
{
    struct operation *operation = append(network, OP_LAYERNORM, input, network->tensors[input]);
    operation->epsilon = epsilon;
    set_name(operation->weight, prefix, ".weight");
    set_name(operation->bias, prefix, ".bias");
    return operation->output;
}

int network_add_linear(struct network *network, int input, int columns, const char *prefix)
{
    struct tensor output = {network->tensors[input].rows, columns};
    struct operation *operation = append(network, OP_LINEAR, input, output);
    set_name(operation->weight, prefix, ".weight");
    set_name(operation->bias, prefix, ".bias");
    return operation->output;
}

int network_add_attention(struct network *network, int input, int heads)
{
    struct tensor output = network->tensors[input];
    assert(output.columns % (3 * heads) == 0);
    output.columns /= 3;
    struct operation *operation = append(network, OP_ATTENTION, input, output);
    operation->heads = heads;
    return operation->output;
}

int network_add_gelu(struct network *network, int input)
{
    return append(network, OP_GELU, input, network->tensors[input])->output;
}

int network_add_sum(struct network *network, int input, int second)
{
    const struct tensor *a = &network->tensors[input], *b = &network->tensors[second];
    assert(a->rows == b->rows && a->columns == b->columns);
    (void)b;
    struct operation *operation = append(network, OP_ADD, input, *a);
    operation->second = second;
    return operation->output;
}

int network_add_first_row(struct network *network, int input)
{
    return append(network, OP_FIRST_ROW, input, (struct tensor){1, network->tensors[input].columns})->output;
}

// Shape of one of an operation's two weights (the bias where is_bias). Returns the rank.
static int operation_weight_shape(const struct network *network, const struct operation *operation,
                                  bool is_bias, int64_t shape[TENSOR_MAX_RANK])
{
    const struct tensor *output = &network->tensors[operation->output];
    int input_columns = operation->input >= 0 ? network->tensors[operation->input].columns : 0;
    if (operation->kind == OP_TOKENS) { // cls_token (1, 1, d) and pos_embed (1, tokens, d)
        shape[0] = 1;
        shape[1] = is_bias ? output->rows : 1;
        shape[2] = output->columns;
        return 3;
    }
    shape[0] = output->columns;
    if (is_bias || operation->kind == OP_LAYERNORM)
        return 1;
    if (operation->kind == OP_LINEAR) {
        shape[1] = input_columns;
        return 2;
    }
    assert(operation->kind == OP_CONVOLUTION);
    shape[1] = input_columns / operation->groups;
    shape[2] = operation->kernel_height;
    shape[3] = operation->kernel_width;
    return 4;
}

int network_weight_shape(const struct network *network, const char *name, int64_t shape[TENSOR_MAX_RANK])
{
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        if (operation->weight[0] && strcmp(operation->weight, name) == 0)
            return operation_weight_shape(network, operation, false, shape);
        if (operation->bias[0] && strcmp(operation->bias, name) == 0)
            return operation_weight_shape(network, operation, true, shape);
    }
    return 0;
}

double network_flops(const struct network *network)
{
    double multiplications = 0;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        const struct tensor *output = &network->tensors[operation->output];
        double values = (double)output->rows * output->columns;
        if (operation->kind == OP_LINEAR)
            multiplications += values * network->tensors[operation->input].columns;
        else if (operation->kind == OP_CONVOLUTION)
            multiplications += values * network->tensors[operation->input].columns / operation->groups *
                               operation->kernel_height * operation->kernel_width;
        else if (operation->kind == OP_ATTENTION) // q k^T and the weighted sum of v
            multiplications += 2 * values * output->rows;
    }
    return 2 * multiplications;
}
