// build.h: what the builders of plans share: build_vit.c for vision transformers, build_cnn.c for
// convolutional networks; build.c calls the one that fits and lays out the memory.
#ifndef SKINSIGHT_KERNELS_CUDA_BUILD_H
#define SKINSIGHT_KERNELS_CUDA_BUILD_H

#include "kernels/cuda/plan.h"

struct builder {
    struct cuda_plan *plan;
    const struct network *network;
    bool map;                          // the explanation is wanted
    bool done[NETWORK_MAX_OPERATIONS]; // taken into an earlier step
};

// Gives an activation its shape; the tensors' have the tensors' indices.
void cuda_shape_activation(struct cuda_plan *plan, int index, int rows, int columns, enum storage storage);
// A row of pixels has zeros behind it up to a multiple of this many values.
enum { PIXEL_MULTIPLE = 8 };
int cuda_add_activation(struct cuda_plan *plan, int rows, int columns, enum storage storage);
// output has its shape.
struct step *cuda_add_step(struct builder *builder, enum step_kind kind, const struct operation *operation,
                           int input, int output);

// Whether it is a vision transformer; and REJECTED with the operation or shape that is missing.
bool cuda_is_vit(const struct network *network);
enum status cuda_check_vit(const struct network *network, enum precision precision,
                           struct error *err) MUST_CHECK;
void cuda_build_vit(struct builder *builder);
// REJECTED: an operation has no step.
enum status cuda_build_cnn(struct builder *builder, struct error *err) MUST_CHECK;

#endif
