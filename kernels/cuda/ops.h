// ops.h: the operations on the GPU, one launcher for each, in a file of the operation's name. Each puts its
// kernels on the stream and returns; device_check tells whether a launch was refused.
//
// Every value of an image depends on that image alone, and on nothing that the batch's size decides: same
// image, same bits. Pointers are the device's. Strides and sizes count values unless they say bytes.
//
// Read by the C and the CUDA compiler alike.
#ifndef SKINSIGHT_KERNELS_CUDA_OPS_H
#define SKINSIGHT_KERNELS_CUDA_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cuda/device.h"
#include "kernels/storage.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SLICE_MAX = 64 }; // images that go through a plan at once

// value = scale * (byte - zero)
struct quantised_row {
    float scale;
    int32_t zero;
};

// Row r begins at data + r * stride values; its scale, for STORE_UINT8, is scales[r * scale_stride].
struct matrix {
    void *data;
    struct quantised_row *scales;
    enum storage storage;
    int rows, columns;
    int64_t stride;
    int scale_stride;
};

// What is done to a value before it is written.
enum finish { FINISH_NONE, FINISH_GELU, FINISH_RELU, FINISH_RELU6, FINISH_SILU, FINISH_SIGMOID };

// How a square window goes over maps of height * width places; zeros are all around them.
struct window {
    int height, width; // of the input
    int kernel, stride, padding;
    int out_height, out_width; // windows of one map
};

// Views -> (windows of all images) rows of kernel * kernel * 3 values in the order y, x, channel, normalised
// by table[channel * 256 + byte], and zeros up to out's columns, a multiple of 4.
void cuda_patches(device_stream stream, const uint8_t *views, const float *table, struct window window,
                  struct matrix out);

// out, float, has 1 + patches rows for each image: class token, then the patches' rows, each plus its
// position.
void cuda_tokens(device_stream stream, struct matrix patches, int patches_per_image, const float *class_token,
                 const float *positions, struct matrix out);

// Rows of at most LAYERNORM_MAX_COLUMNS floats, a multiple of 4 -> float, half or bytes. One warp a row.
enum { LAYERNORM_MAX_COLUMNS = 1024 };
void cuda_layernorm(device_stream stream, struct matrix in, const float *weight, const float *bias,
                    float epsilon, struct matrix out);

// Exact GELU (erf). in and out may be the same.
void cuda_gelu(device_stream stream, struct matrix in, struct matrix out);
void cuda_add(device_stream stream, struct matrix a, struct matrix b, struct matrix out); // float

// Maps of (height * width) rows for each image -> maps of (out_height * out_width) rows, columns a multiple
// of 4, in and out in one storage, not bytes. A depthwise convolution has kernels of 3 or 5 and strides of 1
// or 2, a weight (kernel, kernel, columns) and a bias in float.
struct window_call {
    struct matrix in, out;
    struct window window;
    const float *weight, *bias; // depthwise
    enum finish finish;         // depthwise: none, SiLU or ReLU6
};
void cuda_depthwise(device_stream stream, const struct window_call *call);
void cuda_max_pool(device_stream stream, const struct window_call *call); // padding is never the largest

// out, float: each group of `group` rows of an image (its last one may have fewer) summed up, times factor.
// An image of in has `rows` rows. Columns a multiple of 4, in no bytes. Summed in the same order whatever
// the batch.
void cuda_sum_rows(device_stream stream, struct matrix in, int rows, int group, float factor,
                   struct matrix out);
// Every row of an image's `rows` times that image's row of gate, float. in and out, in one storage, may be
// the same.
void cuda_scale(device_stream stream, struct matrix in, int rows, struct matrix gate, struct matrix out);
// The class-activation map (network.h) of each image's `places` rows of features: each place's product with
// the row of weight (classes, columns) that belongs to the greatest of the image's logits. map is (images,
// places).
struct class_map_call {
    struct matrix features;
    int places, classes;
    const float *weight, *logits;
    float *map;
};
void cuda_class_map(device_stream stream, const struct class_map_call *call);

// Any rows -> rows of another storage. To bytes: least and greatest value (zero included) map to 0 and 255.
void cuda_convert(device_stream stream, struct matrix in, struct matrix out);

// (tokens, 3 * width) rows of q, k, v -> (tokens, width) rows, all heads; only the first row of each image
// when out.rows is images. The class token's weights for the other tokens go to map (images, heads, tokens -
// 1) unless it is NULL. in and out have the same storage, not bytes.
enum { ATTENTION_MAX_TOKENS = 624, ATTENTION_MAX_HEAD_WIDTH = 128 };
struct attention_call {
    struct matrix in, out;
    int images, tokens, heads;
    float *map;
    int compute_capability, multiprocessors;
};
void cuda_attention(device_stream stream, const struct attention_call *call);

// out = finish(a * weight^T + bias + residual), but GELU comes before the residual; each where asked. With a
// window, a holds maps whose windows, in the order y, x, channel, are the rows to be multiplied: a
// convolution. weight is (n, k) in the storage of a, signed bytes against STORE_UINT8. Sums are float, of
// ascending k, exact for bytes, and the same bits whatever the tile: no other kernel of the backend may be
// put in its place without changing an image's answer. Needs k * storage_size a multiple of 16 and rows that
// begin at multiples of 16 bytes (float: of 4); with a window, rows of a that are multiples of
// WINDOW_ROW_BYTES, and no bytes.
enum { WINDOW_ROW_BYTES = 64 };
struct product_call {
    struct matrix a;
    const void *weight;
    const float *bias; // NULL: none
    enum finish finish;
    struct window window; // kernel 0: none
    const void *residual; // with out's shape and storage; NULL: none; may be out's data
    int64_t residual_stride;
    struct matrix out;         // float, or the half storage
    const float *column_scale; // bytes only: value = (sum - zero * column_sum) * (row's scale * column_scale)
    const int32_t *column_sum;
    int compute_capability, multiprocessors;
};
void cuda_product(device_stream stream, const struct product_call *call);

// Weights (n, k) as signed bytes: the row's greatest magnitude maps to 127; its scale and the sum of its
// bytes.
void cuda_quantise_weights(device_stream stream, const float *in, int n, int k, int8_t *out, float *scale,
                           int32_t *sum);

#ifdef __cplusplus
}
#endif

#endif
