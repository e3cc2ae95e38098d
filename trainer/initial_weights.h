// initial_weights.h: what a network begins with that starts from nothing, as timm does: normal values for
// weights and tokens, 1 for the weights of norms and variances, 0 for biases and means. Each value is a
// function of the seed, its tensor and its place.
#ifndef SKINSIGHT_TRAINER_INITIAL_WEIGHTS_H
#define SKINSIGHT_TRAINER_INITIAL_WEIGHTS_H

#include "kernels/model/weights.h"
#include "kernels/network/network.h"

// Adds all parameters of the network. Deviation of weights: 0.02, cut at two deviations, in networks of
// tokens; sqrt(2 / fan out) for convolutions elsewhere (He et al. 2015).
void initial_weights_fill(struct weights *weights, const struct network *network, uint64_t seed);
// Gives the layer that makes the logits these values in weights that have all parameters.
void initial_weights_replace_head(struct weights *weights, const struct network *network, uint64_t seed);

#endif
