// plain.h: the reference executor: one function for each kind of operation, written as its formula. It is
// what the other executors and devices are compared with, and is itself compared with PyTorch.
//
// Sums are double, in which the product of two floats is exact: next to the one rounding of the result to
// float, what their order does is as good as nothing. One thread, one image at a time, fp32 only.
#ifndef SKINSIGHT_KERNELS_CPU_PLAIN_H
#define SKINSIGHT_KERNELS_CPU_PLAIN_H

#include "kernels/backend.h"

// The type of values and weights. A test may take double instead, with all of plain's and train_plain's files
// in one unit of its own.
#ifndef plain_value
#define plain_value float
#endif

// A CPU backend whose plans run these functions. Never fails; backend_close.
struct backend *cpu_plain_backend_open(void);

// One operation on one image. Borrowed memory; output never overlaps an input.
struct plain_call {
    const struct operation *operation;
    struct tensor input_shape, output_shape;
    const plain_value *input;  // (input_shape)
    const plain_value *second; // OP_ADD: same shape as input; OP_SCALE: one row
    const uint8_t *view;       // OP_NORMALISE: bytes, instead of input
    const float *table;        // OP_NORMALISE: the 3 x 256 values of preprocess_table
    const plain_value *weight; // as parameters_read gives it
    const plain_value *bias;   // or NULL
    plain_value *window;       // OP_CONVOLUTION: workspace of as many values as a filter has
    plain_value *output;       // (output_shape)
    float *attention;          // OP_ATTENTION: (heads, tokens - 1) the class token's weights, or NULL
    float *mixing;             // OP_ATTENTION: (tokens, tokens) the weights' mean over heads, or NULL
    double *probabilities;     // OP_ATTENTION: workspace of `tokens` values
};

void plain_operation(const struct plain_call *call);

// Explanations (network.h, backend.h).
// The class-activation map of the class with the greatest of the logits. features: (places, channels);
// weight: (classes, channels); map: (places).
void plain_class_activation(const plain_value *features, struct tensor shape, const plain_value *weight,
                            const float *logits, int classes, float *map);
// One layer of attention rollout: total := (mixing + 1) / 2 * total, all (tokens, tokens). workspace: as
// large.
void plain_rollout(const float *mixing, int tokens, double *total, double *workspace);

#endif
