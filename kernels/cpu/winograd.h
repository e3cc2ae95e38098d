// winograd.h: convolutions of 3 x 3 with stride 1 and padding 1 over the maps of a batch, by Winograd's
// algorithm (conv_ops.h), in fp32: for the executors that answer and for those that train. A unit is a block
// of tiles by some panels of the weights: points of its tiles, their products, and places of these.
//
// A product is one sum over `part_depth` values in ascending order, or several such sums added up in theirs;
// nothing else decides its bits. Everything is the caller's. Thread: the caller of the team.
#ifndef SKINSIGHT_KERNELS_CPU_WINOGRAD_H
#define SKINSIGHT_KERNELS_CPU_WINOGRAD_H

#include "kernels/cpu/executor.h"

struct winograd_product {
    const struct cpu_device *device;
    const struct gemm_weights *weights; // of the first point; their bias is added
    size_t point_size;                  // bytes from one point's weights to the next's
    int size;                           // places of a tile's side
    int part_depth;
    int images, height, width;
    const float *in;       // maps one behind the other, as residual and out
    size_t in_stride;      // bytes from place to place
    const float *residual; // NULL: none; may be out
    size_t residual_stride;
    enum activation activation;
    float *out;
    size_t out_stride;
    int block;     // the most tiles of a unit
    char *scratch; // scratch_size bytes for each thread of the team
    size_t scratch_size;
};

int winograd_tiles(int size, int height, int width); // of a map
// Of winograd_product, the least there may be.
size_t winograd_scratch_size(const struct gemm_kernel *kernel, int size, int block, int depth);
void winograd_run(const struct winograd_product *product);

#endif
