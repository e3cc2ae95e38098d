// network_build.c: the calls that append operations to a network, and the shapes that follow.
#include "kernels/network/network_build.h"

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
        .kind = kind,
        .input = input,
        .second = -1,
        .output = network->tensor_count++,
        .weight = -1,
        .bias = -1,
        .batchnorm = -1,
        .groups = 1,
    };
    network->tensors[operation->output] = output;
    return operation;
}

// A parameter of up to four dimensions; 0: no such dimension. A name used again is the same parameter.
// Returns its index.
static int add_parameter(struct network *network, const char *prefix, const char *suffix,
                         enum parameter_kind kind, const int shape[4])
{
    assert(network->parameter_count < NETWORK_MAX_PARAMETERS);
    struct parameter *parameter = &network->parameters[network->parameter_count];
    *parameter = (struct parameter){.kind = kind};
    int length = snprintf(parameter->name, sizeof parameter->name, "%s%s", prefix, suffix);
    assert(length > 0 && length < TENSOR_NAME_SIZE);
    (void)length;
    while (parameter->rank < 4 && shape[parameter->rank] > 0) {
        parameter->shape[parameter->rank] = shape[parameter->rank];
        parameter->rank++;
    }
    int known = network_find_parameter(network, parameter->name);
    return known >= 0 ? known : network->parameter_count++;
}

static int add_vector(struct network *network, const char *prefix, const char *suffix, int columns)
{
    return add_parameter(network, prefix, suffix, PARAMETER_VECTOR, (int[4]){columns});
}

int network_window_count(int side, const struct convolution_shape *shape)
{
    return shape->same ? (side + shape->stride - 1) / shape->stride
                       : (side + 2 * shape->padding - shape->kernel) / shape->stride + 1;
}

// Padding before the first place of a side.
static int padding_before(int side, const struct convolution_shape *shape)
{
    if (!shape->same)
        return shape->padding;
    int needed = (network_window_count(side, shape) - 1) * shape->stride + shape->kernel - side;
    return needed > 0 ? needed / 2 : 0;
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
    int padding = padding_before(shape->width, shape);
    assert(height > 0 && width > 0 && shape->height * shape->width == network->tensors[input].rows);
    assert(padding == padding_before(shape->height, shape)); // an operation has one for both
    struct operation *operation = append(network, kind, input, (struct tensor){height * width, channels});
    operation->height = shape->height;
    operation->width = shape->width;
    operation->output_height = height;
    operation->output_width = width;
    operation->kernel_height = operation->kernel_width = shape->kernel;
    operation->stride = shape->stride;
    operation->padding = padding;
    return operation;
}

static int add_batchnorm(struct network *network, int input, float epsilon, const char *prefix)
{
    int columns = network->tensors[input].columns;
    struct operation *operation = append(network, OP_BATCHNORM, input, network->tensors[input]);
    operation->epsilon = epsilon;
    operation->batchnorm = operation->weight = add_vector(network, prefix, ".weight", columns);
    operation->bias = add_vector(network, prefix, ".bias", columns);
    add_parameter(network, prefix, ".running_mean", PARAMETER_MEAN, (int[4]){columns});
    add_parameter(network, prefix, ".running_var", PARAMETER_VARIANCE, (int[4]){columns});
    return operation->output;
}

int network_add_convolution(struct network *network, int input, const struct convolution_shape *shape,
                            const char *prefix)
{
    int columns = network->tensors[input].columns;
    assert(columns % shape->groups == 0 && shape->channels % shape->groups == 0);
    struct operation *operation = append_window(network, OP_CONVOLUTION, input, shape, shape->channels);
    const int filters[4] = {shape->channels, columns / shape->groups, shape->kernel, shape->kernel};
    operation->groups = shape->groups;
    operation->weight = add_parameter(network, prefix, ".weight", PARAMETER_MATRIX, filters);
    if (shape->bias)
        operation->bias = add_vector(network, prefix, ".bias", shape->channels);
    return shape->batchnorm ? add_batchnorm(network, operation->output, shape->epsilon, shape->batchnorm)
                            : operation->output;
}

int network_add_tokens(struct network *network, int input, const char *cls_token, const char *pos_embed)
{
    struct tensor output = network->tensors[input];
    output.rows++;
    struct operation *operation = append(network, OP_TOKENS, input, output);
    operation->weight =
        add_parameter(network, cls_token, "", PARAMETER_TOKEN, (int[4]){1, 1, output.columns});
    operation->bias =
        add_parameter(network, pos_embed, "", PARAMETER_TOKEN, (int[4]){1, output.rows, output.columns});
    return operation->output;
}

int network_add_layernorm(struct network *network, int input, float epsilon, const char *prefix)
{
    int columns = network->tensors[input].columns;
    struct operation *operation = append(network, OP_LAYERNORM, input, network->tensors[input]);
    operation->epsilon = epsilon;
    operation->weight = add_vector(network, prefix, ".weight", columns);
    operation->bias = add_vector(network, prefix, ".bias", columns);
    return operation->output;
}

int network_add_linear(struct network *network, int input, int columns, const char *prefix)
{
    const struct tensor *shape = &network->tensors[input];
    struct operation *operation = append(network, OP_LINEAR, input, (struct tensor){shape->rows, columns});
    operation->weight =
        add_parameter(network, prefix, ".weight", PARAMETER_MATRIX, (int[4]){columns, shape->columns});
    operation->bias = add_vector(network, prefix, ".bias", columns);
    return operation->output;
}

int network_add_head(struct network *network, int input, const char *prefix)
{
    network->embedding = input;
    network->logits =
        network_add_linear(network, network_add_dropout(network, input), network->classes, prefix);
    return network->logits;
}

int network_add_dropout(struct network *network, int input)
{
    return append(network, OP_DROPOUT, input, network->tensors[input])->output;
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

int network_add_relu6(struct network *network, int input)
{
    return append(network, OP_RELU6, input, network->tensors[input])->output;
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
