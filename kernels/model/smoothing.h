// smoothing.h: makes the channels that a LayerNorm writes alike, so that eight bits hold a row better: each
// channel is divided by a power of two in the LayerNorm's weight and bias, and the columns of the linear
// layers that read it are multiplied by the same. Powers of two, so fp32 and bf16 give the same bits as
// before; int8 rounds otherwise, and fp16 where a value is subnormal in it. After SmoothQuant (Xiao et al.
// 2023); a channel's factor is (greatest activation)^0.7 / (greatest weight)^0.3, the activation seen on
// calibration images, divided by the channels' geometric mean of it and rounded to a power of two within
// 2^-12 and 2^12.
#ifndef SKINSIGHT_KERNELS_MODEL_SMOOTHING_H
#define SKINSIGHT_KERNELS_MODEL_SMOOTHING_H

#include "kernels/model/weights.h"
#include "kernels/network/network.h"

struct smoothing;

struct smoothing *smoothing_new(const struct network *network); // borrowed until smoothing_free
void smoothing_free(struct smoothing *smoothing);               // NULL is allowed

// The function of a row_observer (backend.h); the context is the smoothing.
void smoothing_see(void *smoothing, const struct operation *layernorm, const float *row, int columns);

// Changes the weights of the network. A LayerNorm of which nothing was seen, or which has other readers than
// linear layers, or the head as a reader, stays. Returns how many were changed.
int smoothing_apply(const struct smoothing *smoothing, struct weights *weights);

#endif
