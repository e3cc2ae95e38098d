// build_vit.c: the steps of a vision transformer.
//
// Three savings are found here. A linear layer takes the GELU and the addition that follow it. A tensor of
// which only the first row is ever read (the class token in the last block) is computed for that row alone,
// its queries included. And a tensor is stored in the type that its readers multiply. What flows from block
// to block, the sums, stays float in every precision.
#include "kernels/cuda/build.h"

bool cuda_is_vit(const struct network *network)
{
    const struct operation *convolution = &network->operations[1];
    return network_has_patches(network) && convolution->stride % 4 == 0 &&
           convolution->width == convolution->height;
}

static enum status check_columns(const struct network *network, const struct operation *operation,
                                 enum precision precision, struct error *err)
{
    int columns = network->tensors[operation->input].columns;
    int multiple = precision == PRECISION_FP32 ? 4 : precision == PRECISION_INT8 ? 16 : 8;
    if (operation->output != network->logits && columns % multiple != 0)
        return error_set(
            err, STATUS_REJECTED, "the CUDA backend's %s needs widths that %d divides, '%s' has %d",
            precision_names[precision], multiple, network->parameters[operation->weight].name, columns);
    return STATUS_OK;
}

static enum status check_operation(const struct network *network, const struct operation *operation,
                                   enum precision precision, struct error *err)
{
    struct tensor input = network->tensors[operation->input], output = network->tensors[operation->output];
    switch (operation->kind) {
    case OP_LINEAR:
        return check_columns(network, operation, precision, err);
    case OP_LAYERNORM:
        if (input.columns > LAYERNORM_MAX_COLUMNS || input.columns % 4 != 0)
            return error_set(
                err, STATUS_REJECTED, "the CUDA backend normalises rows of up to %d values, '%s' has %d",
                LAYERNORM_MAX_COLUMNS, network->parameters[operation->weight].name, input.columns);
        return STATUS_OK;
    case OP_ATTENTION:
        if (input.rows > ATTENTION_MAX_TOKENS || output.columns / operation->heads > ATTENTION_MAX_HEAD_WIDTH)
            return error_set(err, STATUS_REJECTED,
                             "the CUDA backend's attention takes %d tokens and heads of %d, %s has %d and %d",
                             ATTENTION_MAX_TOKENS, ATTENTION_MAX_HEAD_WIDTH, network->architecture,
                             input.rows, output.columns / operation->heads);
        return STATUS_OK;
    case OP_GELU:
    case OP_ADD:
    case OP_FIRST_ROW:
        return STATUS_OK;
    default:
        return error_set(err, STATUS_REJECTED,
                         "the CUDA backend has no step for a part of %s; use backend 'cpu'",
                         network->architecture);
    }
}

enum status cuda_check_vit(const struct network *network, enum precision precision, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 3; i < network->operation_count && status == STATUS_OK; i++)
        status = check_operation(network, &network->operations[i], precision, err);
    return status;
}

// What a linear layer multiplies: the head stays float.
static enum storage operand_storage(const struct builder *builder, const struct operation *linear)
{
    return linear->output == builder->network->logits ? STORE_FP32 : builder->plan->product;
}

// The type that all readers of a tensor want, float where they differ.
static enum storage wanted_storage(const struct builder *builder, int tensor)
{
    int wanted = -1;
    for (int i = 0; i < builder->network->operation_count; i++) {
        const struct operation *operation = &builder->network->operations[i];
        if (operation->input != tensor && operation->second != tensor)
            continue;
        enum storage storage = operation->kind == OP_LINEAR      ? operand_storage(builder, operation)
                               : operation->kind == OP_ATTENTION ? builder->plan->attention
                                                                 : STORE_FP32;
        if (wanted >= 0 && wanted != (int)storage)
            return STORE_FP32;
        wanted = (int)storage;
    }
    return wanted < 0 ? STORE_FP32 : (enum storage)wanted;
}

// The tensor in the type that a step reads, converted if its producer could not write it so.
static int operand(struct builder *builder, int tensor, enum storage wanted)
{
    struct cuda_plan *plan = builder->plan;
    const struct activation *activation = &plan->activations[tensor];
    if (activation->storage == wanted)
        return tensor;
    int converted = cuda_add_activation(plan, activation->rows, activation->columns, wanted);
    cuda_add_step(builder, STEP_CONVERT, NULL, tensor, converted);
    return converted;
}

