// transformer_build.c: from the lowered steps to the steps of a plan, and memory for what they pass on.
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/cpu/fused_attention.h"
#include "kernels/cpu/transformer.h"
#include "kernels/transformer_lowering.h"

static struct lowering *lower(const struct transformer_plan *plan)
{
    enum storage attention = (enum storage)plan->attention->precision;
    const struct lowering_rules rules = {.product = (enum storage)plan->gemm->precision,
                                         .attention = attention,
                                         .half = STORE_BF16,
                                         .column_multiple = plan->gemm->panel_columns,
                                         .pixel_multiple = 1,
                                         .tokens_in_place = true};
    return transformer_lower(plan->network, &rules);
}

// Rows are a cache line longer than needed: a stride that is a power of two would put a tile's rows all into
// the same few places of the first-level cache.
static void shape_tensor(struct transformer_plan *plan, int index, const struct lowered_value *value)
{
    struct transformer_tensor *tensor = &plan->tensors[index];
    *tensor = (struct transformer_tensor){.storage = value->storage,
                                          .rows = value->rows,
                                          .columns = value->columns,
                                          .view_of = value->view_of,
                                          .memory = {0, -1, MEMORY_NOWHERE}};
    size_t rows = (size_t)value->rows, images = (size_t)plan->chunk;
    tensor->row_stride = memory_round_up((size_t)value->columns * storage_size(value->storage), 64) + 64;
    tensor->image_stride = tensor->row_stride * rows;
    tensor->scales = tensor->memory.size = tensor->image_stride * images;
    if (value->storage == STORE_UINT8)
        tensor->memory.size += memory_round_up(rows * images * sizeof(struct row_scale), 64);
}

static void shape_step(struct transformer_plan *plan, int index, const struct lowered_step *lowered)
{
    struct step *step = &plan->steps[index];
    *step = (struct step){.kind = lowered->kind,
                          .operation = lowered->operation,
                          .input = lowered->input,
                          .second = lowered->second,
                          .output = lowered->output,
                          .rows = lowered->rows,
                          .gelu = lowered->gelu,
                          .map = lowered->map,
                          .shares_weights = lowered->first_column > 0};
    if (lowered->kind != LOWERED_PRODUCT)
        return;
    step->kernel = plan->device->kernels.gemm[plan->tensors[step->input].storage];
    int panel = step->kernel->panel_columns;
    step->first_panel = lowered->first_column / panel;
    step->panel_count = (lowered->columns + panel - 1) / panel;
    step->first_output_row = step->operation->kind == OP_CONVOLUTION; // behind the class token's
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
    memory_of(plan, plan->network->embedding)->last_step = plan->step_count;
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
        if (step->kind != LOWERED_ATTENTION)
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
    struct lowering *lowering = lower(plan);
    plan->step_count = lowering->step_count;
    plan->steps = memory_alloc((size_t)plan->step_count * sizeof *plan->steps);
    plan->tensors = memory_alloc((size_t)lowering->value_count * sizeof *plan->tensors);
    for (int i = 0; i < lowering->value_count; i++)
        shape_tensor(plan, i, &lowering->values[i]);
    for (int i = 0; i < plan->step_count; i++) {
        shape_step(plan, i, &lowering->steps[i]);
        plan->steps[i].map = plan->steps[i].map && explanation == EXPLAIN_LAST;
    }
    free(lowering);
    find_parts(plan);
    place_tensors(plan);
    find_workspace(plan, explanation == EXPLAIN_ROLLOUT);
}
