// transformer_run.c: runs the steps of a plan for one chunk of images. Nothing here allocates, decides or
// fails.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "kernels/cpu/fused_attention.h"
#include "kernels/cpu/transformer.h"

struct run {
    struct transformer_plan *plan;
    const uint8_t *const *views;
    int images;
    float *attention; // of this chunk, or NULL
};

struct step_run {
    const struct run *run;
    const struct step *step;
};

static char *tensor_memory(const struct transformer_plan *plan, const struct transformer_tensor *tensor)
{
    return plan->memory + plan->places.offsets[plan->tensors[tensor->view_of].memory.place];
}

static char *row_of(const struct transformer_plan *plan, int tensor, int image, int row)
{
    const struct transformer_tensor *t = &plan->tensors[tensor];
    return tensor_memory(plan, t) + (size_t)image * t->image_stride + (size_t)row * t->row_stride;
}

static struct row_scale *scales_of(const struct transformer_plan *plan,
                                   const struct transformer_tensor *tensor)
{
    return (struct row_scale *)(tensor_memory(plan, tensor) + tensor->scales);
}

// One row of patches of one image.
static void patches_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct transformer_plan *plan = step_run->run->plan;
    const struct operation *convolution = step_run->step->operation;
    bool bf16 = plan->tensors[step_run->step->output].storage == STORE_BF16;
    int side = convolution->stride, across = convolution->width / side, down = convolution->height / side;
    int image = unit / down, patch_row = unit % down, run_bytes = side * 3;
    const uint8_t *view = step_run->run->views[image];
    for (int patch = 0; patch < across; patch++) {
        char *row = row_of(plan, step_run->step->output, image, patch_row * across + patch);
        for (int y = 0; y < side; y++) {
            const uint8_t *bytes = view + ((patch_row * side + y) * convolution->width + patch * side) * 3;
            float *floats = (float *)row + y * run_bytes;
            uint16_t *halves = (uint16_t *)row + y * run_bytes;
            for (int i = 0; i < run_bytes; i++) {
                if (bf16)
                    halves[i] = plan->table_bf16[i % 3 * 256 + bytes[i]];
                else
                    floats[i] = plan->table[i % 3 * 256 + bytes[i]];
            }
        }
    }
}

static void run_patches(const struct run *run, const struct step *step)
{
    struct step_run context = {run, step};
    int down = step->operation->height / step->operation->stride;
    team_run(run->plan->device->team, patches_unit, &context, run->images * down);
}

static bool contiguous(const struct transformer_tensor *tensor, int rows)
{
    return tensor->image_stride == tensor->row_stride * (size_t)rows;
}

// The images of a chunk as one product where their rows follow each other, or where each has one row.
static void join_images(struct gemm_call *call, bool joined)
{
    if (call->rows == 1) {
        call->a_stride = call->a_image_stride;
        call->c_stride = call->c_image_stride;
        call->residual_stride = call->residual_image_stride;
        call->row_scale_stride = call->row_scale_image_stride;
    }
    if (call->rows == 1 || joined) {
        call->rows *= call->images;
        call->images = 1;
    }
}

