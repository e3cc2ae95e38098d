// build.c: what all builders of plans need, and a place in memory for what the steps pass on.
#include "kernels/cuda/build.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/memory.h"

enum status cuda_check_network(const struct network *network, enum precision precision, struct error *err)
{
    if (cuda_is_vit(network))
        return cuda_check_vit(network, precision, err);
    if (precision == PRECISION_INT8)
        return error_set(err, STATUS_REJECTED,
                         "the CUDA backend runs %s in fp32, fp16 and bf16; int8 is for vision transformers",
                         network->architecture);
    return STATUS_OK;
}

void cuda_shape_activation(struct cuda_plan *plan, int index, int rows, int columns, enum storage storage)
{
    size_t all_rows = (size_t)rows * (size_t)plan->slice;
    size_t scales = memory_round_up(all_rows * (size_t)columns * storage_size(storage), 256);
    plan->activations[index] = (struct activation){
        .storage = storage,
        .rows = rows,
        .columns = columns,
        .view_of = index,
        .scales = scales,
        .memory = {scales + (storage == STORE_UINT8 ? all_rows * sizeof(struct quantised_row) : 0), -1,
                   MEMORY_NOWHERE}};
}

int cuda_add_activation(struct cuda_plan *plan, int rows, int columns, enum storage storage)
{
    assert(plan->activation_count < ACTIVATIONS_MAX);
    cuda_shape_activation(plan, plan->activation_count, rows, columns, storage);
    return plan->activation_count++;
}

struct step *cuda_add_step(struct builder *builder, enum step_kind kind, const struct operation *operation,
                           int input, int output)
{
    struct cuda_plan *plan = builder->plan;
    assert(plan->step_count < STEPS_MAX);
    struct step *step = &plan->steps[plan->step_count++];
    *step = (struct step){.kind = kind,
                          .operation = operation,
                          .input = input,
                          .second = -1,
                          .output = output,
                          .columns = plan->activations[output].columns};
    return step;
}

// The memory behind an activation.
static struct memory_value *memory_of(struct cuda_plan *plan, int activation)
{
    return &plan->activations[plan->activations[activation].view_of].memory;
}

static void place_activations(struct cuda_plan *plan)
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
        // Each of its values is read before the same one is written.
        int over = step->kind == STEP_SCALE ? step->input : step->second;
        memory_plan_place(&plan->places, memory_of(plan, step->output), i,
                          over < 0 ? NULL : memory_of(plan, over));
    }
    plan->activations_size = memory_plan_lay_out(&plan->places, 256, 0);
}

enum status cuda_build(struct cuda_plan *plan, bool map, struct error *err)
{
    struct builder *builder = memory_alloc(sizeof *builder);
    builder->plan = plan;
    builder->network = plan->network;
    builder->map = map;
    plan->activation_count = plan->network->tensor_count;
    for (int i = 0; i < plan->activation_count; i++)
        plan->activations[i] = (struct activation){.view_of = -1, .memory = {0, -1, MEMORY_NOWHERE}};
    enum status status = STATUS_OK;
    if (cuda_is_vit(plan->network))
        cuda_build_vit(builder);
    else
        status = cuda_build_cnn(builder, err);
    free(builder);
    if (status == STATUS_OK)
        place_activations(plan);
    return status;
}
