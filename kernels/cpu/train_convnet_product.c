// train_convnet_product.c: a convolution's product forward, and that of its input's gradient. See
// train_convnet.h.
//
// Both are the same product over windows. The gradient's windows lie in dy; where the stride is s, places of
// the input that differ by s see the same taps of the filter, so they make s * s products, each with its part
// of the filter.
#include <string.h>

#include "kernels/cpu/train_convnet_windows.h"

enum { PART_DEPTH = 192, BLOCK_VALUES = 1 << 17, BLOCK_MAX_ROWS = 96 };

struct convnet_filter train_convnet_filter(const struct train_convnet *training, int index)
{
    const struct operation *operation = convnet_operation(training, index);
    struct tensor input = convnet_shape(training, operation->input);
    struct tensor output = convnet_shape(training, operation->output);
    struct convnet_filter filter = {.height = 1,
                                    .width = input.rows,
                                    .channels = input.columns,
                                    .output_height = 1,
                                    .output_width = output.rows,
                                    .outputs = output.columns,
                                    .kernel = 1,
                                    .stride = 1};
    if (operation->kind == OP_CONVOLUTION) {
        filter.height = operation->height;
        filter.width = operation->width;
        filter.kernel = operation->kernel_height;
        filter.stride = operation->stride;
        filter.padding = operation->padding;
        filter.output_height = operation->output_height;
        filter.output_width = operation->output_width;
    }
    return filter;
}

// The result of a window goes to place (i * out_step + out_y, j * out_step + out_x) of the map, (i, j) its
// place in the grid.
struct window_product {
    const struct train_convnet *training;
    struct convnet_windows windows;
    const float *bias;
    float *out;
    bool adds;
    int images;
    int out_height, out_width, out_columns, out_step, out_y, out_x;
    int depth, part_depth;
    int tiles, block_tiles;
    // Of packing
    const float *weight; // (outputs, channels, kernel, kernel)
    const struct convnet_filter *filter;
    bool backward;
};

static int divide_down(int a, int b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

// Of input places that are `phase` more than a multiple of the stride.
static struct taps taps_backward(const struct convnet_filter *filter, int phase)
{
    int stride = filter->stride, least = (phase + filter->padding) % stride;
    int count = least < filter->kernel ? (filter->kernel - least + stride - 1) / stride : 0;
    int greatest = least + (count - 1) * stride;
    return (struct taps){divide_down(phase + filter->padding - greatest, stride), count, greatest, -stride};
}

static int panel_count(const struct window_product *p)
{
    int columns = p->training->kernel->panel_columns;
    return (p->out_columns + columns - 1) / columns;
}

// Bytes of a panel: the kernel's groups of values, whole.
static size_t panel_size(const struct gemm_kernel *kernel, int depth)
{
    size_t steps = (size_t)(depth + kernel->group - 1) / (size_t)kernel->group;
    return steps * (size_t)(kernel->group * kernel->panel_columns * kernel->element_size);
}

// One line of a panel: some outputs' values at step k of the depth.
static void pack_values(const struct train_convnet *training, const float *values, int k, char *panel)
{
    int columns = training->kernel->panel_columns;
    if (!training->half) {
        memcpy(panel + (size_t)(k * columns) * sizeof *values, values, (size_t)columns * sizeof *values);
        return;
    }
    uint16_t halves[GEMM_MAX_PANEL_COLUMNS], *to = (uint16_t *)panel + k / 2 * 2 * columns + k % 2;
    training->half->to_bf16(values, columns, halves);
    for (int i = 0; i < columns; i++)
        to[2 * i] = halves[i];
}

static void pack_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct window_product *p = context;
    const struct convnet_filter *filter = p->filter;
    const struct gemm_kernel *kernel = p->training->kernel;
    int columns = kernel->panel_columns, first = unit * columns;
    int count = p->out_columns - first < columns ? p->out_columns - first : columns;
    size_t area = (size_t)filter->kernel * (size_t)filter->kernel;
    size_t output_stride = area * (size_t)filter->channels;
    size_t column_stride = p->backward ? area : output_stride, in_stride = p->backward ? output_stride : area;
    char *panel = (char *)p->training->panels + (size_t)unit * panel_size(kernel, p->depth);
    const float *weight = p->weight + (size_t)first * column_stride;
    const struct taps *ys = &p->windows.y, *xs = &p->windows.x;
    if (p->depth % kernel->group) // what the last values share their group with
        memset(panel, 0, panel_size(kernel, p->depth));
    for (int in = 0; in < p->windows.columns; in++)
        for (int y = 0; y < ys->count; y++)
            for (int x = 0; x < xs->count; x++) {
                int tap = (ys->tap + y * ys->tap_step) * filter->kernel + xs->tap + x * xs->tap_step;
                const float *from = weight + (size_t)in * in_stride + tap;
                float values[GEMM_MAX_PANEL_COLUMNS];
                for (int i = 0; i < columns; i++)
                    values[i] = i < count ? from[(size_t)i * column_stride] : 0;
                pack_values(p->training, values, (y * xs->count + x) * p->windows.columns + in, panel);
            }
}

