// train_convnet_winograd.c: convolutions of 3 x 3 with stride 1 by Winograd's algorithm: forward, the input's
// gradient (the same product with the filters turned round, over dy) and the filter's. See train_convnet.h.
//
// Forward has tiles of 2 x 2 in fp32: with tiles of 4 x 4 the error is 7 times that of plain sums, and where
// it turns a ReLU's sign all gradients before it feel it. Gradients have no such edge, and tiles of 4 x 4.
#include <string.h>

#include "kernels/cpu/train_convnet.h"
#include "kernels/cpu/winograd.h"

enum {
    LEAST_SIDE = 5,      // of a map: smaller ones would fill their tiles badly
    LEAST_CHANNELS = 16, // fewer don't pay for the transforms
    PART_DEPTH = 64,
    BLOCK_VALUES = 8192, // of a block's tiles at one point
    BLOCK_LEAST = 64,
    BLOCK_MOST = 96,
    PACK_DEPTH = 16,
    // Of the filter's gradient
    SIDE_CHANNELS = 64, // of inputs and of outputs that a unit has
    SLICE_TILES = 32,
    SLICE_POINT = SLICE_TILES * SIDE_CHANNELS + 16, // values from point to point
    UNITS_WANTED = 16,
    PART_LEAST_TILES = 64,
};

bool train_convnet_uses_winograd(const struct convnet_filter *filter)
{
    return filter->kernel == 3 && filter->stride == 1 && filter->padding == 1 &&
           filter->output_height == filter->height && filter->output_width == filter->width &&
           filter->height >= LEAST_SIDE && filter->width >= LEAST_SIDE &&
           filter->channels >= LEAST_CHANNELS && filter->outputs >= LEAST_CHANNELS;
}

// With bf16 operands elsewhere the greater error is still the least one.
static int forward_size(const struct train_convnet *training)
{
    return training->half ? WINOGRAD_TILE : 2;
}

// From point to point: no multiple of a page, where a filter's points would push each other out of the cache.
static size_t point_values(const struct gemm_kernel *kernel, int columns, int depth)
{
    size_t panels = ((size_t)columns + (size_t)kernel->panel_columns - 1) / (size_t)kernel->panel_columns;
    return panels * (size_t)kernel->panel_columns * (size_t)depth + 16;
}

static int block_tiles(int depth)
{
    int tiles = BLOCK_VALUES / depth;
    return tiles < BLOCK_LEAST ? BLOCK_LEAST : tiles < BLOCK_MOST ? tiles : BLOCK_MOST;
}

// Filters on their way into panels: panel[k][column] at each point.
struct filter_work {
    const struct train_convnet *training;
    const float *weight; // (outputs, channels, 3, 3)
    int channels, columns, depth;
    bool turned; // columns are inputs, depth outputs
    int size, slices;
    size_t panel_values, point_values;
};

// Some steps of the depth of one panel.
static void filter_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct filter_work *work = context;
    const struct train_convnet *training = work->training;
    const struct vector_ops *vector = training->cpu.device->kernels.ops;
    int width = training->tile_kernel->panel_columns, panel = unit / work->slices, first = panel * width;
    int count = work->columns - first < width ? work->columns - first : width;
    int k = unit % work->slices * PACK_DEPTH, left = work->depth - k;
    int steps = left < PACK_DEPTH ? left : PACK_DEPTH, filter_stride = 9 * work->channels;
    _Alignas(64) float taps[PACK_DEPTH * 9 * GEMM_MAX_PANEL_COLUMNS];
    if (count < width)
        memset(taps, 0, sizeof taps);
    if (!work->turned)
        vector->transpose((const uint32_t *)work->weight + (size_t)first * (size_t)filter_stride + 9 * k,
                          filter_stride, count, 9 * steps, (uint32_t *)taps, width);
    for (int i = 0; i < steps && work->turned; i++)
        vector->transpose((const uint32_t *)work->weight + (size_t)(k + i) * (size_t)filter_stride +
                              9 * first,
                          9, count, 9, (uint32_t *)taps + i * 9 * width, width);
    struct winograd_filters filters = {.size = work->size,
                                       .columns = width,
                                       .tap_stride = work->turned ? -width : width,
                                       .point_stride = work->point_values};
    for (int i = 0; i < steps; i++) {
        filters.taps = taps + (i * 9 + (work->turned ? 8 : 0)) * width;
        filters.points =
            training->panels + (size_t)panel * work->panel_values + (size_t)(k + i) * (size_t)width;
        training->ops->winograd_filters(&filters);
    }
}

