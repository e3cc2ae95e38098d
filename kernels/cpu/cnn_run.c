// cnn_run.c: runs the steps of a plan for one chunk of images. Nothing here allocates, decides or fails.
#include <assert.h>
#include <string.h>

#include "kernels/cpu/cnn.h"
#include "kernels/cpu/plain.h"

enum { ALIGNMENT = 64, UNITS_PER_THREAD = 4 };

struct run {
    const struct cnn_plan *plan;
    const uint8_t *const *views;
    int images;
};

struct step_run {
    const struct run *run;
    const struct cnn_step *step;
};

// A product of the rows of all images, divided into units of a block of tiles of rows by a group of panels.
struct product {
    const struct run *run;
    const struct cnn_step *step;
    int rows, tiles, blocks, groups;
    int held[TEAM_MAX_THREADS]; // the block whose windows lie in a thread's scratch; -1: none
};

// Row counted through the images of the chunk.
static float *row_of(const struct cnn_plan *plan, int tensor, int row)
{
    const struct cnn_tensor *t = &plan->tensors[tensor];
    return (float *)(plan->memory + plan->slot_offsets[t->slot] + (size_t)row * t->row_stride);
}

// One row of pixels of one image.
static void normalise_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct cnn_plan *plan = step_run->run->plan;
    int height = step_run->step->height, width = step_run->step->width;
    const uint8_t *bytes = step_run->run->views[unit / height] + (size_t)(unit % height * width) * 3;
    float *out = row_of(plan, step_run->step->output, unit * width);
    for (int i = 0; i < width; i++)
        for (int channel = 0; channel < 3; channel++)
            out[3 * i + channel] = plan->table[256 * channel + bytes[3 * i + channel]];
}

static void run_normalise(const struct run *run, const struct cnn_step *step)
{
    struct step_run context = {run, step};
    team_run(run->plan->cnn->team, normalise_unit, &context, run->images * step->height);
}

// The places of one row of a window, zero in the padding.
static float *gather_line(const struct cnn_tensor *input, const struct cnn_step *step, const float *line,
                          int left, float *to)
{
    size_t channels = (size_t)input->columns;
    int before = left < 0 ? -left : 0, end = step->width - left;
    end = end < step->kernel ? end : step->kernel;
    before = before < step->kernel ? before : step->kernel;
    end = end > before ? end : before;
    memset(to, 0, (size_t)before * channels * sizeof *to);
    const char *from = (const char *)line + (ptrdiff_t)(left + before) * (ptrdiff_t)input->row_stride;
    if (input->row_stride == channels * sizeof *to)
        memcpy(to + (size_t)before * channels, from, (size_t)(end - before) * channels * sizeof *to);
    else
        for (int i = before; i < end; i++, from += input->row_stride)
            memcpy(to + (size_t)i * channels, from, channels * sizeof *to);
    memset(to + (size_t)end * channels, 0, (size_t)(step->kernel - end) * channels * sizeof *to);
    return to + (size_t)step->kernel * channels;
}

static void gather_window(const struct cnn_plan *plan, const struct cnn_step *step, int row, float *to)
{
    const struct cnn_tensor *input = &plan->tensors[step->input];
    int places = plan->tensors[step->output].rows, image = row / places, place = row % places;
    int top = place / step->output_width * step->stride - step->padding;
    int left = place % step->output_width * step->stride - step->padding;
    for (int y = top; y < top + step->kernel; y++) {
        if (y >= 0 && y < step->height) {
            const float *line = row_of(plan, step->input, image * input->rows + y * step->width);
            to = gather_line(input, step, line, left, to);
        } else {
            size_t values = (size_t)(step->kernel * input->columns);
            memset(to, 0, values * sizeof *to);
            to += values;
        }
    }
}

