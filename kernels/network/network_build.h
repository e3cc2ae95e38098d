// network_build.h: what a builder (model/vit.c, ...) appends to a network. Each call adds one operation,
// or one and what belongs to it, and returns the index of the output tensor. prefix names the weights:
// "blocks.0.norm1" stands for "blocks.0.norm1.weight" and "blocks.0.norm1.bias". A network beyond its limits
// is a bug of the builder and asserts. The network's image_size and classes are set before the first call.
#ifndef SKINSIGHT_KERNELS_NETWORK_NETWORK_BUILD_H
#define SKINSIGHT_KERNELS_NETWORK_NETWORK_BUILD_H

#include "kernels/network/network.h"

struct convolution_shape {
    int height, width; // of the input
    int channels;      // of the output
    int kernel, stride, groups;
    int padding; // on every side
    bool same;   // TensorFlow's SAME instead of `padding`: side / stride places, rounded up, with as much
                 // padding as they need, where it is odd one more at the end
    bool bias;
    const char *batchnorm; // prefix of the batch normalisation that follows as an operation; NULL: none
    float epsilon;         // of the batch normalisation
};

// Places of a window along a side of the input: the height or width of the output.
int network_window_count(int side, const struct convolution_shape *shape);

int network_add_normalise(struct network *network); // the first operation
int network_add_convolution(struct network *network, int input, const struct convolution_shape *shape,
                            const char *prefix);
int network_add_tokens(struct network *network, int input, const char *cls_token, const char *pos_embed);
int network_add_layernorm(struct network *network, int input, float epsilon, const char *prefix);
int network_add_linear(struct network *network, int input, int columns, const char *prefix);
// Dropout and the linear layer that gives the logits; what goes in is the embedding. Sets both.
int network_add_head(struct network *network, int input, const char *prefix);
int network_add_dropout(struct network *network, int input);
int network_add_attention(struct network *network, int input, int heads);
int network_add_gelu(struct network *network, int input);
int network_add_sum(struct network *network, int input, int second);
int network_add_first_row(struct network *network, int input);
int network_add_relu(struct network *network, int input);
int network_add_relu6(struct network *network, int input);
int network_add_silu(struct network *network, int input);
int network_add_sigmoid(struct network *network, int input);
// Of the shape it takes height, width, kernel, stride, padding and same.
int network_add_max_pool(struct network *network, int input, const struct convolution_shape *shape);
int network_add_mean_rows(struct network *network, int input);
int network_add_scale(struct network *network, int input, int second); // second: one row

#endif
