// train_blocks.c: see train_blocks.h.
#include "kernels/cpu/train_blocks.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cpu/denormals.h"

enum { NORM_LANES = 8 }; // sums side by side: one waits for the addition before it

void train_run(struct cpu_device *device, team_unit run, void *context, int units)
{
    if (device->team) {
        team_run(device->team, run, context, units);
        return;
    }
    unsigned before = denormals_to_zero();
    for (int unit = 0; unit < units; unit++)
        run(context, unit, 0);
    denormals_restore(before);
}

enum status train_blocks_init(struct cpu_training *cpu, struct cpu_device *device,
                              const struct network *network, const struct weights *weights,
                              const struct training_options *options, struct error *err)
{
    struct training *training = &cpu->training;
    cpu->device = device;
    training->options = *options;
    training->network = memory_alloc(sizeof *network);
    *training->network = *network;
    for (int i = 0; i < network->parameter_count; i++) {
        cpu->offsets[i + 1] = cpu->offsets[i] + parameter_size(&network->parameters[i]);
        cpu->rate_factors[i] = training_rate_factor(network, i, options);
        cpu->decays[i] = training_decays(network, i, options);
    }
    training->size = cpu->offsets[network->parameter_count];
    for (int i = 0; i < TRAINING_BLOCK_COUNT; i++) {
        cpu->blocks[i] = memory_try_alloc((training->size + TRAIN_PADDING) * sizeof(float));
        if (!cpu->blocks[i])
            return error_set(err, STATUS_FATAL, "no memory for the parameters of %s", network->architecture);
        memset(cpu->blocks[i], 0, (training->size + TRAIN_PADDING) * sizeof(float));
        training->memory_size += training->size * sizeof(float);
    }
    for (int i = 0; i < network->parameter_count; i++)
        weight_to_float(weights_find(weights, network->parameters[i].name),
                        cpu->blocks[TRAINING_PARAMETERS] + cpu->offsets[i]);
    return STATUS_OK;
}

void train_blocks_release(struct cpu_training *cpu)
{
    for (int i = 0; i < TRAINING_BLOCK_COUNT; i++)
        free(cpu->blocks[i]);
    free(cpu->training.network);
}

enum status train_blocks_exchange(struct training *training, struct error *err)
{
    struct cpu_training *cpu = (struct cpu_training *)training;
    return exchange_sum_floats(training->options.exchange, cpu->blocks[TRAINING_GRADIENTS], training->size,
                               err);
}

struct norm_sums {
    const float *gradients;
    size_t size;
    double *sums; // of each piece
};

static void norm_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct norm_sums *norm = context;
    size_t first = (size_t)unit * TRAIN_PIECE, left = norm->size - first;
    const float *gradients = norm->gradients + first;
    double sums[NORM_LANES] = {0}, sum = 0;
    size_t count = left < TRAIN_PIECE ? left : TRAIN_PIECE, whole = count - count % NORM_LANES;
    for (size_t i = 0; i < whole; i += NORM_LANES)
        for (size_t lane = 0; lane < NORM_LANES; lane++)
            sums[lane] += (double)gradients[i + lane] * gradients[i + lane];
    for (size_t i = whole; i < count; i++)
        sums[0] += (double)gradients[i] * gradients[i];
    for (int lane = 0; lane < NORM_LANES; lane++)
        sum += sums[lane];
    norm->sums[unit] = sum;
}

enum status train_blocks_norm(struct training *training, double *norm, struct error *err)
{
    (void)err; // nothing can fail
    struct cpu_training *cpu = (struct cpu_training *)training;
    int pieces = (int)((training->size + TRAIN_PIECE - 1) / TRAIN_PIECE);
    struct norm_sums sums = {cpu->blocks[TRAINING_GRADIENTS], training->size,
                             memory_alloc((size_t)pieces * sizeof(double))};
    train_run(cpu->device, norm_unit, &sums, pieces);
    double sum = 0;
    for (int i = 0; i < pieces; i++)
        sum += sums.sums[i];
    free(sums.sums);
    *norm = sqrt(sum);
    return STATUS_OK;
}

