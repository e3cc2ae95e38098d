// rollout.c: the mean over heads after each block, the product of a row with all blocks at the end.
#include "kernels/cpu/rollout.h"

#include <string.h>

#include "kernels/memory_plan.h"

enum { ALIGNMENT = 64 };

static size_t matrix_size(const struct rollout *rollout)
{
    return (size_t)rollout->tokens * (size_t)rollout->tokens;
}

static size_t weights_size(const struct rollout *rollout)
{
    return memory_round_up(
        (size_t)rollout->images * (size_t)rollout->heads * matrix_size(rollout) * sizeof(float), ALIGNMENT);
}

static size_t means_size(const struct rollout *rollout)
{
    return memory_round_up(
        (size_t)rollout->blocks * (size_t)rollout->images * matrix_size(rollout) * sizeof(float), ALIGNMENT);
}

size_t rollout_size(const struct rollout *rollout)
{
    size_t rows = 2 * (size_t)rollout->images * (size_t)rollout->tokens * sizeof(double);
    return weights_size(rollout) + means_size(rollout) + memory_round_up(rows, ALIGNMENT);
}

void rollout_place(struct rollout *rollout, void *memory)
{
    rollout->weights = memory;
    rollout->means = (float *)((char *)memory + weights_size(rollout));
    rollout->rows = (double *)((char *)memory + weights_size(rollout) + means_size(rollout));
}

struct addition {
    const struct rollout *rollout;
    int block, queries;
};

// One row of one image's mean.
static void add_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct addition *addition = context;
    const struct rollout *rollout = addition->rollout;
    size_t image = (size_t)(unit / addition->queries), row = (size_t)(unit % addition->queries);
    size_t tokens = (size_t)rollout->tokens, heads = (size_t)rollout->heads;
    float *mean = rollout->means +
                  ((size_t)addition->block * (size_t)rollout->images + image) * matrix_size(rollout) +
                  row * tokens;
    const float *weights = rollout->weights + image * heads * matrix_size(rollout) + row * tokens;
    for (size_t i = 0; i < tokens; i++) {
        float sum = 0;
        for (size_t head = 0; head < heads; head++)
            sum += weights[head * matrix_size(rollout) + i];
        mean[i] = sum / (float)heads;
    }
}

void rollout_add(struct team *team, const struct rollout *rollout, int block, int images, int queries)
{
    struct addition addition = {rollout, block, queries};
    team_run(team, add_unit, &addition, images * queries);
}

struct finish {
    const struct rollout *rollout;
    float *maps;
};

static void finish_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct finish *finish = context;
    const struct rollout *rollout = finish->rollout;
    size_t tokens = (size_t)rollout->tokens;
    double *row = rollout->rows + 2 * (size_t)image * tokens, *next = row + tokens;
    memset(row, 0, tokens * sizeof *row);
    row[0] = 1.0;
    for (int block = rollout->blocks - 1; block >= 0; block--) {
        const float *mean =
            rollout->means + ((size_t)block * (size_t)rollout->images + (size_t)image) * matrix_size(rollout);
        size_t count = block == rollout->blocks - 1 ? 1 : tokens; // the row begins as the class token alone
        memcpy(next, row, tokens * sizeof *row);
        for (size_t i = 0; i < count; i++)
            for (size_t column = 0; column < tokens; column++)
                next[column] += row[i] * (double)mean[i * tokens + column];
        for (size_t column = 0; column < tokens; column++)
            row[column] = next[column] / 2;
    }
    for (size_t i = 1; i < tokens; i++)
        finish->maps[(size_t)image * (tokens - 1) + i - 1] = (float)row[i];
}

void rollout_finish(struct team *team, const struct rollout *rollout, int images, float *maps)
{
    struct finish finish = {rollout, maps};
    team_run(team, finish_unit, &finish, images);
}