static void run_gemm(const struct run *run, const struct step *step)
{
    const struct transformer_plan *plan = run->plan;
    const struct transformer_tensor *a = &plan->tensors[step->input], *c = &plan->tensors[step->output];
    size_t element = c->storage == STORE_BF16 ? sizeof(uint16_t) : sizeof(float);
    size_t first_column = (size_t)(step->first_panel * step->kernel->panel_columns);
    struct gemm_call call = {
        .ops = plan->device->kernels.ops,
        .weights = &step->weights,
        .first_panel = step->first_panel,
        .panel_count = step->panel_count,
        .images = run->images,
        .rows = step->rows,
        .a = tensor_memory(plan, a),
        .a_stride = a->row_stride,
        .a_image_stride = a->image_stride,
        .c = row_of(plan, step->output, 0, step->first_output_row) + first_column * element,
        .c_stride = c->row_stride,
        .c_image_stride = c->image_stride,
        .output = c->storage == STORE_BF16 ? GEMM_OUTPUT_BF16 : GEMM_OUTPUT_FP32,
        .gelu = step->gelu,
    };
    bool joined = contiguous(a, step->rows) && contiguous(c, step->rows);
    if (a->storage == STORE_UINT8) {
        call.row_scales = scales_of(plan, a);
        call.row_scale_stride = sizeof(struct row_scale);
        call.row_scale_image_stride = (size_t)a->rows * sizeof(struct row_scale);
    }
    if (step->second >= 0) {
        const struct transformer_tensor *residual = &plan->tensors[step->second];
        call.residual = (const float *)tensor_memory(plan, residual);
        call.residual_stride = residual->row_stride;
        call.residual_image_stride = residual->image_stride;
        joined = joined && contiguous(residual, step->rows);
    } else if (step->positions) {
        call.residual = step->positions;
        call.residual_stride = (size_t)c->columns * sizeof(float);
    }
    join_images(&call, joined);
    gemm_run(plan->device->team, &call);
}

static void run_class_row(const struct run *run, const struct step *step)
{
    size_t size = (size_t)run->plan->tensors[step->output].columns * sizeof(float);
    for (int image = 0; image < run->images; image++)
        memcpy(row_of(run->plan, step->output, image, 0), step->scale, size);
}

enum { ROWS_PER_UNIT = 8 }; // up to VECTOR_OPS_ROWS; in the first-level cache

// GELU, sums and halves, which need no more of a row than the value at hand.
static void run_single_row(const struct transformer_plan *plan, const struct step *step, int image, int row)
{
    const struct vector_ops *ops = plan->device->kernels.ops;
    int count = plan->tensors[step->output].columns;
    const float *in = (const float *)row_of(plan, step->input, image, row);
    void *out = row_of(plan, step->output, image, row);
    if (step->kind == LOWERED_GELU)
        ops->gelu(in, count, out);
    else if (step->kind == LOWERED_ADD)
        ops->add(in, (const float *)row_of(plan, step->second, image, row), count, out);
    else
        ops->to_bf16(in, count, out);
}

// The operations that work row by row, for a block of one image's rows.
static void rows_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct transformer_plan *plan = step_run->run->plan;
    const struct step *step = step_run->step;
    const struct vector_ops *ops = plan->device->kernels.ops;
    const struct transformer_tensor *input = &plan->tensors[step->input],
                                    *output = &plan->tensors[step->output];
    int blocks = (step->rows + ROWS_PER_UNIT - 1) / ROWS_PER_UNIT, image = unit / blocks;
    int first = unit % blocks * ROWS_PER_UNIT;
    struct row_block block = {
        .rows = step->rows - first < ROWS_PER_UNIT ? step->rows - first : ROWS_PER_UNIT,
        .count = output->columns,
        .in = row_of(plan, step->input, image, first),
        .in_stride = input->row_stride,
        .out = row_of(plan, step->output, image, first),
        .out_stride = output->row_stride,
        .weight = step->scale,
        .bias = step->bias,
        .epsilon = step->kind == LOWERED_LAYERNORM ? step->operation->epsilon : 0.0f,
        .scales = scales_of(plan, output) + image * output->rows + first,
    };
    if (step->kind == LOWERED_LAYERNORM)
        (output->storage == STORE_FP32   ? ops->layernorm
         : output->storage == STORE_BF16 ? ops->layernorm_bf16
                                         : ops->layernorm_u8)(&block);
    else if (step->kind == LOWERED_CONVERT && output->storage == STORE_UINT8)
        (input->storage == STORE_BF16 ? ops->quantise_bf16 : ops->quantise)(&block);
    else
        for (int row = 0; row < block.rows; row++)
            run_single_row(plan, step, image, first + row);
}

