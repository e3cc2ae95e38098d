// rollout.h: attention rollout (Abnar and Zuidema 2020): the class token's row of the product over the
// blocks, last first, of (mean over heads + 1) / 2. The means of all blocks are kept; the row is multiplied
// through at the end, which needs no product of matrices.
#ifndef SKINSIGHT_KERNELS_CPU_ROLLOUT_H
#define SKINSIGHT_KERNELS_CPU_ROLLOUT_H

#include <stddef.h>

#include "kernels/cpu/team.h"

struct rollout {
    int blocks, images, heads, tokens;
    float *weights; // (images, heads, tokens, tokens): the softmax weights of the block at hand
    float *means;   // (blocks, images, tokens, tokens)
    double *rows;   // (images, 2, tokens): workspace
};

// Bytes for weights, means and rows, and their places in such memory, 64-byte aligned.
size_t rollout_size(const struct rollout *rollout);
void rollout_place(struct rollout *rollout, void *memory);

// Takes the mean over the heads of the first `queries` rows of the first images' weights.
void rollout_add(struct team *team, const struct rollout *rollout, int block, int images, int queries);

// maps: (images, tokens - 1): the class token's row without itself. Of the last block only the first row is
// read.
void rollout_finish(struct team *team, const struct rollout *rollout, int images, float *maps);

#endif