static float *out_row(const struct window_product *p, int row)
{
    int across = p->windows.grid_width, places = p->windows.grid_height * across;
    int image = row / places, place = row % places;
    int y = place / across * p->out_step + p->out_y, x = place % across * p->out_step + p->out_x;
    return p->out + (((size_t)image * (size_t)p->out_height + (size_t)y) * (size_t)p->out_width + (size_t)x) *
                        (size_t)p->out_columns;
}

// Rows of the grid follow one another in the map, or are finished one by one.
static void finish(const struct window_product *p, int row, int rows, int panel, const float *sums)
{
    int columns = p->training->kernel->panel_columns, first = panel * columns;
    int together = p->out_step == 1 ? rows : 1;
    struct conv_finish end = {
        .rows = together,
        .columns = p->out_columns - first < columns ? p->out_columns - first : columns,
        .tile = sums,
        .tile_stride = columns,
        .bias = p->bias + first,
        .out_stride = (size_t)p->out_columns * sizeof(float),
        .residual_stride = (size_t)p->out_columns * sizeof(float),
    };
    for (int i = 0; i < rows; i += together) {
        end.tile = sums + (size_t)i * (size_t)columns;
        end.out = out_row(p, row + i) + first;
        end.residual = p->adds ? end.out : NULL;
        p->training->cpu.device->conv->finish(&end);
    }
}

static int first_row(const struct window_product *p, int tile)
{
    int64_t rows = (int64_t)p->images * p->windows.grid_height * p->windows.grid_width;
    return (int)(rows * tile / p->tiles);
}