static void gather_rows(const struct cnn_plan *plan, const struct cnn_step *step, int first, int end,
                        char *scratch)
{
    for (int row = first; row < end; row++, scratch += cnn_row_stride(step->depth)) {
        if (step->gate >= 0)
            plan->cnn->ops->multiply(row_of(plan, step->input, row),
                                     row_of(plan, step->gate, row / plan->tensors[step->input].rows),
                                     step->depth, (float *)scratch);
        else
            gather_window(plan, step, row, (float *)scratch);
    }
}

static int first_row(const struct product *product, int tile)
{
    return (int)((int64_t)product->rows * tile / product->tiles);
}

static void finish_tile(const struct product *product, int row, int rows, int panel, const float *sums)
{
    const struct cnn_plan *plan = product->run->plan;
    const struct cnn_step *step = product->step;
    const struct gemm_weights *weights = &step->weights;
    int columns = weights->kernel->panel_columns, first = panel * columns;
    struct conv_finish finish = {
        .rows = rows,
        .columns = weights->n - first < columns ? weights->n - first : columns,
        .tile = sums,
        .tile_stride = columns,
        .bias = weights->bias + first,
        .activation = step->activation,
        .out = row_of(plan, step->output, row) + first,
        .out_stride = plan->tensors[step->output].row_stride,
    };
    if (step->residual >= 0) {
        finish.residual = row_of(plan, step->residual, row) + first;
        finish.residual_stride = plan->tensors[step->residual].row_stride;
    }
    plan->cnn->ops->finish(&finish);
}

// One panel of weights against tiles begin..end of rows, which lie at a.
static void run_panel(const struct product *product, int panel, int begin, int end, const char *a,
                      size_t a_stride)
{
    const struct gemm_weights *weights = &product->step->weights;
    const struct gemm_kernel *kernel = weights->kernel;
    const char *w = (const char *)weights->data + (size_t)panel * weights->panel_size;
    _Alignas(ALIGNMENT) float sums[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    size_t tiles = (size_t)(end - begin), steps = tiles * (size_t)weights->k;
    const char *next = panel + 1 < weights->panels ? w + weights->panel_size : w;
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
    const struct cnn_plan *plan = product->run->plan;
    const struct cnn_step *step = product->step;
    int block = unit / product->groups, group = unit % product->groups, panels = step->weights.panels;
    int begin = (int)((int64_t)product->tiles * block / product->blocks);
    int end = (int)((int64_t)product->tiles * (block + 1) / product->blocks);
    const char *a = (const char *)row_of(plan, step->input, first_row(product, begin));
    size_t a_stride = plan->tensors[step->input].row_stride;
    if (!step->direct) {
        char *scratch = plan->memory + plan->scratch_offset + (size_t)thread * plan->scratch_size;
        if (product->held[thread] != block)
            gather_rows(plan, step, first_row(product, begin), first_row(product, end), scratch);
        product->held[thread] = block;
        a = scratch;
        a_stride = cnn_row_stride(step->depth);
    }
    for (int panel = panels * group / product->groups; panel < panels * (group + 1) / product->groups;
         panel++)
        run_panel(product, panel, begin, end, a, a_stride);
}

// Rows are spread evenly over tiles, tiles over blocks, so that no tile is nearly empty. Where that gives
// too few units, threads share a block's panels.
static void run_product(const struct run *run, const struct cnn_step *step)
{
    const struct cnn_plan *plan = run->plan;
    const struct gemm_kernel *kernel = plan->cnn->gemm;
    int threads = team_threads(plan->cnn->team), most = cnn_block_tiles(kernel, step->depth);
    struct product product = {
        .run = run, .step = step, .rows = run->images * plan->tensors[step->output].rows, .groups = 1};
    for (int i = 0; i < threads; i++)
        product.held[i] = -1;
    product.tiles = (product.rows + kernel->tile_rows - 1) / kernel->tile_rows;
    product.blocks = (product.tiles + most - 1) / most;
    if (threads > 1 && product.blocks < UNITS_PER_THREAD * threads)
        product.groups = (UNITS_PER_THREAD * threads + product.blocks - 1) / product.blocks;
    if (product.groups > step->weights.panels)
        product.groups = step->weights.panels;
    team_run(plan->cnn->team, product_unit, &product, product.blocks * product.groups);
}

// One row of places of one image.
static void window_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct cnn_plan *plan = step_run->run->plan;
    const struct cnn_step *step = step_run->step;
    const struct cnn_tensor *input = &plan->tensors[step->input], *output = &plan->tensors[step->output];
    int lines = output->rows / step->output_width, image = unit / lines;
    struct conv_window window = {
        .in = row_of(plan, step->input, image * input->rows),
        .in_stride = input->row_stride,
        .height = step->height,
        .width = step->width,
        .channels = output->columns,
        .kernel = step->kernel,
        .stride = step->stride,
        .padding = step->padding,
        .y = unit % lines,
        .places = step->output_width,
        .out = row_of(plan, step->output, unit * step->output_width),
        .out_stride = output->row_stride,
        .weight = step->filter,
        .weight_stride = step->filter_stride,
        .bias = step->bias,
        .activation = step->activation,
        .sums = step->sums < 0 ? NULL : row_of(plan, step->sums, unit),
    };
    if (step->kind == CNN_DEPTHWISE)
        plan->cnn->ops->depthwise(&window);
    else
        plan->cnn->ops->max_pool(&window);
}

