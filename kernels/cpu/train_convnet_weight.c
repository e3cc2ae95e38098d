// train_convnet_weight.c: the gradient of a convolution's filter: dy's columns times the input's. As floats a
// row of taps at a time, whose columns lie side by side in the padded input; as bf16 with the windows of some
// places gathered, by train_products.h. See train_convnet.h.
#include <string.h>

#include "kernels/cpu/train_convnet_windows.h"
#include "kernels/cpu/train_products.h"

enum { OUTER_PLACES = 128, OUTER_GROUPS = 48, HALF_ROWS = 1024, HALF_UNIT = 64 };

// The filter's gradient of a chunk of images.
struct weight_work {
    const struct train_convnet *training;
    const struct convnet_filter *filter;
    const float *x, *dy; // the chunk's
    const float *padded; // x with its padding, or x
    int images, padded_height, padded_width;
    int lines, groups; // of outputs
};

// One line of the padded input.
static void pad_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct weight_work *work = context;
    const struct convnet_filter *filter = work->filter;
    size_t channels = (size_t)filter->channels, line = (size_t)work->padded_width * channels;
    size_t side = (size_t)filter->padding * channels, inner = (size_t)filter->width * channels;
    int image = unit / work->padded_height, y = unit % work->padded_height - filter->padding;
    float *to = (float *)work->padded + (size_t)unit * line;
    if (y < 0 || y >= filter->height) {
        memset(to, 0, line * sizeof *to);
        return;
    }
    memset(to, 0, side * sizeof *to);
    memcpy(to + side, work->x + ((size_t)image * (size_t)filter->height + (size_t)y) * inner,
           inner * sizeof *to);
    memset(to + side + inner, 0, (line - side - inner) * sizeof *to);
}

static int column_groups(const struct convnet_filter *filter)
{
    return (filter->kernel * filter->channels + OUTER_COLUMNS - 1) / OUTER_COLUMNS;
}

// Some lines of one image: a row of taps and 32 of its columns by some of the outputs.
static void outer_lines(const struct weight_work *work, struct outer_product *product, int begin, int end,
                        float *sums)
{
    int most = work->training->ops->outer_rows;
    const float *dy = product->a;
    for (int n = begin; n < end; n += most) {
        product->rows = end - n < most ? end - n : most;
        product->a = dy + n;
        product->sums = sums + (size_t)n * product->sums_stride;
        work->training->ops->outer(product);
    }
}

static void weight_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct weight_work *work = context;
    const struct convnet_filter *filter = work->filter;
    int column_count = column_groups(filter), group = unit % work->groups, at = unit / work->groups;
    int ky = at / column_count, column = at % column_count * OUTER_COLUMNS;
    int width = filter->kernel * filter->channels, stride = filter->stride;
    size_t outputs = (size_t)filter->outputs, channels = (size_t)filter->channels;
    size_t padded_line = (size_t)work->padded_width * channels;
    float *sums = work->training->sums + (size_t)ky * (size_t)width + (size_t)column;
    struct outer_product product = {
        .columns = width - column < OUTER_COLUMNS ? width - column : OUTER_COLUMNS,
        .places = filter->output_width,
        .a_place = outputs,
        .a_line = (size_t)filter->output_width * outputs,
        .b_place = (size_t)stride * channels,
        .b_line = (size_t)stride * padded_line,
        .sums_stride = (size_t)filter->kernel * (size_t)width,
    };
    int begin = filter->outputs * group / work->groups, end = filter->outputs * (group + 1) / work->groups;
    for (int image = 0; image < work->images; image++)
        for (int line = 0; line < filter->output_height; line += work->lines) {
            int left = filter->output_height - line;
            product.lines = left < work->lines ? left : work->lines;
            product.a =
                work->dy + ((size_t)image * (size_t)filter->output_height + (size_t)line) * product.a_line;
            product.b =
                work->padded +
                ((size_t)image * (size_t)work->padded_height + (size_t)(line * stride + ky)) * padded_line +
                column;
            outer_lines(work, &product, begin, end, sums);
        }
}

// Groups of outputs so that there are units for many threads; whole tiles as far as that goes.
static int groups_of(const struct train_convnet *training, const struct convnet_filter *filter)
{
    int units = filter->kernel * column_groups(filter), tiles = filter->outputs / training->ops->outer_rows;
    int groups = (OUTER_GROUPS + units - 1) / units;
    groups = groups < tiles ? groups : tiles;
    return groups > 1 ? groups : 1;
}

// From (outputs, taps, channels) to the parameter's (outputs, channels, taps).
static void put_weight_gradient(const struct convnet_filter *filter, const float *sums, float *gradient)
{
    int area = filter->kernel * filter->kernel;
    for (int n = 0; n < filter->outputs; n++, gradient += (size_t)area * (size_t)filter->channels)
        for (int tap = 0; tap < area; tap++)
            for (int c = 0; c < filter->channels; c++)
                gradient[(size_t)c * (size_t)area + (size_t)tap] += *sums++;
}

static void sum_taps(const struct convnet_batch *batch, int index, const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    size_t area = (size_t)filter->kernel * (size_t)filter->kernel,
           in = convnet_size(training, operation->input);
    struct weight_work work = {
        .training = training,
        .filter = filter,
        .padded_height = convnet_padded_side(filter, filter->height, filter->output_height),
        .padded_width = convnet_padded_side(filter, filter->width, filter->output_width),
        .lines = filter->output_width < OUTER_PLACES ? OUTER_PLACES / filter->output_width : 1,
        .groups = groups_of(training, filter),
    };
    bool pads = work.padded_height > filter->height || work.padded_width > filter->width;
    memset(training->sums, 0, area * (size_t)filter->outputs * (size_t)filter->channels * sizeof(float));
    for (int first = 0; first < batch->images; first += CONVNET_CHUNK) {
        work.images = batch->images - first < CONVNET_CHUNK ? batch->images - first : CONVNET_CHUNK;
        work.x = training->values[operation->input] + (size_t)first * in;
        work.dy =
            training->slopes[operation->output] + (size_t)first * convnet_size(training, operation->output);
        work.padded = pads ? training->padded : work.x;
        if (pads)
            train_run(training->cpu.device, pad_unit, &work, work.images * work.padded_height);
        train_run(training->cpu.device, weight_unit, &work,
                  filter->kernel * column_groups(filter) * work.groups);
    }
}

