// network_build.c: the calls that append operations to a network, and the shapes that follow.
#include "kernels/network_build.h"

#include <assert.h>
#include <stdio.h>

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

int network_window_count(int side, const struct convolution_shape *shape)
{
    return (side + 2 * shape->padding - shape->kernel) / shape->stride + 1;
}

int network_add_normalise(struct network *network)
{
    int size = network->image_size;
    struct operation *operation = append(network, OP_NORMALISE, -1, (struct tensor){size * size, 3});
    operation->height = operation->width = size;
    return operation->output;
}

// An operation that moves a window over a feature map.
static struct operation *append_window(struct network *network, enum op_kind kind, int input,
                                       const struct convolution_shape *shape, int channels)
{
    int height = network_window_count(shape->height, shape);
    int width = network_window_count(shape->width, shape);
    assert(height > 0 && width > 0 && shape->height * shape->width == network->tensors[input].rows);
    struct operation *operation = append(network, kind, input, (struct tensor){height * width, channels});
    operation->height = shape->height;
    operation->width = shape->width;
    operation->kernel_height = operation->kernel_width = shape->kernel;
    operation->stride = shape->stride;
    operation->padding = shape->padding;
    return operation;
}

int network_add_convolution(struct network *network, int input, const struct convolution_shape *shape,
                            const char *prefix)
{
    assert(network->tensors[input].columns % shape->groups == 0 && shape->channels % shape->groups == 0);
    struct operation *operation = append_window(network, OP_CONVOLUTION, input, shape, shape->channels);
    operation->groups = shape->groups;
    set_name(operation->weight, prefix, ".weight");
    if (shape->bias)
        set_name(operation->bias, prefix, ".bias");
    if (shape->batchnorm) {
        set_name(operation->batchnorm, shape->batchnorm, "");
        operation->epsilon = shape->epsilon;
    }
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

int network_add_relu(struct network *network, int input)
{
    return append(network, OP_RELU, input, network->tensors[input])->output;
}

int network_add_silu(struct network *network, int input)
{
    return append(network, OP_SILU, input, network->tensors[input])->output;
}

int network_add_sigmoid(struct network *network, int input)
{
    return append(network, OP_SIGMOID, input, network->tensors[input])->output;
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

int network_add_max_pool(struct network *network, int input, const struct convolution_shape *shape)
{
    assert(shape->padding < shape->kernel); // every window holds a value
    return append_window(network, OP_MAX_POOL, input, shape, network->tensors[input].columns)->output;
}

int network_add_mean_rows(struct network *network, int input)
{
    return append(network, OP_MEAN_ROWS, input, (struct tensor){1, network->tensors[input].columns})->output;
}

int network_add_scale(struct network *network, int input, int second)
{
    const struct tensor *a = &network->tensors[input], *b = &network->tensors[second];
    assert(b->rows == 1 && b->columns == a->columns);
    (void)b;
    struct operation *operation = append(network, OP_SCALE, input, *a);
    operation->second = second;
    return operation->output;
}