// Filters into panels, then the product over `in`'s maps.
static void run_product(const struct convnet_batch *batch, struct filter_work *work,
                        struct winograd_product *product, const float *bias)
{
    struct train_convnet *training = batch->training;
    const struct gemm_kernel *kernel = training->tile_kernel;
    int panels = (work->columns + kernel->panel_columns - 1) / kernel->panel_columns;
    work->training = training;
    work->size = product->size;
    work->slices = (work->depth + PACK_DEPTH - 1) / PACK_DEPTH;
    work->panel_values = (size_t)work->depth * (size_t)kernel->panel_columns;
    work->point_values = point_values(kernel, work->columns, work->depth);
    train_run(training->cpu.device, filter_unit, work, panels * work->slices);
    struct gemm_weights weights = {.kernel = kernel,
                                   .n = work->columns,
                                   .k = work->depth,
                                   .panels = panels,
                                   .panel_size = work->panel_values * sizeof(float),
                                   .data = training->panels,
                                   .bias = bias};
    product->device = training->cpu.device;
    product->weights = &weights;
    product->point_size = work->point_values * sizeof(float);
    product->part_depth = PART_DEPTH;
    product->images = batch->images;
    product->in_stride = (size_t)work->depth * sizeof(float);
    product->out_stride = product->residual_stride = (size_t)work->columns * sizeof(float);
    product->block = block_tiles(work->depth);
    product->scratch = (char *)training->scratch;
    product->scratch_size = training->scratch_size * sizeof(float);
    winograd_run(product);
}

void train_convnet_winograd(const struct convnet_batch *batch, int index, const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct filter_work work = {.weight = convnet_parameter(training, operation->weight),
                               .channels = filter->channels,
                               .columns = filter->outputs,
                               .depth = filter->channels};
    struct winograd_product product = {.size = forward_size(training),
                                       .height = filter->height,
                                       .width = filter->width,
                                       .in = training->values[operation->input],
                                       .out = training->values[operation->output]};
    run_product(batch, &work, &product,
                operation->bias < 0 ? training->zeros : convnet_parameter(training, operation->bias));
}

void train_convnet_winograd_input_gradient(const struct convnet_batch *batch,
                                           const struct gradient_step *step,
                                           const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, step->operation);
    float *dx = training->slopes[operation->input];
    struct filter_work work = {.weight = convnet_parameter(training, operation->weight),
                               .channels = filter->channels,
                               .columns = filter->channels,
                               .depth = filter->outputs,
                               .turned = true};
    struct winograd_product product = {.size = WINOGRAD_TILE,
                                       .height = filter->height,
                                       .width = filter->width,
                                       .in = training->slopes[operation->output],
                                       .residual = step->input == GRADIENT_ADD ? dx : NULL,
                                       .out = dx};
    run_product(batch, &work, &product, training->zeros);
}

// The filter's gradient: a unit has some inputs, some outputs and some of the batch's tiles.
struct taps_work {
    const struct train_convnet *training;
    const struct convnet_filter *filter;
    const float *x, *dy;
    int tiles, across, of_image;
    int in_groups, out_groups, parts;
};

static int groups_of(int channels)
{
    return (channels + SIDE_CHANNELS - 1) / SIDE_CHANNELS;
}

// Depends on shapes alone, as do the gradient's bits.
static int parts_of(const struct convnet_filter *filter, int tiles)
{
    int groups = groups_of(filter->channels) * groups_of(filter->outputs);
    int wanted = (UNITS_WANTED + groups - 1) / groups, most = tiles / PART_LEAST_TILES;
    wanted = wanted < most ? wanted : most;
    return wanted > 1 ? wanted : 1;
}

// Points of tiles first .. end - 1, of some of a map's channels.
static void slice_points(const struct taps_work *work, int first, int end, bool slopes, int channel,
                         int columns, float *points)
{
    const struct convnet_filter *filter = work->filter;
    int width = slopes ? filter->outputs : filter->channels;
    struct winograd_tile tile = {.size = WINOGRAD_TILE,
                                 .height = filter->height,
                                 .width = filter->width,
                                 .columns = columns,
                                 .in_stride = (size_t)width * sizeof(float),
                                 .out_stride = SLICE_POINT * sizeof(float)};
    for (int i = first; i < end; i++) {
        size_t place = (size_t)(i / work->of_image) * (size_t)filter->height * (size_t)filter->width;
        tile.y = i % work->of_image / work->across * WINOGRAD_TILE;
        tile.x = i % work->of_image % work->across * WINOGRAD_TILE;
        tile.in = (slopes ? work->dy : work->x) + place * (size_t)width + channel;
        tile.out = points + (size_t)(i - first) * SIDE_CHANNELS;
        if (slopes)
            work->training->ops->winograd_slopes(&tile);
        else
            work->training->cpu.device->conv->winograd_in(&tile);
    }
}

