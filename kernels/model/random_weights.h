// random_weights.h: weights for a network without a file, for tests, demos and fresh heads.
//
// Value i of a tensor depends on the seed, the tensor's name and i alone, so any part can be made again and
// tests/golden/random_weights.py makes the same bits:
//   bits(seed, name, i) = mix((mix(seed) ^ fnv1a64(name)) + (i + 1) * 0x9e3779b97f4a7c15), mix: splitmix64's
//   u = (bits >> 40) * 2^-23 - 1, exact in float, in [-1, 1)
//   value = by the kind of tensor
//     "*.bias", "*.running_mean"     u / 16
//     "*.running_var"                1/2 + u / 16: makes up for what activations take from the variance
//     cls_token, pos_embed           u / 4
//     one dimension (norm weights)   1 + u / 8
//     others                         u * sqrt(3 / fan_in): the output's variance is the input's
#ifndef SKINSIGHT_KERNELS_MODEL_RANDOM_WEIGHTS_H
#define SKINSIGHT_KERNELS_MODEL_RANDOM_WEIGHTS_H

#include "kernels/model/weights.h"
#include "kernels/network/network.h"

uint64_t random_weights_bits(uint64_t seed, const char *name, uint64_t index);

// Adds one tensor with the network's name and shape, or all that the network names.
void random_weights_add(struct weights *weights, const char *name, int rank, const int64_t *shape,
                        uint64_t seed);
void random_weights_fill(struct weights *weights, const struct network *network, uint64_t seed);

#endif
