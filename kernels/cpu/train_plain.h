// train_plain.h: gradients by loops that a reader can check against the formula: the reference for the fast
// executors, itself compared with finite differences and with PyTorch. Sums are double, values plain_value
// (plain.h): float, or double in tests.
//
// Forward runs plain.h's operations, and here what only training has: dropout, batch normalisation over the
// batch, the loss. Backward runs the steps of gradient_list.h. All values and gradients of a batch are kept.
//
// Thread: the caller's, one.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_PLAIN_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_PLAIN_H

#include "kernels/cpu/plain.h"
#include "kernels/gradient_list.h"
#include "kernels/training.h"

struct train_plain {
    const struct network *network;          // the caller's
    const struct training_options *options; // the caller's
    struct gradient_list list;
    size_t offsets[NETWORK_MAX_PARAMETERS + 1]; // training_offset
    plain_value *parameters, *gradients;        // flat blocks, the caller's
    plain_value *values[NETWORK_MAX_TENSORS];   // of max_batch images
    plain_value *slopes[NETWORK_MAX_TENSORS];   // the loss's gradient by them; NULL: nobody wants it
    double *norms[NETWORK_MAX_OPERATIONS];      // batch normalisation: means, then 1 / deviations
    // Workspace
    plain_value *window;   // of a convolution's filter
    double *probabilities; // of a row of attention, two times
    double *sums;          // of the gradients of an operation's weight and bias
    double *slope;         // of one image's tensor
    uint64_t memory_size;
};

// FATAL: no memory.
enum status train_plain_init(struct train_plain *plain, const struct network *network,
                             const struct training_options *options, plain_value *parameters,
                             plain_value *gradients, struct error *err) MUST_CHECK;
void train_plain_release(struct train_plain *plain); // safe on a zeroed one

// As training_gradients.
enum status train_plain_gradients(struct train_plain *plain, const struct training_batch *batch,
                                  struct training_result *result, struct error *err) MUST_CHECK;

// Backward of everything behind the slopes of the logits. scale: of the batch.
struct loss_scale;
enum status train_plain_backward(struct train_plain *plain, const struct training_batch *batch,
                                 const struct loss_scale *scale, struct error *err) MUST_CHECK;

// One image's part of a tensor's values or slopes.
static inline plain_value *train_plain_image(const struct train_plain *plain, plain_value *const *of,
                                             int tensor, int image)
{
    const struct tensor *shape = &plain->network->tensors[tensor];
    return of[tensor] ? of[tensor] + (size_t)image * (size_t)shape->rows * (size_t)shape->columns : NULL;
}

#endif
