// train_convnet_product.c: a convolution's product forward, and that of its input's gradient. See
// train_convnet.h.
//
// Both are the same product over windows. The gradient's windows lie in dy; where the stride is s, places of
// the input that differ by s see the same taps of the filter, so they make s * s products, each with its part
// of the filter.
#include <string.h>

#include "kernels/cpu/train_convnet.h"

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

// Taps of one direction that a phase of the product uses: window line i * step + first + j takes tap
// tap + j * tap_step, j < count.
struct taps {
    int first, count, tap, tap_step;
};

// A product over windows of `in`: the row of place (i, j) of the grid is the window's values, line by line;
// its result goes to place (i * out_step + out_y, j * out_step + out_x) of the map.
struct window_product {
    const struct train_convnet *training;
    const float *in, *bias;
    float *out;
    bool adds;
    int images, grid_height, grid_width;
    int in_height, in_width, in_columns, step;
    int out_height, out_width, out_columns, out_step, out_y, out_x;
    struct taps y, x;
    int depth; // y.count * x.count * in_columns
    int tiles, block_tiles;
    bool direct; // rows lie as they are
    // Of packing
    const float *weight; // (outputs, channels, kernel, kernel)
    const struct convnet_filter *filter;
    bool backward;
};

static int divide_down(int a, int b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static struct taps taps_forward(const struct convnet_filter *filter)
{
    return (struct taps){-filter->padding, filter->kernel, 0, 1};
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

// Panel values for one tap and one column of the window: of all outputs.
static void pack_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct window_product *p = context;
    const struct convnet_filter *filter = p->filter;
    int columns = p->training->kernel->panel_columns, first = unit * columns;
    int count = p->out_columns - first < columns ? p->out_columns - first : columns;
    size_t area = (size_t)filter->kernel * (size_t)filter->kernel;
    size_t output_stride = area * (size_t)filter->channels;
    size_t column_stride = p->backward ? area : output_stride, in_stride = p->backward ? output_stride : area;
    float *panel = p->training->panels + (size_t)unit * (size_t)columns * (size_t)p->depth;
    const float *weight = p->weight + (size_t)first * column_stride;
    for (int in = 0; in < p->in_columns; in++)
        for (int y = 0; y < p->y.count; y++)
            for (int x = 0; x < p->x.count; x++) {
                int tap = (p->y.tap + y * p->y.tap_step) * filter->kernel + p->x.tap + x * p->x.tap_step;
                const float *from = weight + (size_t)in * in_stride + tap;
                float *to = panel + ((size_t)(y * p->x.count + x) * (size_t)p->in_columns + (size_t)in) *
                                        (size_t)columns;
                for (int i = 0; i < columns; i++)
                    to[i] = i < count ? from[(size_t)i * column_stride] : 0;
            }
}

static void gather_window(const struct window_product *p, int row, float *to)
{
    int places = p->grid_height * p->grid_width, image = row / places, place = row % places;
    int top = place / p->grid_width * p->step + p->y.first;
    int left = place % p->grid_width * p->step + p->x.first;
    size_t width = (size_t)p->in_columns;
    int begin = left < 0 ? -left : 0, end = p->in_width - left < p->x.count ? p->in_width - left : p->x.count;
    begin = begin < p->x.count ? begin : p->x.count;
    end = end > begin ? end : begin;
    for (int y = top; y < top + p->y.count; y++, to += (size_t)p->x.count * width) {
        if (y < 0 || y >= p->in_height) {
            memset(to, 0, (size_t)p->x.count * width * sizeof *to);
            continue;
        }
        const float *from =
            p->in + ((size_t)image * (size_t)p->in_height + (size_t)y) * (size_t)p->in_width * width;
        memset(to, 0, (size_t)begin * width * sizeof *to);
        memcpy(to + (size_t)begin * width, from + ((ptrdiff_t)left + begin) * (ptrdiff_t)width,
               (size_t)(end - begin) * width * sizeof *to);
        memset(to + (size_t)end * width, 0, (size_t)(p->x.count - end) * width * sizeof *to);
    }
}

static float *out_row(const struct window_product *p, int row)
{
    int places = p->grid_height * p->grid_width, image = row / places, place = row % places;
    int y = place / p->grid_width * p->out_step + p->out_y;
    int x = place % p->grid_width * p->out_step + p->out_x;
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
    int64_t rows = (int64_t)p->images * p->grid_height * p->grid_width;
    return (int)(rows * tile / p->tiles);
}

// The sums of a tile, part by part of the depth: an error of rounding grows with what has been added up, and
// one that turns a ReLU's sign is felt in all gradients before it.
static void sum_tile(const struct window_product *p, const float *a, const float *w, int rows,
                     struct gemm_ahead ahead, float *sums)
{
    const struct gemm_kernel *kernel = p->training->kernel;
    int parts = (p->depth + PART_DEPTH - 1) / PART_DEPTH;
    _Alignas(64) float part[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    for (int i = 0; i < parts; i++) {
        int from = (int)((int64_t)p->depth * i / parts), to = (int)((int64_t)p->depth * (i + 1) / parts);
        kernel->cores[rows](a + from, (size_t)p->depth * sizeof *a,
                            w + (size_t)from * (size_t)kernel->panel_columns, to - from, i ? part : sums,
                            kernel->panel_columns, ahead);
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
    int first = first_row(p, begin), last = first_row(p, end), panels = panel_count(p);
    size_t depth = (size_t)p->depth, panel_values = depth * (size_t)kernel->panel_columns;
    const float *a = p->in + (size_t)first * depth;
    if (!p->direct) {
        float *scratch = p->training->scratch + (size_t)thread * p->training->scratch_size;
        for (int row = first; row < last; row++)
            gather_window(p, row, scratch + (size_t)(row - first) * depth);
        a = scratch;
    }
    _Alignas(64) float sums[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    for (int panel = 0; panel < panels; panel++) {
        const float *w = p->training->panels + (size_t)panel * panel_values;
        size_t steps = depth * (size_t)(end - begin), size = panel_values * sizeof *w;
        struct gemm_ahead ahead = {panel + 1 < panels ? w + panel_values : w, (size + steps - 1) / steps};
        for (int tile = begin; tile < end; tile++) {
            int row = first_row(p, tile), rows = first_row(p, tile + 1) - row;
            sum_tile(p, a + (size_t)(row - first) * depth, w, rows, ahead, sums);
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
    int rows = p->images * p->grid_height * p->grid_width;
    p->depth = p->y.count * p->x.count * p->in_columns;
    p->direct = p->depth == p->in_columns && p->step == 1 && p->y.first == 0 && p->x.first == 0 &&
                p->grid_height == p->in_height && p->grid_width == p->in_width;
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
        .in = training->values[operation->input],
        .bias = operation->bias < 0 ? training->zeros : convnet_parameter(training, operation->bias),
        .out = training->values[operation->output],
        .images = batch->images,
        .grid_height = filter.output_height,
        .grid_width = filter.output_width,
        .in_height = filter.height,
        .in_width = filter.width,
        .in_columns = filter.channels,
        .step = filter.stride,
        .out_height = filter.output_height,
        .out_width = filter.output_width,
        .out_columns = filter.outputs,
        .out_step = 1,
        .y = taps_forward(&filter),
        .x = taps_forward(&filter),
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
        .in = training->slopes[operation->output],
        .bias = training->zeros,
        .out = training->slopes[operation->input],
        .adds = step->input == GRADIENT_ADD,
        .images = batch->images,
        .in_height = filter->output_height,
        .in_width = filter->output_width,
        .in_columns = filter->outputs,
        .step = 1,
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
            p.y = taps_backward(filter, p.out_y);
            p.x = taps_backward(filter, p.out_x);
            p.grid_height = (filter->height - p.out_y + stride - 1) / stride;
            p.grid_width = (filter->width - p.out_x + stride - 1) / stride;
            if (p.y.count > 0 && p.x.count > 0 && p.grid_height > 0 && p.grid_width > 0)
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

void train_convnet_product_backward(const struct convnet_batch *batch, const struct gradient_step *step)
{
    struct convnet_filter filter = train_convnet_filter(batch->training, step->operation);
    if (step->parameters) {
        train_convnet_weight_gradient(batch, step->operation, &filter);
        if (convnet_operation(batch->training, step->operation)->bias >= 0)
            bias_gradient(batch, step->operation);
    }
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
    raise(&need->panels, area * channels * (outputs + columns));
    raise(&need->panels, area * outputs * (channels + columns));
    raise(&need->sums, area * outputs * channels);
    // A phase of the stride has fewer taps, and more rows in its block.
    raise(&need->scratch, BLOCK_VALUES);
    raise(&need->scratch, (size_t)(forward > backward ? forward : backward) * (size_t)kernel->tile_rows);
    int height = convnet_padded_side(&filter, filter.height, filter.output_height);
    int width = convnet_padded_side(&filter, filter.width, filter.output_width);
    if (height > filter.height || width > filter.width)
        raise(&need->padded, (size_t)CONVNET_CHUNK * (size_t)height * (size_t)width * channels);
}
