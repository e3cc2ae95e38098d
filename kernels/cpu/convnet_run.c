// convnet_run.c: runs the steps of a plan for one chunk of images. Nothing here allocates, decides or fails.
#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "kernels/cpu/convnet.h"
#include "kernels/cpu/plain.h"

// A unit of windows has whole groups of channels, and rows enough to make little of those around them.
enum { UNITS_PER_THREAD = 8, CHANNEL_GROUP = 32, MOST_LINES = 16 };

struct step_run {
    const struct convnet_run *run;
    const struct convnet_step *step;
};

// One row of pixels of one image.
static void normalise_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct convnet_plan *plan = step_run->run->plan;
    int height = step_run->step->height, width = step_run->step->width;
    const uint8_t *bytes = step_run->run->views[unit / height] + (size_t)(unit % height * width) * 3;
    float *out = convnet_row(plan, step_run->step->output, unit * width);
    for (int i = 0; i < width; i++)
        for (int channel = 0; channel < 3; channel++)
            out[3 * i + channel] = plan->table[256 * channel + bytes[3 * i + channel]];
}

static void run_normalise(const struct convnet_run *run, const struct convnet_step *step)
{
    struct step_run context = {run, step};
    team_run(run->plan->device->team, normalise_unit, &context, run->images * step->height);
}

// Some rows of places of one image, some of the channels.
struct window_run {
    const struct convnet_run *run;
    const struct convnet_step *step;
    int lines, blocks; // of one image
    int groups;        // of channels
};

static void window_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct window_run *divided = context;
    const struct convnet_plan *plan = divided->run->plan;
    const struct convnet_step *step = divided->step;
    const struct convnet_tensor *input = &plan->tensors[step->input], *output = &plan->tensors[step->output];
    int group = unit % divided->groups, block = unit / divided->groups;
    int image = block / divided->blocks, lines = divided->lines;
    int vectors = (output->columns + CHANNEL_GROUP - 1) / CHANNEL_GROUP;
    int channel = vectors * group / divided->groups * CHANNEL_GROUP;
    int end = vectors * (group + 1) / divided->groups * CHANNEL_GROUP;
    int y = lines * (block % divided->blocks) / divided->blocks;
    int row = image * lines + y;
    struct conv_window window = {
        .in = convnet_row(plan, step->input, image * input->rows) + channel,
        .in_stride = input->row_stride,
        .height = step->height,
        .width = step->width,
        .channels = (end < output->columns ? end : output->columns) - channel,
        .kernel = step->kernel,
        .stride = step->stride,
        .padding = step->padding,
        .y = y,
        .lines = lines * (block % divided->blocks + 1) / divided->blocks - y,
        .places = step->output_width,
        .out = convnet_row(plan, step->output, row * step->output_width) + channel,
        .out_stride = output->row_stride,
        .activation = step->activation,
    };
    if (step->sums >= 0) {
        window.sums = convnet_row(plan, step->sums, row) + channel;
        window.sums_stride = plan->tensors[step->sums].row_stride;
    }
    if (step->kind == CONVNET_DEPTHWISE) {
        window.weight = step->filter + channel;
        window.weight_stride = step->filter_stride;
        window.bias = step->bias + channel;
        plan->device->conv->depthwise(&window);
    } else {
        plan->device->conv->max_pool(&window);
    }
}

static void run_windows(const struct convnet_run *run, const struct convnet_step *step)
{
    const struct convnet_tensor *output = &run->plan->tensors[step->output];
    struct window_run divided = {run, step, .lines = output->rows / step->output_width};
    int wanted = UNITS_PER_THREAD * team_threads(run->plan->device->team);
    int most = (output->columns + CHANNEL_GROUP - 1) / CHANNEL_GROUP;
    divided.blocks = (divided.lines + MOST_LINES - 1) / MOST_LINES;
    divided.groups = (wanted + run->images * divided.blocks - 1) / (run->images * divided.blocks);
    divided.groups = divided.groups < most ? divided.groups : most;
    team_run(run->plan->device->team, window_unit, &divided, run->images * divided.blocks * divided.groups);
}

static void mean_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct step_run *step_run = context;
    const struct convnet_plan *plan = step_run->run->plan;
    const struct convnet_step *step = step_run->step;
    const struct convnet_tensor *input = &plan->tensors[step->input];
    int places = plan->network->tensors[step->operation->input].rows;
    plan->device->conv->sum_rows(convnet_row(plan, step->input, image * input->rows), input->row_stride,
                                 input->rows, input->columns, 1.0f / (float)places,
                                 convnet_row(plan, step->output, image));
}

static void run_mean(const struct convnet_run *run, const struct convnet_step *step)
{
    struct step_run context = {run, step};
    team_run(run->plan->device->team, mean_unit, &context, run->images);
}

static void map_image(const struct convnet_plan *plan, int image, const float *logits, float *map)
{
    const struct convnet_tensor *features = &plan->tensors[plan->feature_map];
    struct tensor one_place = {1, features->columns};
    for (int place = 0; place < features->rows; place++)
        plain_class_activation(convnet_row(plan, plan->feature_map, image * features->rows + place),
                               one_place, plan->map_weight, logits, plan->plan.classes, &map[place]);
}

// The rows of a tensor of one row, one after the other.
static void copy_rows(const struct convnet_plan *plan, int tensor, int images, float *values)
{
    size_t columns = (size_t)plan->tensors[tensor].columns;
    for (int image = 0; image < images; image++)
        memcpy(values + (size_t)image * columns, convnet_row(plan, tensor, image), columns * sizeof *values);
}

void convnet_run_chunk(struct convnet_plan *plan, const uint8_t *const *views, int images,
                       const struct inference *result)
{
    static void (*const runs[CONVNET_STEP_KIND_COUNT])(const struct convnet_run *,
                                                       const struct convnet_step *) = {
        [CONVNET_NORMALISE] = run_normalise, [CONVNET_PRODUCT] = convnet_run_product,
        [CONVNET_DEPTHWISE] = run_windows,   [CONVNET_MAX_POOL] = run_windows,
        [CONVNET_MEAN] = run_mean,
    };
    assert(images >= 1 && images <= plan->chunk);
    struct convnet_run run = {plan, views, images};
    size_t classes = (size_t)plan->plan.classes;
    for (int i = 0; i < plan->step_count; i++) {
        const struct convnet_step *step = &plan->steps[i];
        int64_t begun_us = plan->plan.part_ms ? clock_monotonic_us() : 0;
        runs[step->kind](&run, step);
        if (plan->plan.part_ms)
            plan->plan.part_ms[network_part_of(plan->network,
                                               (int)(step->operation - plan->network->operations))] +=
                (double)(clock_monotonic_us() - begun_us) / 1e3;
    }
    copy_rows(plan, plan->network->logits, images, result->logits);
    if (result->embedding)
        copy_rows(plan, plan->network->embedding, images, result->embedding);
    for (int image = 0; result->attention && image < images; image++)
        map_image(plan, image, result->logits + (size_t)image * classes,
                  result->attention + image * plan->plan.map_height * plan->plan.map_width);
}
