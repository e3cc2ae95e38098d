// build_vit.c: what the backend asks of a vision transformer, and its steps from the lowered ones.
#include "kernels/cuda/build.h"

#include <stdlib.h>

bool cuda_is_vit(const struct network *network)
{
    const struct operation *convolution = &network->operations[1];
    return transformer_supports(network) && convolution->width == convolution->height;
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
    switch (operation->kind) { // of those that have steps
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
    default:
        return STATUS_OK;
    }
}

enum status cuda_check_vit(const struct network *network, enum precision precision, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 3; i < network->operation_count && status == STATUS_OK; i++)
        status = check_operation(network, &network->operations[i], precision, err);
    return status;
}

static void shape_activation(struct cuda_plan *plan, int index, const struct lowered_value *value)
{
    cuda_shape_activation(plan, index, value->rows, value->columns, value->storage);
    plan->activations[index].view_of = value->view_of;
}

void cuda_build_vit(struct builder *builder)
{
    struct cuda_plan *plan = builder->plan;
    struct lowering *lowering =
        transformer_lower(builder->network, &(struct lowering_rules){.product = plan->product,
                                                                     .attention = plan->attention,
                                                                     .half = plan->attention,
                                                                     .column_multiple = 1,
                                                                     .pixel_multiple = PIXEL_MULTIPLE,
                                                                     .attention_keeps_storage = true});
    plan->activation_count = lowering->value_count;
    for (int i = 0; i < lowering->value_count; i++)
        shape_activation(plan, i, &lowering->values[i]);
    for (int i = 0; i < lowering->step_count; i++) {
        const struct lowered_step *lowered = &lowering->steps[i];
        struct step *step = cuda_add_step(builder, (enum step_kind)lowered->kind, lowered->operation,
                                          lowered->input, lowered->output);
        step->second = lowered->second;
        step->first_row = lowered->rows == 1;
        step->first_column = lowered->first_column;
        step->columns = lowered->columns;
        step->finish = lowered->gelu ? FINISH_GELU : FINISH_NONE;
        step->map = builder->map && lowered->map;
    }
    free(lowering);
}
