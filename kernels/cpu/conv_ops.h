// conv_ops.h: what the executor of convolutional networks does with rows of channels, per
// instruction set: the end of a tile of a product, convolutions channel by channel, Winograd, pooling.
//
// A row is one place of a feature map with its channels side by side. Each function's result for a place
// depends on that place and the size of the map only: not on how the work is split.
// tests/support/conv_ops_plain.c is the formula. Every pointer is the caller's; strides are in bytes. Any
// thread.
#ifndef SKINSIGHT_KERNELS_CPU_CONV_OPS_H
#define SKINSIGHT_KERNELS_CPU_CONV_OPS_H

#include <stddef.h>

enum activation { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6, ACTIVATION_SILU, ACTIVATION_SIGMOID };

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

// Some rows of places of one image and some channels: of a convolution with one channel a group, or of max
// pooling.
struct conv_window {
    const float *in; // the image's first place; pointers stand at the first channel
    size_t in_stride;
    int height, width; // of the input
    int channels, kernel, stride, padding;
    int y, lines, places; // of the output: the first row, rows, places of a row
    float *out;           // the first place of row y
    size_t out_stride;
    const float *weight; // depthwise: (kernel, kernel, weight_stride)
    int weight_stride;   // in values; at least channels
    const float *bias;
    enum activation activation;
    float *sums;        // depthwise: the sum of each channel over a row's places; NULL: not wanted
    size_t sums_stride; // from row to row
};

// A 3 x 3 convolution with stride 1 and a padding of 1 as products at the points of Winograd's algorithm
// (Lavin and Gray, 2015): with F(4 x 4, 3 x 3) a tile of 4 x 4 places needs 36 multiply-adds for each pair of
// channels instead of 144, with F(2 x 2, 3 x 3) one of 2 x 2 places 16 instead of 36. Parts of a tile that
// lie outside the map are read as zero and not written. Sums are as exact as the tile's greatest value lets
// them be, not their own: about 8 x 2^-24 of it with tiles of 4 (test_winograd.c). Their mean error is then 7
// times that of plain sums, with tiles of 2 it is theirs.
enum { WINOGRAD_TILE = 4, WINOGRAD_SIDE = 6, WINOGRAD_POINTS = 36 }; // at the most

struct winograd_tile {
    int size;                // places of a side, 2 or 4; (size + 2)^2 points
    int height, width, y, x; // of the map; the tile's first place
    int columns;             // channels in, or some of the channels out
    const float *in;         // into points: the image's first place; out of them: the first point's sums,
    size_t in_stride;        //   which can be read up to the next 32 columns
    float *out;              // the other way round
    size_t out_stride;       // from place to place, from point to point
    const float *bias;       // and the others: out of points only, as in conv_finish
    const float *residual;   // the image's first place
    size_t residual_stride;
    enum activation activation;
};

struct conv_ops {
    void (*winograd_in)(const struct winograd_tile *tile);
    void (*winograd_out)(const struct winograd_tile *tile);
    void (*finish)(const struct conv_finish *finish);
    void (*depthwise)(const struct conv_window *window);
    void (*max_pool)(const struct conv_window *window);
    // out[i] = factor * (the sum of in[i] over the rows, first to last)
    void (*sum_rows)(const float *in, size_t in_stride, int rows, int count, float factor, float *out);
    void (*multiply)(const float *a, const float *b, int count, float *out);
    // out[row][i] = in[row][i] * factors[row]
    void (*scale_rows)(const float *in, const float *factors, int rows, int count, float *out);
};

extern const struct conv_ops conv_ops_avx512, conv_ops_avx2;

#endif
