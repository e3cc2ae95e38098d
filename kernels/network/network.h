// network.h: a network as data: a list of operations over activation tensors, in the order they run.
//
// Read by the C and the CUDA compiler alike. A builder (model/vit.c, ...) makes the list from an
// architecture's numbers; it never looks at a device. A backend reads the list when it prepares a plan.
//
// Activations have shape (rows, columns) for each image, row-major float. Tokens: rows = tokens, columns =
// width. Feature maps: rows = height * width, columns = channels (channels last). The input is the network's
// view: height x width x 3 bytes of RGB, normalised by the first operation with (value / 255 - mean) / std.
#ifndef SKINSIGHT_KERNELS_NETWORK_NETWORK_H
#define SKINSIGHT_KERNELS_NETWORK_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

enum { TENSOR_MAX_RANK = 5, TENSOR_NAME_SIZE = 128 };

enum op_kind {
    OP_NORMALISE,   // view bytes -> (height*width, 3)
    OP_CONVOLUTION, // (h*w, c) -> (h'*w', c'); weight (c', c/groups, kh, kw), optional bias; padding is zero
    OP_BATCHNORM,   // each column: (x - mean) / sqrt(variance + epsilon) times weight plus bias; follows a
                    // convolution that nothing else reads
    OP_DROPOUT,     // training only: a share of the values is 0, the others grow so that the mean stays
    OP_TOKENS,    // (patches, d) -> (1 + patches, d): class token first, positions added; weights cls_token,
                  // pos_embed
    OP_LAYERNORM, // each row to mean 0, variance 1 (biased), times weight plus bias, epsilon
    OP_LINEAR,    // (r, k) -> (r, n): x * weight^T + bias; weight (n, k)
    OP_ATTENTION, // (tokens, 3*d) of fused q, k, v -> (tokens, d): softmax(q k^T / sqrt(d / heads)) v
    OP_GELU,      // x/2 * (1 + erf(x / sqrt 2)), exact
    OP_ADD,       // input + second, same shape
    OP_FIRST_ROW, // (r, c) -> (1, c)
    OP_RELU,      // max(x, 0)
    OP_RELU6,     // min(max(x, 0), 6)
    OP_SILU,      // x / (1 + exp(-x))
    OP_SIGMOID,   // 1 / (1 + exp(-x))
    OP_MAX_POOL,  // (h*w, c) -> (h'*w', c): largest of each window, padding is never the largest
    OP_MEAN_ROWS, // (r, c) -> (1, c)
    OP_SCALE,     // input (r, c) times second (1, c), each row
    OP_KIND_COUNT
};

enum { NETWORK_MAX_OPERATIONS = 1024, NETWORK_MAX_TENSORS = 1024, NETWORK_MAX_PARAMETERS = 1024 };

// What a parameter is to training: the first three are learnt, weight decay is for matrices.
enum parameter_kind {
    PARAMETER_MATRIX, // weights of two and more dimensions
    PARAMETER_VECTOR, // biases, and the weights of norms
    PARAMETER_TOKEN,  // class token and positions
    PARAMETER_MEAN,   // a batch normalisation's statistics, kept while training goes on
    PARAMETER_VARIANCE,
};

// A tensor of the weights file.
struct parameter {
    char name[TENSOR_NAME_SIZE]; // timm's
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    enum parameter_kind kind;
};

struct tensor {
    int rows; // of one image
    int columns;
};

struct operation {
    enum op_kind kind;
    int input;  // tensor indices; -1: none
    int second; // OP_ADD, OP_SCALE
    int output;
    int weight; // indices of parameters; -1: none. OP_TOKENS: class token and positions
    int bias;
    // The first of a batch normalisation's four parameters: weight, bias, mean and variance stand one after
    // the other. OP_BATCHNORM: its own. OP_CONVOLUTION: of the one folded into it (network_fold). -1: none.
    int batchnorm;
    int height, width; // OP_CONVOLUTION, OP_MAX_POOL, OP_NORMALISE: of the input
    // OP_CONVOLUTION, OP_MAX_POOL: windows down and along the input. The first begins `padding` above and
    // left of it; how far the last ones reach beyond its end follows.
    int output_height, output_width;
    int kernel_height, kernel_width, stride, padding, groups;
    int heads;     // OP_ATTENTION
    float epsilon; // OP_LAYERNORM; of the batch normalisation
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
    struct parameter parameters[NETWORK_MAX_PARAMETERS]; // each name once, in the order of their operations
    int parameter_count;
    int logits;    // tensor (1, classes), output of an OP_LINEAR
    int embedding; // tensor (1, columns) that the head turns into logits
    // Index of the operation that explains the answer, -1: none. An OP_ATTENTION: its class token's row of
    // each head. Any other: its output is the last feature map (map_height * map_width, c), whose mean over
    // the rows the head turns into logits; the explanation is the class-activation map of the class with the
    // greatest logit (the first of equals): at each place the feature's product with that class's row of the
    // head's weight. Its mean over the places plus the head's bias is the logit.
    int explained_op;
    int map_height, map_width; // of the explanation: 14 x 14 for patch 16 at 224
};

// The network of an architecture name ("vit_base_patch16_224") with the given head, for images of 224 x 224
// or of another size. Free with network_free. REJECTED lists the names known, or the sizes it can
// take.
enum status network_build(struct network **network, const char *architecture, int classes,
                          struct error *err) MUST_CHECK;
enum status network_build_sized(struct network **network, const char *architecture, int image_size,
                                int classes, struct error *err) MUST_CHECK;
void network_free(struct network *network);
const char *const *network_architectures(void); // NULL-terminated

// The heads of the explanation: an attention's, or 1 for a class-activation map; 0: there is none.
int network_map_heads(const struct network *network);
// Whether the explanation is the class token's attention, not a class-activation map or nothing.
bool network_map_is_attention(const struct network *network);

// Index of the parameter of that name; -1: the network has none.
int network_find_parameter(const struct network *network, const char *name);
// Values of a parameter.
size_t parameter_size(const struct parameter *parameter);

// The network as it answers: batch normalisations are part of their convolutions, dropout is gone. Tensors
// and parameters keep their indices. Backends prepare plans of this one. Free with network_free.
struct network *network_fold(const struct network *network);

// What backends ask of a folded network when they make steps of operations. The only operation that reads the
// tensor; -1: none, several, or the tensor is the logits.
int network_only_reader(const struct network *network, int tensor);
// How many rows of each tensor are needed: all, or only the first (the class token's in the last block).
void network_needed_rows(const struct network *network, int rows[NETWORK_MAX_TENSORS]);
// Whether it begins with OP_NORMALISE, a convolution over patches that don't overlap, and OP_TOKENS.
bool network_has_patches(const struct network *network);
// What a product can do to its output before it writes it: the GELU and the sum that read it and are read by
// nobody else.
struct product_tail {
    bool gelu;
    int second; // of the sum; -1: none
    int output; // tensor after all of it
};
// index: of the product's operation. Sets `done` of what the tail takes, where that of earlier operations is
// set.
struct product_tail network_take_tail(const struct network *network, int index,
                                      bool done[NETWORK_MAX_OPERATIONS]);

// The part of the network that an operation belongs to. Embedding: up to the tokens, or the first convolution
// with its activation where there are none. Head: the logits' linear layer, and norm, class token or mean
// before it.
enum network_part { PART_EMBED, PART_BLOCKS, PART_HEAD, PART_COUNT };
enum network_part network_part_of(const struct network *network, int operation);
// Floating-point operations of one image (a multiply-add counts two), matrix products and convolutions only.
double network_flops(const struct network *network);

#endif
