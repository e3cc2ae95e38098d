// network.c: what a network says about its map, its parameters and its cost.
#include "kernels/network/network.h"

#include <stdlib.h>
#include <string.h>

void network_free(struct network *network)
{
    free(network);
}

bool network_map_is_attention(const struct network *network)
{
    return network->explained_op >= 0 && network->operations[network->explained_op].kind == OP_ATTENTION;
}

int network_map_heads(const struct network *network)
{
    if (network_map_is_attention(network))
        return network->operations[network->explained_op].heads;
    return network->explained_op >= 0;
}

int network_find_parameter(const struct network *network, const char *name)
{
    for (int i = 0; i < network->parameter_count; i++)
        if (strcmp(network->parameters[i].name, name) == 0)
            return i;
    return -1;
}

size_t parameter_size(const struct parameter *parameter)
{
    size_t size = 1;
    for (int i = 0; i < parameter->rank; i++)
        size *= (size_t)parameter->shape[i];
    return size;
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

int network_only_reader(const struct network *network, int tensor)
{
    int found = -1;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        if (operation->input != tensor && operation->second != tensor)
            continue;
        if (found >= 0)
            return -1;
        found = i;
    }
    return tensor == network->logits ? -1 : found;
}

static void need(int *rows, int how_many)
{
    *rows = how_many > *rows ? how_many : *rows;
}

void network_needed_rows(const struct network *network, int rows[NETWORK_MAX_TENSORS])
{
    for (int i = 0; i < network->tensor_count; i++)
        rows[i] = 1;
    for (int i = network->operation_count - 1; i >= 0; i--) {
        const struct operation *operation = &network->operations[i];
        int output = rows[operation->output];
        bool all = output == network->tensors[operation->output].rows && operation->kind != OP_FIRST_ROW;
        bool mixes = operation->kind == OP_ATTENTION || operation->kind == OP_TOKENS;
        if (operation->input >= 0)
            need(&rows[operation->input], all || mixes ? network->tensors[operation->input].rows : 1);
        if (operation->second >= 0)
            need(&rows[operation->second], output);
    }
}

bool network_has_patches(const struct network *network)
{
    const struct operation *operation = &network->operations[1];
    return network->operation_count > 2 && operation[-1].kind == OP_NORMALISE &&
           operation->kind == OP_CONVOLUTION && operation[1].kind == OP_TOKENS && operation->groups == 1 &&
           operation->batchnorm < 0 && operation->padding == 0 &&
           operation->stride == operation->kernel_height && operation->stride == operation->kernel_width &&
           operation->height % operation->stride == 0 && operation->width % operation->stride == 0;
}

struct product_tail network_take_tail(const struct network *network, int index,
                                      bool done[NETWORK_MAX_OPERATIONS])
{
    struct product_tail tail = {.second = -1, .output = network->operations[index].output};
    int next = network_only_reader(network, tail.output);
    if (next >= 0 && network->operations[next].kind == OP_GELU) {
        tail.gelu = done[next] = true;
        tail.output = network->operations[next].output;
        next = network_only_reader(network, tail.output);
    }
    if (next < 0 || network->operations[next].kind != OP_ADD)
        return tail;
    const struct operation *add = &network->operations[next];
    int other = add->input == tail.output ? add->second : add->input;
    if (other == network->operations[index].input)
        return tail; // its values are read until the last sum is written, so the sum can't lie over them
    for (int i = index; i < network->operation_count; i++)
        if (network->operations[i].output == other)
            return tail; // not computed yet when the product runs
    tail.second = other;
    tail.output = add->output;
    done[next] = true;
    return tail;
}

static int embedding_end(const struct network *network)
{
    int convolution = -1;
    for (int i = 0; i < network->operation_count; i++) {
        enum op_kind kind = network->operations[i].kind;
        if (kind == OP_TOKENS)
            return i + 1;
        if (kind == OP_CONVOLUTION && convolution < 0)
            convolution = i;
    }
    int after = convolution + 1;
    enum op_kind next = after < network->operation_count ? network->operations[after].kind : OP_KIND_COUNT;
    return next == OP_RELU || next == OP_RELU6 || next == OP_SILU ? after + 1 : after;
}

static int head_begin(const struct network *network)
{
    int begin = network->operation_count;
    while (begin > 0) {
        enum op_kind kind = network->operations[begin - 1].kind;
        if (kind != OP_LINEAR && kind != OP_FIRST_ROW && kind != OP_LAYERNORM && kind != OP_MEAN_ROWS)
            break;
        begin--;
    }
    return begin;
}

enum network_part network_part_of(const struct network *network, int operation)
{
    return operation < embedding_end(network) ? PART_EMBED
           : operation < head_begin(network)  ? PART_BLOCKS
                                              : PART_HEAD;
}
