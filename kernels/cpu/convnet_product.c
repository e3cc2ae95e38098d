// convnet_product.c: runs one product step: divides it into units, gathers what a unit multiplies, and
// finishes its tiles.
//
// A unit is a block of rows by some panels of the weights. Winograd's products are winograd.h's.
#include <string.h>

#include "kernels/cpu/convnet.h"
#include "kernels/cpu/winograd.h"

enum { ALIGNMENT = 64, UNITS_PER_THREAD = 12 };

// A product of the rows of all images, or of one whose gate is in the weights, divided into units
// of a block of tiles of rows by a group of panels.
struct product {
    const struct convnet_run *run;
    const struct convnet_step *step;
    int first, rows, tiles, blocks, groups;
    int held[TEAM_MAX_THREADS]; // the block whose windows lie in a thread's scratch; -1: none
};

// In whole cache lines: up to 60 bytes more than asked for are read and written. The places of memory end
// with as much room, and what is written behind a window's row is written again by the next one.
static void copy_lines(float *to, const float *from, size_t values)
{
    for (size_t i = 0; i < values; i += 16)
        memcpy(to + i, from + i, 16 * sizeof *to);
}

// The places of one row of a window, zero in the padding.
static float *gather_line(const struct convnet_tensor *input, const struct convnet_step *step,
                          const float *line, int left, float *to)
{
    size_t channels = (size_t)input->columns;
    int before = left < 0 ? -left : 0, end = step->width - left;
    end = end < step->kernel ? end : step->kernel;
    before = before < step->kernel ? before : step->kernel;
    end = end > before ? end : before;
    for (size_t i = 0; i < (size_t)before * channels; i++)
        to[i] = 0;
    const char *from = (const char *)line + (ptrdiff_t)(left + before) * (ptrdiff_t)input->row_stride;
    if (input->row_stride == channels * sizeof *to)
        copy_lines(to + (size_t)before * channels, (const float *)from, (size_t)(end - before) * channels);
    else
        for (int i = before; i < end; i++, from += input->row_stride)
            copy_lines(to + (size_t)i * channels, (const float *)from, channels);
    for (size_t i = (size_t)end * channels; i < (size_t)step->kernel * channels; i++)
        to[i] = 0;
    return to + (size_t)step->kernel * channels;
}

static void gather_window(const struct convnet_plan *plan, const struct convnet_step *step, int row,
                          float *to)
{
    const struct convnet_tensor *input = &plan->tensors[step->input];
    int places = plan->tensors[step->output].rows, image = row / places, place = row % places;
    int top = place / step->output_width * step->stride - step->padding;
    int left = place % step->output_width * step->stride - step->padding;
    for (int y = top; y < top + step->kernel; y++) {
        if (y >= 0 && y < step->height) {
            const float *line = convnet_row(plan, step->input, image * input->rows + y * step->width);
            to = gather_line(input, step, line, left, to);
        } else {
            size_t values = (size_t)(step->kernel * input->columns);
            memset(to, 0, values * sizeof *to);
            to += values;
        }
    }
}

static void gather_rows(const struct convnet_plan *plan, const struct convnet_step *step, int first, int end,
                        char *scratch)
{
    for (int row = first; row < end; row++, scratch += convnet_row_stride(step->depth))
        if (step->gate >= 0)
            plan->device->conv->multiply(convnet_row(plan, step->input, row),
                                         convnet_row(plan, step->gate, row / step->rows), step->depth,
                                         (float *)scratch);
        else
            gather_window(plan, step, row, (float *)scratch);
}

static int first_row(const struct product *product, int tile)
{
    return product->first + (int)((int64_t)product->rows * tile / product->tiles);
}

static void finish_tile(const struct product *product, int row, int rows, int panel, const float *sums)
{
    const struct convnet_plan *plan = product->run->plan;
    const struct convnet_step *step = product->step;
    const struct gemm_weights *weights = &step->weights;
    int columns = weights->kernel->panel_columns, first = panel * columns;
    struct conv_finish finish = {
        .rows = rows,
        .columns = weights->n - first < columns ? weights->n - first : columns,
        .tile = sums,
        .tile_stride = columns,
        .bias = weights->bias + first,
        .activation = step->activation,
        .out = convnet_row(plan, step->output, row) + first,
        .out_stride = plan->tensors[step->output].row_stride,
    };
    if (step->residual >= 0) {
        finish.residual = convnet_row(plan, step->residual, row) + first;
        finish.residual_stride = plan->tensors[step->residual].row_stride;
    }
    plan->device->conv->finish(&finish);
}

// A panel of weights; times the gate where the rows lie as they are.
static const char *panel_of(const struct product *product, int panel, char *scratch)
{
    const struct convnet_plan *plan = product->run->plan;
    const struct convnet_step *step = product->step;
    const struct gemm_weights *weights = &step->weights;
    const char *w = (const char *)weights->data + (size_t)panel * weights->panel_size;
    if (step->gate < 0 || !step->direct)
        return w;
    plan->device->conv->scale_rows((const float *)w,
                                   convnet_row(plan, step->gate, product->first / step->rows), weights->k,
                                   weights->kernel->panel_columns, (float *)scratch);
    return scratch;
}