// The sums of a tile, part by part of the depth: an error of rounding grows with what has been added up, and
// one that turns a ReLU's sign is felt in all gradients before it.
static void sum_tile(const struct window_product *p, const char *a, const char *w, int rows,
                     struct gemm_ahead ahead, float *sums)
{
    const struct gemm_kernel *kernel = p->training->kernel;
    int parts = (p->depth + p->part_depth - 1) / p->part_depth;
    size_t value = (size_t)kernel->element_size,
           step = (size_t)(kernel->panel_columns * kernel->element_size);
    _Alignas(64) float part[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    for (int i = 0; i < parts; i++) {
        int from = (int)((int64_t)p->depth * i / parts), to = (int)((int64_t)p->depth * (i + 1) / parts);
        kernel->cores[rows](a + (size_t)from * value, (size_t)p->depth * value, w + (size_t)from * step,
                            to - from, i ? part : sums, kernel->panel_columns, ahead);
        ahead.at = (const char *)ahead.at + (size_t)(to - from) * ahead.step;
        if (i)
            p->training->ops->add(sums, part, rows * kernel->panel_columns, sums);
    }
}

static void product_unit(void *context, int unit, int thread)
{
    const struct window_product *p = context;
    const struct gemm_kernel *kernel = p->training->kernel;
    int begin = unit * p->block_tiles, end = begin + p->block_tiles;
    end = end < p->tiles ? end : p->tiles;
    int first = first_row(p, begin), panels = panel_count(p);
    size_t depth = (size_t)p->depth, row_size = depth * (size_t)kernel->element_size;
    size_t size = panel_size(kernel, p->depth), steps = depth * (size_t)(end - begin);
    const char *a = (const char *)(p->windows.in + (size_t)first * depth);
    if (p->training->half || !windows_lie(&p->windows)) {
        char *scratch = (char *)(p->training->scratch + (size_t)thread * p->training->scratch_size);
        windows_gather(&p->windows, p->training->half, first, first_row(p, end), scratch);
        a = scratch;
    }
    _Alignas(64) float sums[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    for (int panel = 0; panel < panels; panel++) {
        const char *w = (const char *)p->training->panels + (size_t)panel * size;
        struct gemm_ahead ahead = {panel + 1 < panels ? w + size : w, (size + steps - 1) / steps};
        for (int tile = begin; tile < end; tile++) {
            int row = first_row(p, tile), rows = first_row(p, tile + 1) - row;
            sum_tile(p, a + (size_t)(row - first) * row_size, w, rows, ahead, sums);
            ahead.at = (const char *)ahead.at + size / (size_t)(end - begin);
            finish(p, row, rows, panel, sums);
        }
    }
}

static int block_tiles_of(const struct gemm_kernel *kernel, int depth)
{
    int rows = BLOCK_VALUES / depth < BLOCK_MAX_ROWS ? BLOCK_VALUES / depth : BLOCK_MAX_ROWS;
    return rows < kernel->tile_rows ? 1 : rows / kernel->tile_rows;
}

static void run_product(struct window_product *p)
{
    struct cpu_device *device = p->training->cpu.device;
    const struct gemm_kernel *kernel = p->training->kernel;
    int rows = p->images * p->windows.grid_height * p->windows.grid_width;
    p->depth = windows_depth(&p->windows);
    p->part_depth = p->training->half ? p->depth : PART_DEPTH; // operands of 8 bits have errors of their own
    p->tiles = (rows + kernel->tile_rows - 1) / kernel->tile_rows;
    p->block_tiles = block_tiles_of(kernel, p->depth);
    train_run(device, pack_unit, p, panel_count(p));
    train_run(device, product_unit, p, (p->tiles + p->block_tiles - 1) / p->block_tiles);
}

void train_convnet_product(const struct convnet_batch *batch, int index)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct convnet_filter filter = train_convnet_filter(training, index);
    if (train_convnet_uses_winograd(&filter)) {
        train_convnet_winograd(batch, index, &filter);
        return;
    }
    run_product(&(struct window_product){
        .training = training,
        .windows = windows_forward(&filter, training->values[operation->input]),
        .bias = operation->bias < 0 ? training->zeros : convnet_parameter(training, operation->bias),
        .out = training->values[operation->output],
        .images = batch->images,
        .out_height = filter.output_height,
        .out_width = filter.output_width,
        .out_columns = filter.outputs,
        .out_step = 1,
        .weight = convnet_parameter(training, operation->weight),
        .filter = &filter,
    });
}

// One product for each way in which places of the input lie in the stride.
static void input_gradient(const struct convnet_batch *batch, const struct gradient_step *step,
                           const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, step->operation);
    int stride = filter->stride;
    struct window_product p = {
        .training = training,
        .windows = {.in = training->slopes[operation->output],
                    .height = filter->output_height,
                    .width = filter->output_width,
                    .columns = filter->outputs,
                    .step = 1},
        .bias = training->zeros,
        .out = training->slopes[operation->input],
        .adds = step->input == GRADIENT_ADD,
        .images = batch->images,
        .out_height = filter->height,
        .out_width = filter->width,
        .out_columns = filter->channels,
        .out_step = stride,
        .weight = convnet_parameter(training, operation->weight),
        .filter = filter,
        .backward = true,
    };
    if (filter->kernel < stride && !p.adds) // no window has the places between
        memset(p.out, 0, (size_t)batch->images * convnet_size(training, operation->input) * sizeof *p.out);
    for (p.out_y = 0; p.out_y < stride; p.out_y++)
        for (p.out_x = 0; p.out_x < stride; p.out_x++) {
            struct convnet_windows *w = &p.windows;
            w->y = taps_backward(filter, p.out_y);
            w->x = taps_backward(filter, p.out_x);
            w->grid_height = (filter->height - p.out_y + stride - 1) / stride;
            w->grid_width = (filter->width - p.out_x + stride - 1) / stride;
            if (w->y.count > 0 && w->x.count > 0 && w->grid_height > 0 && w->grid_width > 0)
                run_product(&p);
        }
}

