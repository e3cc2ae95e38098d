// gradient_list.h: the backward pass of a network as data: its operations in reverse, what each has to give
// and what it needs to be kept for it. Executors run it; nothing here knows numbers or a device.
//
// A gradient of a tensor is the sum over the operations that read it. The list says of each who comes first
// and stores, and who adds. An operation of which nobody wants a gradient has no step.
//
// What must be kept of the forward pass: the inputs of matrix products, of norms and of GELU, SiLU and the
// pool; the outputs of ReLU, ReLU6 and sigmoid; both factors of OP_SCALE. Dropout keeps nothing: its mask is
// made again from its counter (dropout.h). Attention keeps q, k and v, and computes its weights again.
#ifndef SKINSIGHT_KERNELS_GRADIENT_LIST_H
#define SKINSIGHT_KERNELS_GRADIENT_LIST_H

#include "kernels/network/network.h"

// What an operation does with the gradient of a tensor that it reads.
enum gradient_use {
    GRADIENT_NONE, // nobody wants it
    GRADIENT_STORE,
    GRADIENT_ADD,
};

struct gradient_step {
    int operation;
    enum gradient_use input, second;
    bool parameters; // some of its parameters are trained: their gradients are wanted
    bool diversity;  // the attention whose class token's entropy is part of the loss
};

struct gradient_list {
    struct gradient_step steps[NETWORK_MAX_OPERATIONS]; // in the order they run: the logits' layer first
    int count;
    // The operations in front of the first one that is trained: they compute as in a network that answers.
    int frozen_operations;
    bool kept[NETWORK_MAX_TENSORS];         // values that a step reads
    bool has_gradient[NETWORK_MAX_TENSORS]; // tensors of which a step makes or reads the gradient
};

// trained: of each parameter. The network is not folded. Running statistics are never trained.
void gradient_list_make(struct gradient_list *list, const struct network *network,
                        const bool trained[NETWORK_MAX_PARAMETERS]);

#endif
