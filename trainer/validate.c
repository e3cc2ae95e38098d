// validate.c: a plan over a part of the data, and its figures. Main thread.
#include "trainer/validate.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

// Cross-entropy of one image, in double, whatever the size of the logits.
static double cross_entropy(const float *logits, int label)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        most = fmax(most, (double)logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += exp((double)logits[i] - most);
    return log(sum) + most - (double)logits[label];
}

static int greatest(const float *logits)
{
    int best = 0;
    for (int i = 1; i < LESION_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

struct validation validation_of(const float *logits, const int *labels, size_t count,
                                const double *class_weights)
{
    size_t images[LESION_CLASSES] = {0}, right[LESION_CLASSES] = {0};
    double loss = 0, weights = 0, shares = 0;
    int classes = 0;
    for (size_t i = 0; i < count; i++) {
        const float *row = logits + i * LESION_CLASSES;
        int label = labels[i];
        loss += class_weights[label] * cross_entropy(row, label);
        weights += class_weights[label];
        images[label]++;
        right[label] += greatest(row) == label;
    }
    for (int i = 0; i < LESION_CLASSES; i++)
        if (images[i] > 0) {
            shares += (double)right[i] / (double)images[i];
            classes++;
        }
    return (struct validation){loss / weights, shares / classes};
}

enum status run_views(struct plan *plan, uint8_t *const *views, int count, float *logits, struct error *err)
{
    enum status status = STATUS_OK;
    for (int first = 0; first < count && status == STATUS_OK; first += plan->max_batch) {
        int piece = count - first < plan->max_batch ? count - first : plan->max_batch;
        const struct inference inference = {.logits = logits + (size_t)first * LESION_CLASSES};
        status = plan_run(plan, (const uint8_t *const *)views + first, piece, &inference, err);
    }
    return status;
}

// This process's rows of the logits; the others stay zero.
static enum status run_share(const struct validation_options *options, struct plan *plan, float *logits,
                             struct error *err)
{
    const struct feed_epoch epoch = {.samples = options->samples,
                                     .count = options->count,
                                     .rank = exchange_rank(options->exchange),
                                     .processes = exchange_size(options->exchange)};
    struct feed_batch batch;
    feed_begin(options->feed, &epoch);
    for (;;) {
        enum status status = feed_next(options->feed, &batch, err);
        if (status != STATUS_OK || batch.whole == 0)
            return status;
        status = run_views(plan, batch.views, batch.count, logits + batch.place * LESION_CLASSES, err);
        if (status != STATUS_OK)
            return status;
    }
}

enum status validate(const struct validation_options *options, struct validation *validation,
                     struct error *err)
{
    struct plan *plan = NULL;
    struct network *folded = network_fold(options->network);
    const struct plan_options plan_options = {.precision = PRECISION_FP32, .max_batch = VALIDATION_BATCH};
    float *logits = memory_alloc(options->count * LESION_CLASSES * sizeof *logits);
    int *labels = memory_alloc(options->count * sizeof *labels);
    enum status status =
        backend_prepare(options->backend, folded, options->weights, &plan_options, &plan, err);
    if (status == STATUS_OK)
        status = run_share(options, plan, logits, err);
    status = exchange_agree(options->exchange, status, err);
    if (status == STATUS_OK) // nothing but zeros is added to an image's logits
        status = exchange_sum_floats(options->exchange, logits, options->count * LESION_CLASSES, err);
    for (size_t i = 0; i < options->count; i++)
        labels[i] = options->dataset->samples[options->samples[i]].label;
    if (status == STATUS_OK)
        *validation = validation_of(logits, labels, options->count, options->class_weights);
    plan_free(plan);
    network_free(folded);
    free(logits);
    free(labels);
    return status;
}