// With bf16 operands: windows and dy of some places at a time as rows, and their product.
struct half_work {
    const struct train_convnet *training;
    struct convnet_windows windows, slopes; // of the input; dy, whose rows lie as they are
    int first, rows;
};

static char *half_windows(const struct train_convnet *training)
{
    return (char *)training->padded;
}

static char *half_slopes(const struct half_work *work)
{
    return half_windows(work->training) +
           HALF_ROWS * (size_t)windows_depth(&work->windows) * sizeof(uint16_t);
}

static void half_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct half_work *work = context;
    int begin = unit * HALF_UNIT, end = begin + HALF_UNIT < work->rows ? begin + HALF_UNIT : work->rows;
    const struct convnet_windows *of[] = {&work->windows, &work->slopes};
    char *to[] = {half_windows(work->training), half_slopes(work)};
    for (int i = 0; i < 2; i++)
        windows_gather(of[i], work->training->half, work->first + begin, work->first + end,
                       to[i] + (size_t)begin * (size_t)windows_depth(of[i]) * sizeof(uint16_t));
}

static void sum_halves(const struct convnet_batch *batch, int index, const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    const struct taps alone = {0, 1, 0, 1};
    struct half_work work = {
        .training = training,
        .windows = windows_forward(filter, training->values[operation->input]),
        .slopes = {training->slopes[operation->output], filter->output_height, filter->output_width,
                   filter->outputs, filter->output_height, filter->output_width, 1, alone, alone},
    };
    int depth = windows_depth(&work.windows),
        total = batch->images * filter->output_height * filter->output_width;
    struct train_products products = {
        .team = training->cpu.device->team,
        .kernel = training->kernel,
        .ops = training->half,
        .train_ops = &train_ops_avx512bf16,
        .half = true,
        .zeros = training->zeros,
        .transposed = half_slopes(&work) + HALF_ROWS * (size_t)filter->outputs * sizeof(uint16_t),
    };
    products.transposed += -(uintptr_t)products.transposed % 64;
    products.panels =
        products.transposed + train_transposed_size(training->kernel, filter->outputs, HALF_ROWS);
    products.panels += -(uintptr_t)products.panels % 64;
    struct train_linear linear = {.n = filter->outputs, .k = depth, .weight_gradient = training->sums};
    memset(training->sums, 0, (size_t)depth * (size_t)filter->outputs * sizeof(float));
    for (work.first = 0; work.first < total; work.first += HALF_ROWS) {
        work.rows = total - work.first < HALF_ROWS ? total - work.first : HALF_ROWS;
        train_run(training->cpu.device, half_unit, &work, (work.rows + HALF_UNIT - 1) / HALF_UNIT);
        struct train_rows x = {half_windows(training), (size_t)depth * sizeof(uint16_t), work.rows};
        struct train_rows dy = {half_slopes(&work), (size_t)filter->outputs * sizeof(uint16_t), work.rows};
        train_linear_weight_gradient(&products, &linear, &dy, &x);
    }
}

// Bytes of the workspace `padded`.
static size_t half_need(const struct train_convnet *training, const struct convnet_filter *filter)
{
    int depth = filter->kernel * filter->kernel * filter->channels;
    return HALF_ROWS * (size_t)(depth + filter->outputs) * sizeof(uint16_t) + 2 * 64 +
           train_transposed_size(training->kernel, filter->outputs, HALF_ROWS) +
           train_panels_size(training->kernel, depth, HALF_ROWS);
}

void train_convnet_weight_need(const struct train_convnet *training, const struct convnet_filter *filter,
                               struct convnet_need *need)
{
    int height = convnet_padded_side(filter, filter->height, filter->output_height);
    int width = convnet_padded_side(filter, filter->width, filter->output_width);
    size_t channels = (size_t)filter->channels, depth = (size_t)(filter->kernel * filter->kernel) * channels;
    size_t size = 0;
    if (training->half)
        size = half_need(training, filter) / sizeof(float) + 1;
    else if (height > filter->height || width > filter->width)
        size = (size_t)CONVNET_CHUNK * (size_t)height * (size_t)width * channels;
    need->padded = size > need->padded ? size : need->padded;
    need->zeros =
        depth > need->zeros ? depth : need->zeros; // no bias of a product that has the depth as columns
}

void train_convnet_weight_gradient(const struct convnet_batch *batch, int index,
                                   const struct convnet_filter *filter)
{
    const struct train_convnet *training = batch->training;
    size_t size =
        (size_t)(filter->kernel * filter->kernel) * (size_t)filter->outputs * (size_t)filter->channels;
    int parts = 1;
    if (train_convnet_uses_winograd(filter))
        parts = train_convnet_winograd_taps(batch, index, filter);
    else if (training->half)
        sum_halves(batch, index, filter);
    else
        sum_taps(batch, index, filter);
    for (int part = 0; part < parts; part++)
        put_weight_gradient(filter, training->sums + (size_t)part * size,
                            convnet_gradient(training, convnet_operation(training, index)->weight));
}
