// parameters.h: an operation's weight and bias as a backend computes with them: float32, the batch
// normalisation that follows a convolution folded into it. Backends take them from here when they prepare a
// plan, so that all compute with the same numbers (cpu/transformer_weights.c, whose networks have no batch
// normalisation, reads the tensors where they lie).
//
// Folding, in double and rounded once: scale = bn.weight / sqrt(bn.running_var + epsilon), weight' = weight *
// scale, bias' = bn.bias + (bias - bn.running_mean) * scale.
#ifndef SKINSIGHT_KERNELS_MODEL_PARAMETERS_H
#define SKINSIGHT_KERNELS_MODEL_PARAMETERS_H

#include "kernels/model/network_weights.h"

// Values of the weight and the bias, 0: the operation has none. The weight's order is
// its parameter's; the bias of a convolution or linear layer has one value for each output column.
size_t parameters_weight_count(const struct network *network, const struct operation *operation);
size_t parameters_bias_count(const struct network *network, const struct operation *operation);

// Fills weight and bias, which have that many places (NULL where the count is 0; one that is NULL is left
// out). network_check_weights has been asked before.
void parameters_read(const struct network *network, const struct operation *operation,
                     const struct weights *weights, float *weight, float *bias);

// Gives the source pages of the operation's weight and bias back to the system (weights_discard_pages).
void parameters_discard_pages(const struct network *network, const struct operation *operation,
                              const struct weights *weights);

#endif