// One parameter's part of an update, as PyTorch's AdamW computes it.
struct adamw {
    float *parameters;
    const float *gradients;
    float *first, *second;
    size_t size;
    float clip;              // factor of the gradients
    float keep;              // 1 - learning rate * weight decay
    float beta1, beta2;      // of the moments
    float rest1, rest2;      // 1 - them, rounded once: 1 - 0.999f is off by 1e-5
    float step;              // learning rate / (1 - beta1 ^ t)
    float inverse_deviation; // 1 / sqrt(1 - beta2 ^ t)
    float epsilon;
};

static void adamw_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct adamw adamw = *(const struct adamw *)context;
    size_t at = (size_t)unit * TRAIN_PIECE, left = adamw.size - at;
    size_t count = left < TRAIN_PIECE ? left : TRAIN_PIECE;
    float *restrict parameters = adamw.parameters + at, *restrict first = adamw.first + at;
    float *restrict second = adamw.second + at;
    const float *restrict gradients = adamw.gradients + at;
    for (size_t i = 0; i < count; i++) {
        float g = gradients[i] * adamw.clip;
        float m = first[i] = adamw.beta1 * first[i] + adamw.rest1 * g;
        float v = second[i] = adamw.beta2 * second[i] + adamw.rest2 * (g * g);
        float deviation = sqrtf(v) * adamw.inverse_deviation + adamw.epsilon;
        parameters[i] = parameters[i] * adamw.keep - adamw.step * (m / deviation);
    }
}

enum status train_blocks_update(struct training *training, double learning_rate, double norm,
                                struct error *err)
{
    (void)err; // nothing can fail
    struct cpu_training *cpu = (struct cpu_training *)training;
    const struct training_options *options = &training->options;
    const struct adamw_options *numbers = &options->adamw;
    double t = (double)(training->steps + 1);
    double clip = options->clip > 0 ? options->clip / (norm + 1e-6) : 1; // PyTorch's 1e-6
    for (int i = 0; i < training->network->parameter_count; i++) {
        double rate = learning_rate * cpu->rate_factors[i];
        size_t at = cpu->offsets[i];
        if (cpu->rate_factors[i] == 0)
            continue;
        struct adamw adamw = {
            .parameters = cpu->blocks[TRAINING_PARAMETERS] + at,
            .gradients = cpu->blocks[TRAINING_GRADIENTS] + at,
            .first = cpu->blocks[TRAINING_FIRST_MOMENTS] + at,
            .second = cpu->blocks[TRAINING_SECOND_MOMENTS] + at,
            .size = cpu->offsets[i + 1] - at,
            .clip = (float)(clip < 1 ? clip : 1),
            .keep = (float)(1 - (cpu->decays[i] ? rate * numbers->weight_decay : 0)),
            .beta1 = (float)numbers->beta1,
            .beta2 = (float)numbers->beta2,
            .rest1 = (float)(1 - numbers->beta1),
            .rest2 = (float)(1 - numbers->beta2),
            .step = (float)(rate / (1 - pow(numbers->beta1, t))),
            .inverse_deviation = (float)(1 / sqrt(1 - pow(numbers->beta2, t))),
            .epsilon = (float)numbers->epsilon,
        };
        train_run(cpu->device, adamw_unit, &adamw, (int)((adamw.size + TRAIN_PIECE - 1) / TRAIN_PIECE));
    }
    return STATUS_OK;
}

enum status train_blocks_save(struct training *training, enum training_block block, float *values,
                              struct error *err)
{
    (void)err; // nothing can fail
    const struct cpu_training *cpu = (const struct cpu_training *)training;
    memcpy(values, cpu->blocks[block], training->size * sizeof *values);
    return STATUS_OK;
}

enum status train_blocks_load(struct training *training, enum training_block block, const float *values,
                              struct error *err)
{
    (void)err; // nothing can fail
    struct cpu_training *cpu = (struct cpu_training *)training;
    memcpy(cpu->blocks[block], values, training->size * sizeof *values);
    return STATUS_OK;
}
