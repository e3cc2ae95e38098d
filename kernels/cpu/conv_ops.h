// conv_ops.h: what the fast CPU executor of convolutional networks does with rows of channels, per
// instruction set: the end of a tile of a product, convolutions channel by channel, pooling.
//
// A row is one place of a feature map with its channels side by side. Each function's result for a place
// depends on that place and the size of the map only: not on how the work is split. conv_ops_plain.c is the
// formula. Every pointer is the caller's; strides are in bytes. Any thread.
#ifndef SKINSIGHT_KERNELS_CPU_CONV_OPS_H
#define SKINSIGHT_KERNELS_CPU_CONV_OPS_H

#include <stddef.h>

enum activation { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_SILU, ACTIVATION_SIGMOID };

// out = activation(tile + bias + residual). tile and bias can be read up to the next 32 columns.
struct conv_finish {
    int rows, columns;
    const float *tile;
    int tile_stride; // in values
    const float *bias;
    const float *residual; // NULL: none; may be out
    size_t residual_stride;
    enum activation activation;
    float *out;
    size_t out_stride;
};

// One row of places of one image: of a convolution with one channel a group, or of a largest value.
struct conv_window {
    const float *in; // the image's first place
    size_t in_stride;
    int height, width; // of the input
    int channels, kernel, stride, padding;
    int y, places; // of the output
    float *out;    // its first place of row y
    size_t out_stride;
    const float *weight; // depthwise: (kernel, kernel, weight_stride)
    int weight_stride;   // in values; at least channels
    const float *bias;
    enum activation activation;
    float *sums; // depthwise: the sum of each channel over the row's places; NULL: not wanted
};

struct conv_ops {
    void (*finish)(const struct conv_finish *finish);
    void (*depthwise)(const struct conv_window *window);
    void (*max_pool)(const struct conv_window *window);
    // out[i] = factor * (the sum of in[i] over the rows, first to last)
    void (*sum_rows)(const float *in, size_t in_stride, int rows, int count, float factor, float *out);
    void (*multiply)(const float *a, const float *b, int count, float *out);
};

extern const struct conv_ops conv_ops_avx512, conv_ops_avx2, conv_ops_plain;

#endif
