// transformer_lowering.c: see transformer_lowering.h.
#include "kernels/transformer_lowering.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/memory.h"

enum { OPERATIONS_OF_PATCHES = 3 }; // normalise, convolution, tokens

struct builder {
    const struct network *network;
    const struct lowering_rules *rules;
    struct lowering *lowering;
    int rows[NETWORK_MAX_TENSORS];     // that are needed
    bool done[NETWORK_MAX_OPERATIONS]; // taken into an earlier step
};

bool transformer_supports(const struct network *network)
{
    if (!network_has_patches(network))
        return false;
    for (int i = OPERATIONS_OF_PATCHES; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        int columns = network->tensors[operation->output].columns;
        bool by_rows = operation->kind == OP_LAYERNORM || operation->kind == OP_LINEAR ||
                       operation->kind == OP_GELU || operation->kind == OP_ADD ||
                       operation->kind == OP_FIRST_ROW;
        bool attention = operation->kind == OP_ATTENTION && columns % (2 * operation->heads) == 0;
        if (!by_rows && !attention)
            return false;
    }
    return true;
}

// What an operation's step reads.
static enum storage read_storage(const struct builder *builder, const struct operation *operation)
{
    if (operation->kind == OP_ATTENTION)
        return builder->rules->attention;
    bool product = operation->kind == OP_LINEAR && operation->output != builder->network->logits;
    return product ? builder->rules->product : STORE_FP32;
}

// The type that all readers of a tensor want, float where they differ. rows_seen: its writer sees whole rows,
// as bytes need it for their scale.
static enum storage wanted_storage(const struct builder *builder, int tensor, bool rows_seen)
{
    int wanted = -1;
    for (int i = 0; i < builder->network->operation_count; i++) {
        const struct operation *operation = &builder->network->operations[i];
        if (operation->input != tensor && operation->second != tensor)
            continue;
        enum storage storage = read_storage(builder, operation);
        if (wanted >= 0 && wanted != (int)storage)
            return STORE_FP32;
        wanted = (int)storage;
    }
    if (wanted == STORE_UINT8 && !rows_seen)
        return builder->rules->half;
    return wanted < 0 ? STORE_FP32 : (enum storage)wanted;
}

static void shape_value(struct builder *builder, int index, int rows, int columns, enum storage storage)
{
    builder->lowering->values[index] = (struct lowered_value){storage, rows, columns, index};
}

static int add_value(struct builder *builder, int rows, int columns, enum storage storage)
{
    assert(builder->lowering->value_count < LOWERED_MAX_VALUES);
    shape_value(builder, builder->lowering->value_count, rows, columns, storage);
    return builder->lowering->value_count++;
}

// output has its shape.
static struct lowered_step *add_step(struct builder *builder, enum lowered_kind kind,
                                     const struct operation *operation, int input, int output)
{
    struct lowering *lowering = builder->lowering;
    assert(lowering->step_count < LOWERED_MAX_STEPS);
    struct lowered_step *step = &lowering->steps[lowering->step_count++];
    *step = (struct lowered_step){.kind = kind,
                                  .operation = operation,
                                  .input = input,
                                  .second = -1,
                                  .output = output,
                                  .rows = lowering->values[output].rows,
                                  .columns = lowering->values[output].columns};
    return step;
}

// The tensor in the type that a step reads, converted if its producer could not write it so.
static int operand(struct builder *builder, int tensor, enum storage wanted, int rows)
{
    const struct lowered_value *value = &builder->lowering->values[tensor];
    if (value->storage == wanted)
        return tensor;
    int converted = add_value(builder, rows, value->columns, wanted);
    add_step(builder, LOWERED_CONVERT, NULL, tensor, converted);
    return converted;
}

static void add_patch_embedding(struct builder *builder)
{
    const struct operation *convolution = &builder->network->operations[1], *tokens = convolution + 1;
    int patches = builder->network->tensors[convolution->output].rows;
    int values = convolution->kernel_height * convolution->kernel_width * 3;
    int multiple = builder->rules->pixel_multiple, depth = (values + multiple - 1) / multiple * multiple;
    int columns = builder->network->tensors[tokens->output].columns;
    bool in_place = builder->rules->tokens_in_place;
    int embedded = in_place ? tokens->output : convolution->output;
    // Bytes would cost accuracy here.
    int pixels = add_value(builder, patches, depth, builder->rules->attention);
    add_step(builder, LOWERED_PATCHES, convolution, -1, pixels);
    shape_value(builder, embedded, patches + in_place, columns, STORE_FP32);
    add_step(builder, LOWERED_PRODUCT, convolution, pixels, embedded)->rows = patches;
    shape_value(builder, tokens->output, patches + 1, columns, STORE_FP32);
    struct lowered_step *step =
        add_step(builder, LOWERED_TOKENS, tokens, in_place ? -1 : embedded, tokens->output);
    step->rows = in_place ? 1 : patches + 1;
    for (int i = 0; i < OPERATIONS_OF_PATCHES; i++)
        builder->done[i] = true;
}

