// layer_scale.h: LayerScale (Touvron et al. 2021), a learnt vector that some transformers multiply what
// attention and perceptron give by, before it is added: timm's blocks.N.ls1.gamma and blocks.N.ls2.gamma.
//
// The linear layer in front of it gives the same values when its rows and its bias are multiplied by the
// vector. Our networks have no such operation; import folds it away. No state, any thread.
#ifndef SKINSIGHT_KERNELS_MODEL_LAYER_SCALE_H
#define SKINSIGHT_KERNELS_MODEL_LAYER_SCALE_H

#include <stdbool.h>

#include "kernels/model/weights.h"

// Whether the tensor is such a vector.
bool layer_scale_is(const char *name);

// Multiplies each vector of source into blocks.N.attn.proj and blocks.N.mlp.fc2 of target, in double and
// rounded once. What weights_at and weights_find gave of those before becomes invalid. REJECTED: a vector
// whose layer is missing or has another number of rows.
enum status layer_scale_fold(const struct weights *source, struct weights *target,
                             struct error *err) MUST_CHECK;

#endif