static void bias_gradient(const struct convnet_batch *batch, int index)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct tensor shape = convnet_shape(training, operation->output);
    const float *dy = training->slopes[operation->output];
    float *gradient = convnet_gradient(training, operation->bias);
    for (int n = 0; n < shape.columns; n++) {
        double sum = 0;
        for (int row = 0; row < batch->images * shape.rows; row++)
            sum += dy[(size_t)row * (size_t)shape.columns + (size_t)n];
        gradient[n] += (float)sum;
    }
}

static void parameter_gradients(const struct convnet_batch *batch, int index)
{
    struct convnet_filter filter = train_convnet_filter(batch->training, index);
    train_convnet_weight_gradient(batch, index, &filter);
    if (convnet_operation(batch->training, index)->bias >= 0)
        bias_gradient(batch, index);
}

void train_convnet_product_backward(const struct convnet_batch *batch, const struct gradient_step *step)
{
    struct convnet_filter filter = train_convnet_filter(batch->training, step->operation);
    if (step->parameters)
        train_convnet_halves(batch, step->operation, parameter_gradients);
    if (step->input != GRADIENT_NONE && train_convnet_uses_winograd(&filter))
        train_convnet_winograd_input_gradient(batch, step, &filter);
    else if (step->input != GRADIENT_NONE)
        input_gradient(batch, step, &filter);
}

static void raise(size_t *need, size_t value)
{
    *need = value > *need ? value : *need;
}

void train_convnet_product_need(const struct train_convnet *training, int index, struct convnet_need *need)
{
    struct convnet_filter filter = train_convnet_filter(training, index);
    const struct gemm_kernel *kernel = training->kernel;
    size_t area = (size_t)filter.kernel * (size_t)filter.kernel, columns = (size_t)kernel->panel_columns;
    size_t outputs = (size_t)filter.outputs, channels = (size_t)filter.channels;
    int forward = filter.kernel * filter.kernel * filter.channels;
    int backward = filter.kernel * filter.kernel * filter.outputs;
    if (convnet_operation(training, index)->groups > 1 && channels > 1) { // depthwise: only its taps
        raise(&need->panels, area * channels);
        raise(&need->sums, area * channels);
        return;
    }
    if (train_convnet_uses_winograd(&filter)) {
        train_convnet_winograd_need(training, &filter, need);
        return;
    }
    // Room for both precisions: an odd depth's last group
    raise(&need->panels, (area * channels + 1) * (outputs + columns));
    raise(&need->panels, (area * outputs + 1) * (channels + columns));
    raise(&need->sums, area * outputs * channels);
    // A phase of the stride has fewer taps, and more rows in its block.
    raise(&need->scratch, BLOCK_VALUES);
    raise(&need->scratch, (size_t)(forward > backward ? forward : backward) * (size_t)kernel->tile_rows);
    train_convnet_weight_need(training, &filter, need);
}
