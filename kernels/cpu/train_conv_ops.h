// train_conv_ops.h: what training a convolutional network does beside matrix products, per instruction set,
// on rows of channels as conv_ops.h has them: batch normalisation with the activation behind it, gradients of
// depthwise convolutions and pooling, filters and their gradients under Winograd's algorithm (conv_ops.h),
// and the product that gives a filter's gradient. train_plain has the formulas. Sums go down the rows in
// their order. Matrices have no gaps between rows. Any thread.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_CONV_OPS_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_CONV_OPS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cpu/conv_ops.h"

enum { OUTER_COLUMNS = 32, OUTER_MAX_ROWS = 12 };

// sums[r][i] += over lines and places: a[r] * b[i], for rows x columns values. Strides are in values. 32
// values of b can be read wherever one is.
struct outer_product {
    int rows, columns; // 1 .. the instruction set's outer_rows, 1 .. OUTER_COLUMNS
    int lines, places;
    const float *a, *b;
    size_t a_place, a_line, b_place, b_line;
    float *sums;
    size_t sums_stride;
};

// Some rows of a batch normalisation: u = (x - mean) * scale + bias, y = activation(u).
struct norm_rows {
    int rows, columns;
    const float *x;
    const float *mean, *scale, *bias; // of each column
    enum activation activation;       // not the sigmoid
    float *y;
    const float *dy; // by y; g is what it is by u
    float *dx;       // dx = g * scale - offset - (x - mean) * slope
    bool adds;       // to what is in dx
    const float *offset, *slope;
};

// One image of a convolution channel by channel, or of max pooling; pointers stand at the first channel.
struct window_gradient {
    int height, width, output_height, output_width;
    int kernel, stride, padding;
    int stride_values;   // from place to place: all channels
    int channels;        // to be done
    const float *x, *dy; // of input and output
    const float *weight; // (kernel, kernel, stride_values)
    float *dx;
    bool adds;
    float *weight_sums; // (kernel, kernel, stride_values): added to
};

// Filters of 3 x 3 side by side at the points of Winograd's algorithm.
struct winograd_filters {
    int size;             // of the tile
    int columns;          // whole vectors
    const float *taps;    // nine rows
    ptrdiff_t tap_stride; // in values, as point_stride; negative turns the filters round
    float *points;
    size_t point_stride;
};

struct train_conv_ops {
    int outer_rows;
    void (*outer)(const struct outer_product *product);
    // Of each column of a block: mean, and sum of squares about it.
    void (*moments)(const float *x, int rows, int columns, float *means, float *squares);
    void (*norm)(const struct norm_rows *rows);
    // Of each column: sums of g and of g * (x - mean).
    void (*norm_sums)(const struct norm_rows *rows, float *plain, float *products);
    void (*norm_gradient)(const struct norm_rows *rows);
    void (*activate)(enum activation activation, const float *x, int count, float *y);
    // kept: the input of SiLU, the output of the others.
    void (*activation_gradient)(enum activation activation, const float *kept, const float *dy, int count,
                                bool adds, float *dx);
    void (*add)(const float *a, const float *b, int count, float *out);
    // Each row of `in` times factors; adds: to what is there.
    void (*scale)(const float *in, const float *factors, int rows, int columns, bool adds, float *out);
    // out[i] = sum over the rows of a * b
    void (*column_products)(const float *a, const float *b, int rows, int columns, bool adds, float *out);
    void (*depthwise_input)(const struct window_gradient *window, int y); // of one line of the input
    void (*depthwise_weight)(const struct window_gradient *window);
    void (*max_pool)(const struct window_gradient *window); // adds to dx
    void (*winograd_filters)(const struct winograd_filters *filters);
    // With tiles of 4: at the points, the gradient by what they gave; in: by the map's places.
    void (*winograd_slopes)(const struct winograd_tile *tile);
    // taps (9, tap_stride): a filter's gradient from that by its points.
    void (*winograd_taps)(const float *points, size_t point_stride, int columns, float *taps,
                          size_t tap_stride);
};

extern const struct train_conv_ops train_conv_ops_avx512, train_conv_ops_avx2;

#endif
