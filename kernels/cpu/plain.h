// plain.h: the reference executor: one function for each kind of operation, written as its formula. It is
// what the fast executor and other devices are compared with, and is itself compared with PyTorch.
//
// Sums are double: the product of two floats is exact in double, so a result is the formula's value rounded
// once to float, whatever the order of the sum. One thread, one image at a time, fp32 only.
#ifndef SKINSIGHT_KERNELS_CPU_PLAIN_H
#define SKINSIGHT_KERNELS_CPU_PLAIN_H

#include "kernels/backend.h"

// A CPU backend whose plans run these functions. Never fails; backend_close.
struct backend *cpu_plain_backend_open(void);

// One operation on one image. Borrowed memory; output never overlaps an input.
struct plain_call {
    const struct operation *operation;
    struct tensor input_shape, output_shape;
    const float *input;    // (input_shape)
    const float *second;   // OP_ADD: same shape as input
    const uint8_t *view;   // OP_NORMALISE: bytes, instead of input
    const float *table;    // OP_NORMALISE: the 3 x 256 values of preprocess_table
    const float *weight;   // as network_weight_shape says
    const float *bias;     // or NULL
    float *output;         // (output_shape)
    float *attention;      // OP_ATTENTION: (heads, tokens - 1) the class token's weights, or NULL
    double *probabilities; // OP_ATTENTION: workspace of `tokens` values
};

void plain_operation(const struct plain_call *call);

#endif
