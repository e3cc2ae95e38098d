// network.h: a network as data: a list of operations over activation tensors, in the order they run.
//
// Read by the C and the CUDA compiler alike. A builder (model/vit.c, ...) makes the list from an
// architecture's numbers; it never looks at a device. A backend reads the list when it prepares a plan.
//
// Activations have shape (rows, columns) for each image, row-major float. Tokens: rows = tokens, columns =
// width. Feature maps: rows = height * width, columns = channels (channels last). The input is the network's
// view: height x width x 3 bytes of RGB, normalised by the first operation with (value / 255 - mean) / std.
#ifndef SKINSIGHT_KERNELS_NETWORK_H
#define SKINSIGHT_KERNELS_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"
#include "kernels/weights.h"

enum op_kind {
    OP_NORMALISE,   // view bytes -> (height*width, 3)
    OP_CONVOLUTION, // (h*w, c) -> (h'*w', c'); weight (c', c/groups, kh, kw), optional bias
    OP_TOKENS,    // (patches, d) -> (1 + patches, d): class token first, positions added; weights cls_token,
                  // pos_embed
    OP_LAYERNORM, // each row to mean 0, variance 1 (biased), times weight plus bias, epsilon
    OP_LINEAR,    // (r, k) -> (r, n): x * weight^T + bias; weight (n, k)
    OP_ATTENTION, // (tokens, 3*d) of fused q, k, v -> (tokens, d): softmax(q k^T / sqrt(d / heads)) v
    OP_GELU,      // x/2 * (1 + erf(x / sqrt 2)), exact
    OP_ADD,       // input + second, same shape
    OP_FIRST_ROW, // (r, c) -> (1, c)
    OP_KIND_COUNT
};

enum { NETWORK_MAX_OPERATIONS = 1024, NETWORK_MAX_TENSORS = 1024 };

struct tensor {
    int rows; // of one image
    int columns;
};

struct operation {
    enum op_kind kind;
    int input;  // tensor indices; -1: none
    int second; // OP_ADD
    int output;
    char weight[TENSOR_NAME_SIZE]; // names in the weights file; empty: none
    char bias[TENSOR_NAME_SIZE];
    int height, width; // OP_CONVOLUTION, OP_NORMALISE: of the input
    int kernel_height, kernel_width, stride, padding, groups;
    int heads;     // OP_ATTENTION
    float epsilon; // OP_LAYERNORM
};

struct network {
    char architecture[64];
    int image_size; // the view is image_size x image_size
    int classes;
    float mean[3], std[3];
    struct tensor tensors[NETWORK_MAX_TENSORS];
    int tensor_count;
    struct operation operations[NETWORK_MAX_OPERATIONS];
    int operation_count;
    int logits;                // tensor (1, classes)
    int attention;             // index of the operation whose class-token rows explain the answer; -1: none
    int map_height, map_width; // of the explanation: 14 x 14 for patch 16 at 224
};

// The network of an architecture name ("vit_base_patch16_224") with the given head. Free with network_free.
// REJECTED lists the names known.
enum status network_build(struct network **network, const char *architecture, int classes,
                          struct error *err) MUST_CHECK;
void network_free(struct network *network);
const char *const *network_architectures(void); // NULL-terminated

// Every tensor the network names exists with the right shape and a float type, and every value is finite;
// REJECTED names the first tensor that does not fit and what was expected.
enum status network_check_weights(const struct network *network, const struct weights *weights,
                                  struct error *err) MUST_CHECK;
// Shape that the network expects of a weight name; rank 0 when it uses no such name.
int network_weight_shape(const struct network *network, const char *name, int64_t shape[TENSOR_MAX_RANK]);
// Floating-point operations of one image (a multiply-add counts two), matrix products and convolutions only.
double network_flops(const struct network *network);

#endif
