// validate.h: how good the parameters of a training are on a part of the data: computed as they will be
// served, by a plan of the folded network in fp32 on evaluation's views.
#ifndef SKINSIGHT_TRAINER_VALIDATE_H
#define SKINSIGHT_TRAINER_VALIDATE_H

#include "kernels/backend.h"
#include "kernels/exchange.h"
#include "trainer/feed.h"

struct validation {
    double loss;              // cross-entropy weighted by class_weights
    double balanced_accuracy; // mean share that is right, over the classes that have images
};

struct validation_options {
    struct backend *backend;
    const struct network *network; // as it is trained
    const struct weights *weights;
    struct feed *feed; // at the network's size; its epoch is over afterwards
    const struct dataset *dataset;
    const size_t *samples; // (count), count > 0
    size_t count;
    const double *class_weights; // (LESION_CLASSES)
    struct exchange *exchange;   // each process answers for its share of the images; NULL: one process
};

// The same in every process. REJECTED or FATAL as backend and feed, of any process.
enum status validate(const struct validation_options *options, struct validation *validation,
                     struct error *err) MUST_CHECK;

// The figures of logits (count, LESION_CLASSES) and labels (count): a pure function.
struct validation validation_of(const float *logits, const int *labels, size_t count,
                                const double *class_weights);

// The logits of a batch's views by a plan, in pieces of its max_batch. logits: (count, LESION_CLASSES).
enum status run_views(struct plan *plan, uint8_t *const *views, int count, float *logits,
                      struct error *err) MUST_CHECK;
enum { VALIDATION_BATCH = 8 };

#endif
