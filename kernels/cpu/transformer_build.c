// transformer_build.c: from a network's operations to the steps of a plan, and memory for what they pass on.
//
// Three savings are found here. A linear layer takes the GELU and the addition that follow it. A tensor of
// which only the first row is ever read (the class token in the last block) is computed for that row alone,
// its queries included. And a tensor is stored in the type that its readers multiply.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cpu/fused_attention.h"
#include "kernels/cpu/transformer.h"

struct builder {
    struct transformer_plan *plan;
    const struct network *network;
    int rows[NETWORK_MAX_TENSORS];     // that somebody needs
    bool done[NETWORK_MAX_OPERATIONS]; // taken into an earlier step
};

bool transformer_supports(const struct network *network)
{
    if (!network_has_patches(network))
        return false;
    for (int i = 3; i < network->operation_count; i++) {
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

static const struct gemm_kernel *kernel_of(const struct builder *builder, const struct operation *linear)
{
    const struct transformer_plan *plan = builder->plan;
    return linear->output == builder->network->logits ? plan->device->kernels.gemm[PRECISION_FP32]
                                                      : plan->gemm;
}

static enum storage storage_of(const struct gemm_kernel *kernel)
{
    return kernel->precision == PRECISION_INT8   ? STORE_INT8
           : kernel->precision == PRECISION_BF16 ? STORE_BF16
                                                 : STORE_FP32;
}

// The type that all readers of a tensor want, STORE_FP32 where they differ.
static enum storage wanted_storage(const struct builder *builder, int tensor)
{
    int wanted = -1;
    for (int i = 0; i < builder->network->operation_count; i++) {
        const struct operation *operation = &builder->network->operations[i];
        if (operation->input != tensor && operation->second != tensor)
            continue;
        enum storage storage = STORE_FP32;
        if (operation->kind == OP_LINEAR)
            storage = storage_of(kernel_of(builder, operation));
        else if (operation->kind == OP_ATTENTION)
            storage = storage_of(builder->plan->attention);
        if (wanted >= 0 && wanted != (int)storage)
            return STORE_FP32;
        wanted = (int)storage;
    }
    return wanted < 0 ? STORE_FP32 : (enum storage)wanted;
}

// Rows are a cache line longer than needed: a stride that is a power of two would put a tile's rows all into
// the same few places of the first-level cache.
static void shape_tensor(struct transformer_plan *plan, int index, int rows, int columns,
                         enum storage storage)
{
    size_t element = storage == STORE_FP32 ? 4 : storage == STORE_BF16 ? 2 : 1;
    struct transformer_tensor *tensor = &plan->tensors[index];
    *tensor = (struct transformer_tensor){.storage = storage,
                                          .rows = rows,
                                          .columns = columns,
                                          .view_of = index,
                                          .memory = {0, -1, MEMORY_NOWHERE}};
    tensor->row_stride = memory_round_up((size_t)columns * element, 64) + 64;
    tensor->image_stride = tensor->row_stride * (size_t)rows;
    tensor->memory.size = tensor->image_stride * (size_t)plan->chunk;
    if (storage == STORE_INT8) {
        tensor->scales = tensor->memory.size;
        tensor->memory.size +=
            memory_round_up((size_t)rows * (size_t)plan->chunk * sizeof(struct row_scale), 64);
    }
}

static int add_tensor(struct transformer_plan *plan, int rows, int columns, enum storage storage)
{
    assert(plan->tensor_count < TRANSFORMER_MAX_TENSORS);
    shape_tensor(plan, plan->tensor_count, rows, columns, storage);
    return plan->tensor_count++;
}

static struct step *add_step(struct builder *builder, enum step_kind kind, const struct operation *operation,
                             int input, int output)
{
    struct transformer_plan *plan = builder->plan;
    assert(plan->step_count < TRANSFORMER_MAX_STEPS);
    struct step *step = &plan->steps[plan->step_count++];
    *step = (struct step){.kind = kind,
                          .operation = operation,
                          .input = input,
                          .second = -1,
                          .output = output,
                          .rows = plan->tensors[output].rows,
                          .shares_weights_of = -1};
    return step;
}

// The tensor in the type that a product reads, converted if its producer could not write it so.
static int operand(struct builder *builder, int tensor, const struct gemm_kernel *kernel, int rows)
{
    struct transformer_plan *plan = builder->plan;
    enum storage wanted = storage_of(kernel);
    if (plan->tensors[tensor].storage == wanted)
        return tensor;
    int converted = add_tensor(plan, rows, plan->tensors[tensor].columns, wanted);
    add_step(builder, STEP_CONVERT, NULL, tensor, converted);
    return converted;
}

static void add_patch_embedding(struct builder *builder)
{
    struct transformer_plan *plan = builder->plan;
    const struct operation *convolution = &builder->network->operations[1], *tokens = convolution + 1;
    const struct gemm_kernel *kernel = plan->attention; // fp32, or bf16 where there is one
    int patches = builder->network->tensors[convolution->output].rows;
    int depth = convolution->kernel_height * convolution->kernel_width * 3;
    int columns = builder->network->tensors[tokens->output].columns;
    shape_tensor(plan, tokens->output, patches + 1, columns, STORE_FP32);
    int pixels = add_tensor(plan, patches, depth, storage_of(kernel));
    add_step(builder, STEP_PATCHES, convolution, -1, pixels);
    struct step *step = add_step(builder, STEP_GEMM, convolution, pixels, tokens->output);
    step->kernel = kernel;
    step->rows = patches;
    step->first_output_row = 1;
    step->panel_count = (columns + kernel->panel_columns - 1) / kernel->panel_columns;
    add_step(builder, STEP_CLASS_ROW, tokens, -1, tokens->output)->rows = 1;
    for (int i = 0; i < 3; i++)
        builder->done[i] = true;
}

// Queries of the first row only: two products, one row against the weights of q, all rows against those of k,
// v.
static void split_queries(struct builder *builder, int step_index)
{
    struct transformer_plan *plan = builder->plan;
    struct step *step = &plan->steps[step_index];
    int reader = network_only_reader(builder->network, step->output),
        third = plan->tensors[step->output].columns / 3;
    if (reader < 0 || builder->network->operations[reader].kind != OP_ATTENTION || step->second >= 0 ||
        step->gelu)
        return;
    if (builder->rows[builder->network->operations[reader].output] != 1 ||
        third % step->kernel->panel_columns)
        return;
    int panels = third / step->kernel->panel_columns;
    struct step *rest = add_step(builder, STEP_GEMM, step->operation, step->input, step->output);
    rest->kernel = step->kernel;
    rest->first_panel = panels;
    rest->panel_count = 2 * panels;
    rest->shares_weights_of = step_index;
    step->panel_count = panels;
    step->rows = 1;
}

static void add_linear(struct builder *builder, int index)
{
    struct transformer_plan *plan = builder->plan;
    const struct operation *linear = &builder->network->operations[index];
    const struct gemm_kernel *kernel = kernel_of(builder, linear);
    int input = operand(builder, linear->input, kernel, builder->rows[linear->output]);
    int columns = builder->network->tensors[linear->output].columns;
    const struct product_tail tail = network_take_tail(builder->network, index, builder->done);
    enum storage storage = wanted_storage(builder, tail.output);
    if (storage == STORE_INT8)
        storage = STORE_BF16; // a row's scale is known when the whole row is: STEP_CONVERT
    if (tail.second >= 0)
        storage = STORE_FP32;
    shape_tensor(plan, tail.output, builder->rows[tail.output], columns, storage);
    struct step *step = add_step(builder, STEP_GEMM, linear, input, tail.output);
    step->kernel = kernel;
    step->gelu = tail.gelu;
    step->second = tail.second;
    step->panel_count = (columns + kernel->panel_columns - 1) / kernel->panel_columns;
    split_queries(builder, plan->step_count - 1);
}

static void add_row_operation(struct builder *builder, const struct operation *operation, enum step_kind kind)
{
    int columns = builder->network->tensors[operation->output].columns;
    enum storage storage = wanted_storage(builder, operation->output);
    if (kind == STEP_ATTENTION && storage == STORE_INT8)
        storage = STORE_BF16;
    if (kind == STEP_GELU || kind == STEP_ADD)
        storage = STORE_FP32;
    shape_tensor(builder->plan, operation->output, builder->rows[operation->output], columns, storage);
    struct step *step = add_step(builder, kind, operation, operation->input, operation->output);
    step->second = operation->second;
    step->map = kind == STEP_ATTENTION && builder->network->explained_op >= 0 &&
                operation == &builder->network->operations[builder->network->explained_op];
}

// The first row of each image, where it is.
static void add_view(struct builder *builder, const struct operation *operation)
{
    struct transformer_tensor *view = &builder->plan->tensors[operation->output];
    *view = builder->plan->tensors[operation->input];
    view->rows = 1;
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

// The memory behind a tensor.
static struct memory_value *memory_of(struct transformer_plan *plan, int tensor)
{
    return &plan->tensors[plan->tensors[tensor].view_of].memory;
}

static void place_tensors(struct transformer_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const int used[] = {plan->steps[i].input, plan->steps[i].second, plan->steps[i].output};
        for (int j = 0; j < 3; j++)
            if (used[j] >= 0)
                memory_of(plan, used[j])->last_step = i;
    }
    memory_of(plan, plan->network->logits)->last_step = plan->step_count;
    for (int i = 0; i < plan->step_count; i++) {
        const struct step *step = &plan->steps[i];
        memory_plan_place(&plan->places, memory_of(plan, step->output), i,
                          step->second < 0 ? NULL : memory_of(plan, step->second));
    }
    plan->scratch_offset = memory_round_up(memory_plan_lay_out(&plan->places, 4096, 64), 64);
}

// Memory beside the tensors: each thread's scratch for attention, and the weights that a rollout keeps.
static void find_workspace(struct transformer_plan *plan, bool rollout)
{
    for (int i = 0; i < plan->step_count; i++) {
        struct step *step = &plan->steps[i];
        if (step->kind != STEP_ATTENTION)
            continue;
        int tokens = plan->tensors[step->input].rows, heads = step->operation->heads;
        size_t size =
            attention_scratch_size(plan->attention, tokens, plan->tensors[step->output].columns / heads);
        plan->scratch_size = size > plan->scratch_size ? size : plan->scratch_size;
        step->block = rollout ? plan->rollout.blocks : 0;
        if (rollout)
            plan->rollout = (struct rollout){
                .blocks = plan->rollout.blocks + 1, .images = plan->chunk, .heads = heads, .tokens = tokens};
    }
    plan->rollout_offset =
        plan->scratch_offset + plan->scratch_size * (size_t)team_threads(plan->device->team);
    plan->memory_size = plan->rollout_offset + rollout_size(&plan->rollout);
}

// A step without an operation converts for the one after it.
static void find_parts(struct transformer_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct operation *operation = plan->steps[i].operation;
        if (operation)
            plan->part_ends[network_part_of(plan->network, (int)(operation - plan->network->operations))] =
                i + 1;
    }
    for (int part = 1; part < PART_COUNT; part++)
        if (plan->part_ends[part] == 0)
            plan->part_ends[part] = plan->part_ends[part - 1];
}

void transformer_build(struct transformer_plan *plan, enum explanation explanation)
{
    struct builder *builder = memory_alloc(sizeof *builder);
    builder->plan = plan;
    builder->network = plan->network;
    plan->tensor_count = plan->network->tensor_count;
    for (int i = 0; i < plan->tensor_count; i++)
        plan->tensors[i] = (struct transformer_tensor){.view_of = -1, .memory = {0, -1, MEMORY_NOWHERE}};
    network_needed_rows(builder->network, builder->rows);
    add_patch_embedding(builder);
    for (int i = 0; i < plan->network->operation_count; i++)
        if (!builder->done[i])
            add_operation(builder, i);
    for (int i = 0; i < plan->step_count; i++)
        plan->steps[i].map = plan->steps[i].map && explanation == EXPLAIN_LAST;
    find_parts(plan);
    place_tensors(plan);
    find_workspace(plan, explanation == EXPLAIN_ROLLOUT);
    free(builder);
}