// Queries of the first row only: two products, one row against the weights of q, all rows against those of k,
// v.
static void split_queries(struct builder *builder, struct lowered_step *step)
{
    int reader = network_only_reader(builder->network, step->output), third = step->columns / 3;
    if (reader < 0 || builder->network->operations[reader].kind != OP_ATTENTION || step->second >= 0 ||
        step->gelu || third % builder->rules->column_multiple != 0 ||
        builder->rows[builder->network->operations[reader].output] != 1)
        return;
    struct lowered_step *rest =
        add_step(builder, LOWERED_PRODUCT, step->operation, step->input, step->output);
    rest->first_column = third;
    rest->columns = 2 * third;
    step->columns = third;
    step->rows = 1;
}

static void add_linear(struct builder *builder, int index)
{
    const struct network *network = builder->network;
    const struct operation *linear = &network->operations[index];
    int input = operand(builder, linear->input, read_storage(builder, linear), builder->rows[linear->output]);
    const struct product_tail tail = network_take_tail(network, index, builder->done);
    enum storage storage = tail.second >= 0 ? STORE_FP32 : wanted_storage(builder, tail.output, false);
    shape_value(builder, tail.output, builder->rows[tail.output], network->tensors[tail.output].columns,
                storage);
    struct lowered_step *step = add_step(builder, LOWERED_PRODUCT, linear, input, tail.output);
    step->gelu = tail.gelu;
    step->second = tail.second;
    split_queries(builder, step);
}

static void add_row_operation(struct builder *builder, const struct operation *operation,
                              enum lowered_kind kind)
{
    const struct lowering_rules *rules = builder->rules;
    int rows = builder->rows[operation->output];
    int input = operand(builder, operation->input, read_storage(builder, operation),
                        kind == LOWERED_ATTENTION ? builder->rows[operation->input] : rows);
    int second = operation->second < 0 ? -1 : operand(builder, operation->second, STORE_FP32, rows);
    enum storage storage = STORE_FP32;
    if (kind == LOWERED_ATTENTION && rules->attention_keeps_storage)
        storage = rules->attention;
    else if (kind == LOWERED_ATTENTION || kind == LOWERED_LAYERNORM)
        storage = wanted_storage(builder, operation->output, kind == LOWERED_LAYERNORM);
    shape_value(builder, operation->output, rows, builder->network->tensors[operation->output].columns,
                storage);
    struct lowered_step *step = add_step(builder, kind, operation, input, operation->output);
    step->second = second;
    step->map = kind == LOWERED_ATTENTION &&
                operation - builder->network->operations == builder->network->explained_op;
}

static void add_operation(struct builder *builder, int index)
{
    static const enum lowered_kind kinds[OP_KIND_COUNT] = {[OP_LAYERNORM] = LOWERED_LAYERNORM,
                                                           [OP_ATTENTION] = LOWERED_ATTENTION,
                                                           [OP_GELU] = LOWERED_GELU,
                                                           [OP_ADD] = LOWERED_ADD};
    const struct operation *operation = &builder->network->operations[index];
    struct lowered_value *values = builder->lowering->values;
    if (operation->kind == OP_LINEAR)
        add_linear(builder, index);
    else if (operation->kind == OP_FIRST_ROW) // where it is, with the stride of a whole image
        values[operation->output] = values[operation->input];
    else
        add_row_operation(builder, operation, kinds[operation->kind]);
}

struct lowering *transformer_lower(const struct network *network, const struct lowering_rules *rules)
{
    struct builder *builder = memory_alloc(sizeof *builder);
    struct lowering *lowering = memory_alloc(sizeof *lowering);
    *builder = (struct builder){.network = network, .rules = rules, .lowering = lowering};
    lowering->value_count = network->tensor_count;
    for (int i = 0; i < lowering->value_count; i++)
        lowering->values[i].view_of = -1;
    network_needed_rows(network, builder->rows);
    add_patch_embedding(builder);
    for (int i = 0; i < network->operation_count; i++)
        if (!builder->done[i])
            add_operation(builder, i);
    free(builder);
    return lowering;
}