static void run_windows(const struct run *run, const struct cnn_step *step)
{
    struct step_run context = {run, step};
    int lines = run->plan->tensors[step->output].rows / step->output_width;
    team_run(run->plan->cnn->team, window_unit, &context, run->images * lines);
}

static void mean_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct cnn_plan *plan = step_run->run->plan;
    const struct cnn_step *step = step_run->step;
    const struct cnn_tensor *input = &plan->tensors[step->input];
    int places = plan->network->tensors[step->operation->input].rows;
    plan->cnn->ops->sum_rows(row_of(plan, step->input, image * input->rows), input->row_stride, input->rows,
                             input->columns, 1.0f / (float)places, row_of(plan, step->output, image));
}

static void run_mean(const struct run *run, const struct cnn_step *step)
{
    struct step_run context = {run, step};
    team_run(run->plan->cnn->team, mean_unit, &context, run->images);
}

static void map_image(const struct cnn_plan *plan, int image, const float *logits, float *map)
{
    const struct cnn_tensor *features = &plan->tensors[plan->feature_map];
    struct tensor one_place = {1, features->columns};
    for (int place = 0; place < features->rows; place++)
        plain_class_activation(row_of(plan, plan->feature_map, image * features->rows + place), one_place,
                               plan->map_weight, logits, plan->plan.classes, &map[place]);
}

void cnn_run_chunk(struct cnn_plan *plan, const uint8_t *const *views, int images, float *logits,
                   float *attention)
{
    static void (*const runs[CNN_STEP_KIND_COUNT])(const struct run *, const struct cnn_step *) = {
        [CNN_NORMALISE] = run_normalise, [CNN_PRODUCT] = run_product, [CNN_DEPTHWISE] = run_windows,
        [CNN_MAX_POOL] = run_windows,    [CNN_MEAN] = run_mean,
    };
    assert(images >= 1 && images <= plan->chunk);
    struct run run = {plan, views, images};
    size_t classes = (size_t)plan->plan.classes;
    for (int i = 0; i < plan->step_count; i++)
        runs[plan->steps[i].kind](&run, &plan->steps[i]);
    for (int image = 0; image < images; image++) {
        float *own = logits + (size_t)image * classes;
        memcpy(own, row_of(plan, plan->network->logits, image), classes * sizeof *own);
        if (attention)
            map_image(plan, image, own, attention + image * plan->plan.map_height * plan->plan.map_width);
    }
}