static void add_patch_embedding(struct builder *builder)
{
    struct cuda_plan *plan = builder->plan;
    const struct operation *convolution = &builder->network->operations[1], *tokens = convolution + 1;
    enum storage storage = plan->attention; // half, or float: bytes would cost accuracy here
    int patches = builder->network->tensors[convolution->output].rows;
    int columns = builder->network->tensors[tokens->output].columns;
    int pixels = cuda_add_activation(plan, patches, convolution->stride * convolution->stride * 3, storage);
    cuda_add_step(builder, STEP_PATCHES, convolution, -1, pixels);
    cuda_shape_activation(plan, convolution->output, patches, columns, STORE_FP32);
    cuda_add_step(builder, STEP_PRODUCT, convolution, pixels, convolution->output);
    cuda_shape_activation(plan, tokens->output, patches + 1, columns, STORE_FP32);
    cuda_add_step(builder, STEP_TOKENS, tokens, convolution->output, tokens->output);
    for (int i = 0; i < 3; i++)
        builder->done[i] = true;
}

// Queries of the first row only: two products, one row against the weights of q, all rows against those of k,
// v.
static void split_queries(struct builder *builder, struct step *step)
{
    int reader = network_only_reader(builder->network, step->output);
    if (reader < 0 || builder->network->operations[reader].kind != OP_ATTENTION || step->second >= 0 ||
        step->finish || builder->rows[builder->network->operations[reader].output] != 1)
        return;
    int third = step->columns / 3;
    struct step *rest = cuda_add_step(builder, STEP_PRODUCT, step->operation, step->input, step->output);
    rest->first_column = third;
    rest->columns = 2 * third;
    step->columns = third;
    step->first_row = true;
}

static void add_linear(struct builder *builder, int index)
{
    struct cuda_plan *plan = builder->plan;
    const struct operation *linear = &builder->network->operations[index];
    enum storage multiplied = operand_storage(builder, linear);
    int input = operand(builder, linear->input, multiplied);
    const struct product_tail tail = network_take_tail(builder->network, index, builder->done);
    int output = tail.output, columns = builder->network->tensors[output].columns;
    enum storage storage = wanted_storage(builder, output);
    if (tail.second >= 0 || multiplied == STORE_FP32)
        storage = STORE_FP32;
    else if (storage == STORE_UINT8)
        storage = plan->attention; // a product does not see whole rows
    cuda_shape_activation(plan, output, builder->rows[output], columns, storage);
    struct step *step = cuda_add_step(builder, STEP_PRODUCT, linear, input, output);
    step->finish = tail.gelu ? FINISH_GELU : FINISH_NONE;
    step->second = tail.second;
    step->first_row = plan->activations[output].rows == 1;
    split_queries(builder, step);
}

static void add_row_operation(struct builder *builder, const struct operation *operation, enum step_kind kind)
{
    struct cuda_plan *plan = builder->plan;
    int columns = builder->network->tensors[operation->output].columns, second = operation->second;
    enum storage in = kind == STEP_ATTENTION ? plan->attention : STORE_FP32, out = STORE_FP32;
    int input = operand(builder, operation->input, in);
    if (second >= 0)
        second = operand(builder, second, STORE_FP32);
    if (kind == STEP_LAYERNORM)
        out = wanted_storage(builder, operation->output);
    else if (kind == STEP_ATTENTION)
        out = in;
    cuda_shape_activation(plan, operation->output, builder->rows[operation->output], columns, out);
    struct step *step = cuda_add_step(builder, kind, operation, input, operation->output);
    step->second = second;
    step->first_row = plan->activations[operation->output].rows == 1;
    step->map = builder->map && kind == STEP_ATTENTION &&
                operation == &builder->network->operations[builder->network->explained_op];
}

// The first row of each image, where it is: later steps read it with the stride of a whole image.
static void add_view(struct builder *builder, const struct operation *operation)
{
    builder->plan->activations[operation->output] = builder->plan->activations[operation->input];
}

static void add_operation(struct builder *builder, int index)
{
    static const enum step_kind kinds[OP_KIND_COUNT] = {[OP_LAYERNORM] = STEP_LAYERNORM,
                                                        [OP_ATTENTION] = STEP_ATTENTION,
                                                        [OP_GELU] = STEP_GELU,
                                                        [OP_ADD] = STEP_ADD};
    const struct operation *operation = &builder->network->operations[index];
    if (operation->kind == OP_LINEAR)
        add_linear(builder, index);
    else if (operation->kind == OP_FIRST_ROW)
        add_view(builder, operation);
    else
        add_row_operation(builder, operation, kinds[operation->kind]);
}

void cuda_build_vit(struct builder *builder)
{
    network_needed_rows(builder->network, builder->rows);
    add_patch_embedding(builder);
    for (int i = 0; i < builder->network->operation_count; i++)
        if (!builder->done[i])
            add_operation(builder, i);
}