static void run_rows(const struct run *run, const struct step *step)
{
    struct step_run context = {run, step};
    int blocks = (step->rows + ROWS_PER_UNIT - 1) / ROWS_PER_UNIT;
    team_run(run->plan->device->team, rows_unit, &context, run->images * blocks);
}

static void run_attention(const struct run *run, const struct step *step)
{
    const struct transformer_plan *plan = run->plan;
    const struct transformer_tensor *qkv = &plan->tensors[step->input],
                                    *output = &plan->tensors[step->output];
    attention_run(plan->device->team,
                  &(struct attention_call){
                      .kernel = plan->attention,
                      .ops = plan->device->kernels.ops,
                      .images = run->images,
                      .tokens = qkv->rows,
                      .heads = step->operation->heads,
                      .head_width = output->columns / step->operation->heads,
                      .queries = step->rows,
                      .qkv = tensor_memory(plan, qkv),
                      .qkv_stride = qkv->row_stride,
                      .qkv_image_stride = qkv->image_stride,
                      .output = tensor_memory(plan, output),
                      .output_stride = output->row_stride,
                      .output_image_stride = output->image_stride,
                      .output_type = output->storage == STORE_BF16 ? GEMM_OUTPUT_BF16 : GEMM_OUTPUT_FP32,
                      .map = step->map ? run->attention : NULL,
                      .weights = plan->rollout.weights,
                      .scratch = plan->memory + plan->scratch_offset,
                  });
    if (plan->rollout.blocks)
        rollout_add(plan->device->team, &plan->rollout, step->block, run->images, step->rows);
}

static void show_rows(const struct run *run, const struct step *step)
{
    const struct transformer_plan *plan = run->plan;
    for (int image = 0; image < run->images; image++)
        for (int row = 0; row < step->rows; row++)
            plan->observer->see(plan->observer->context, step->operation,
                                (const float *)row_of(plan, step->output, image, row),
                                plan->tensors[step->output].columns);
}

// The rows of a tensor of one row, float, one after the other.
static void copy_rows(const struct transformer_plan *plan, int tensor, int images, float *values)
{
    size_t columns = (size_t)plan->tensors[tensor].columns;
    for (int image = 0; image < images; image++)
        memcpy(values + (size_t)image * columns, row_of(plan, tensor, image, 0), columns * sizeof *values);
}

void transformer_run_chunk(struct transformer_plan *plan, const uint8_t *const *views, int images,
                           const struct inference *result)
{
    static void (*const runs[LOWERED_KIND_COUNT])(const struct run *, const struct step *) = {
        [LOWERED_PATCHES] = run_patches,     [LOWERED_PRODUCT] = run_gemm, [LOWERED_TOKENS] = run_class_row,
        [LOWERED_LAYERNORM] = run_rows,      [LOWERED_GELU] = run_rows,    [LOWERED_ADD] = run_rows,
        [LOWERED_ATTENTION] = run_attention, [LOWERED_CONVERT] = run_rows,
    };
    assert(images >= 1 && images <= plan->chunk);
    struct run run = {plan, views, images, result->attention};
    double *part_ms = plan->plan.part_ms;
    for (int part = 0, i = 0; part < PART_COUNT; part++) {
        int64_t begun_us = part_ms ? clock_monotonic_us() : 0;
        for (; i < plan->part_ends[part]; i++) {
            runs[plan->steps[i].kind](&run, &plan->steps[i]);
            if (plan->observer && plan->steps[i].kind == LOWERED_LAYERNORM)
                show_rows(&run, &plan->steps[i]);
        }
        if (part_ms)
            part_ms[part] += (double)(clock_monotonic_us() - begun_us) / 1e3;
    }
    if (plan->rollout.blocks)
        rollout_finish(plan->device->team, &plan->rollout, images, result->attention);
    copy_rows(plan, plan->network->logits, images, result->logits);
    if (result->embedding)
        copy_rows(plan, plan->network->embedding, images, result->embedding);
}
