// loss.h: what a training step makes small, in double: for one image after the other, from its logits. Any
// thread.
#ifndef SKINSIGHT_KERNELS_LOSS_H
#define SKINSIGHT_KERNELS_LOSS_H

#include "kernels/training.h"

// What the images of all processes share.
struct loss_scale {
    double weight_sum; // of the labels' class weights
    double images;
};

// Adds up the batch over the processes of options->exchange.
enum status loss_scale_of(const struct training_options *options, const struct training_batch *batch,
                          struct loss_scale *scale, struct error *err) MUST_CHECK;

// An image's part of the classification loss (training.h), and its gradient by the logits. teacher: its
// logits, or NULL.
double loss_classification(const struct training_options *options, const struct loss_scale *scale,
                           int classes, const double *logits, int label, const float *teacher,
                           double *gradient);

// result from this process's sums, added up over the processes.
enum status loss_result(const struct training_options *options, double classification, double diversity,
                        struct training_result *result, struct error *err) MUST_CHECK;

#endif