// sums[point][output][input] of a slice's tiles.
static void add_products(const struct train_conv_ops *ops, const float *slopes, const float *points,
                         int tiles, int outputs, int inputs, float *sums)
{
    struct outer_product product = {.lines = 1,
                                    .places = tiles,
                                    .a_place = SIDE_CHANNELS,
                                    .b_place = SIDE_CHANNELS,
                                    .sums_stride = SIDE_CHANNELS};
    int rows = (outputs + ops->outer_rows - 1) / ops->outer_rows;
    for (int point = 0; point < WINOGRAD_POINTS; point++)
        for (int column = 0; column < inputs; column += OUTER_COLUMNS)
            for (int i = 0; i < rows; i++) { // outputs are spread evenly over them
                int first = outputs * i / rows;
                product.rows = outputs * (i + 1) / rows - first;
                product.columns = inputs - column < OUTER_COLUMNS ? inputs - column : OUTER_COLUMNS;
                product.a = slopes + point * SLICE_POINT + first;
                product.b = points + point * SLICE_POINT + column;
                product.sums = sums + (point * SIDE_CHANNELS + first) * SIDE_CHANNELS + column;
                ops->outer(&product);
            }
}

static void taps_unit(void *context, int unit, int thread)
{
    const struct taps_work *work = context;
    const struct train_convnet *training = work->training;
    const struct convnet_filter *filter = work->filter;
    int part = unit % work->parts, group = unit / work->parts;
    int input = group % work->in_groups * SIDE_CHANNELS, output = group / work->in_groups * SIDE_CHANNELS;
    int inputs = filter->channels - input < SIDE_CHANNELS ? filter->channels - input : SIDE_CHANNELS;
    int outputs = filter->outputs - output < SIDE_CHANNELS ? filter->outputs - output : SIDE_CHANNELS;
    int begin = (int)((int64_t)work->tiles * part / work->parts);
    int end = (int)((int64_t)work->tiles * (part + 1) / work->parts);
    float *points = training->scratch + (size_t)thread * training->scratch_size;
    float *slopes = points + WINOGRAD_POINTS * SLICE_POINT, *sums = slopes + WINOGRAD_POINTS * SLICE_POINT;
    memset(sums, 0, sizeof *sums * WINOGRAD_POINTS * SIDE_CHANNELS * SIDE_CHANNELS);
    for (int first = begin; first < end; first += SLICE_TILES) {
        int last = first + SLICE_TILES < end ? first + SLICE_TILES : end;
        slice_points(work, first, last, false, input, inputs, points);
        slice_points(work, first, last, true, output, outputs, slopes);
        add_products(training->ops, slopes, points, last - first, outputs, inputs, sums);
    }
    size_t channels = (size_t)filter->channels;
    for (int i = 0; i < outputs; i++)
        training->ops->winograd_taps(
            sums + i * SIDE_CHANNELS, SIDE_CHANNELS * SIDE_CHANNELS, inputs,
            training->sums + ((size_t)part * (size_t)filter->outputs + (size_t)(output + i)) * 9 * channels +
                input,
            channels);
}

int train_convnet_winograd_taps(const struct convnet_batch *batch, int index,
                                const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct taps_work work = {
        .training = training,
        .filter = filter,
        .x = training->values[operation->input],
        .dy = training->slopes[operation->output],
        .of_image = winograd_tiles(WINOGRAD_TILE, filter->height, filter->width),
        .across = (filter->width + WINOGRAD_TILE - 1) / WINOGRAD_TILE,
        .in_groups = groups_of(filter->channels),
        .out_groups = groups_of(filter->outputs),
    };
    work.tiles = batch->images * work.of_image;
    work.parts = parts_of(filter, work.tiles);
    train_run(training->cpu.device, taps_unit, &work, work.in_groups * work.out_groups * work.parts);
    return work.parts;
}

static void raise(size_t *need, size_t value)
{
    *need = value > *need ? value : *need;
}

static void need_product(const struct gemm_kernel *kernel, int size, int columns, int depth,
                         struct convnet_need *need)
{
    size_t points = (size_t)(size + 2) * (size_t)(size + 2);
    raise(&need->panels, points * point_values(kernel, columns, depth));
    raise(&need->scratch, winograd_scratch_size(kernel, size, block_tiles(depth), depth) / sizeof(float));
}

void train_convnet_winograd_need(const struct train_convnet *training, const struct convnet_filter *filter,
                                 struct convnet_need *need)
{
    size_t batch = (size_t)training->cpu.training.options.max_batch;
    int tiles = (int)batch * winograd_tiles(WINOGRAD_TILE, filter->height, filter->width);
    need_product(training->tile_kernel, forward_size(training), filter->outputs, filter->channels, need);
    need_product(training->tile_kernel, WINOGRAD_TILE, filter->channels, filter->outputs, need);
    raise(&need->scratch, WINOGRAD_POINTS * (2 * SLICE_POINT + SIDE_CHANNELS * SIDE_CHANNELS));
    raise(&need->sums,
          (size_t)parts_of(filter, tiles) * 9 * (size_t)filter->outputs * (size_t)filter->channels);
}