// One panel of weights, which lie at w, against tiles begin..end of rows, which lie at a.
static void run_panel(const struct product *product, int panel, int begin, int end, const char *w,
                      const char *a, size_t a_stride)
{
    const struct gemm_weights *weights = &product->step->weights;
    const struct gemm_kernel *kernel = weights->kernel;
    int next_panel = panel + 1 < weights->panels ? panel + 1 : panel;
    _Alignas(ALIGNMENT) float sums[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    size_t tiles = (size_t)(end - begin), steps = tiles * (size_t)weights->k;
    const char *next = (const char *)weights->data + (size_t)next_panel * weights->panel_size;
    struct gemm_ahead ahead = {next, (weights->panel_size + steps - 1) / steps};
    for (int tile = begin; tile < end; tile++) {
        int row = first_row(product, tile), rows = first_row(product, tile + 1) - row;
        kernel->cores[rows](a, a_stride, w, weights->k, sums, kernel->panel_columns, ahead);
        ahead.at = (const char *)ahead.at + weights->panel_size / tiles;
        finish_tile(product, row, rows, panel, sums);
        a += (size_t)rows * a_stride;
    }
}

static void product_unit(void *context, int unit, int thread)
{
    struct product *product = context;
    const struct convnet_plan *plan = product->run->plan;
    const struct convnet_step *step = product->step;
    int block = unit / product->groups, group = unit % product->groups, panels = step->weights.panels;
    int begin = (int)((int64_t)product->tiles * block / product->blocks);
    int end = (int)((int64_t)product->tiles * (block + 1) / product->blocks);
    char *scratch = plan->memory + plan->scratch_offset + (size_t)thread * plan->scratch_size;
    const char *a = scratch;
    size_t a_stride = convnet_row_stride(step->depth);
    if (step->direct) {
        a = (const char *)convnet_row(plan, step->input, first_row(product, begin));
        a_stride = plan->tensors[step->input].row_stride;
    } else {
        if (product->held[thread] != block)
            gather_rows(plan, step, first_row(product, begin), first_row(product, end), scratch);
        product->held[thread] = block;
    }
    for (int panel = panels * group / product->groups; panel < panels * (group + 1) / product->groups;
         panel++)
        run_panel(product, panel, begin, end, panel_of(product, panel, scratch), a, a_stride);
}

// Rows are spread evenly over tiles, tiles over blocks, so that no tile is nearly empty. Where that gives
// too few units, threads share a block's panels.
static void run_rows(const struct convnet_run *run, const struct convnet_step *step, int first, int rows)
{
    const struct convnet_plan *plan = run->plan;
    const struct gemm_kernel *kernel = plan->device->kernels.gemm[PRECISION_FP32];
    int threads = team_threads(plan->device->team), most = convnet_block_tiles(kernel, step);
    struct product product = {.run = run, .step = step, .first = first, .rows = rows, .groups = 1};
    for (int i = 0; i < threads; i++)
        product.held[i] = -1;
    product.tiles = (product.rows + kernel->tile_rows - 1) / kernel->tile_rows;
    product.blocks = (product.tiles + most - 1) / most;
    if (threads > 1 && product.blocks < UNITS_PER_THREAD * threads)
        product.groups = (UNITS_PER_THREAD * threads + product.blocks - 1) / product.blocks;
    if (product.groups > step->weights.panels)
        product.groups = step->weights.panels;
    team_run(plan->device->team, product_unit, &product, product.blocks * product.groups);
}

static void run_tiles(const struct convnet_run *run, const struct convnet_step *step)
{
    const struct convnet_plan *plan = run->plan;
    struct winograd_product product = {
        .device = plan->device,
        .weights = &step->weights,
        .point_size = step->point_size,
        .size = WINOGRAD_TILE,
        .part_depth = step->depth,
        .images = run->images,
        .height = step->height,
        .width = step->width,
        .in = convnet_row(plan, step->input, 0),
        .in_stride = plan->tensors[step->input].row_stride,
        .out = convnet_row(plan, step->output, 0),
        .out_stride = plan->tensors[step->output].row_stride,
        .activation = step->activation,
        .block = convnet_block_tiles(step->weights.kernel, step) * step->weights.kernel->tile_rows,
        .scratch = plan->memory + plan->scratch_offset,
        .scratch_size = plan->scratch_size,
    };
    if (step->residual >= 0) {
        product.residual = convnet_row(plan, step->residual, 0);
        product.residual_stride = plan->tensors[step->residual].row_stride;
    }
    winograd_run(&product);
}

void convnet_run_product(const struct convnet_run *run, const struct convnet_step *step)
{
    if (step->winograd) {
        run_tiles(run, step);
        return;
    }
    int parts = step->gate >= 0 && step->direct ? run->images : 1, rows = run->images / parts * step->rows;
    for (int part = 0; part < parts; part++)
        run_rows(run, step, part * rows, rows);
}
