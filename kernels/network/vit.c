// vit.c: a vision transformer as a list of operations, with timm's names and numbers.
//
// Patches by a convolution whose stride is their side, class token first, learnt positions, pre-norm blocks
// (attention, then a perceptron four times as wide, each added to what came in), the class token's last
// LayerNorm and a linear head. timm normalises all tokens and then takes the first one; taking it first
// gives the same values with less work. Dropout stands where the paper has it (Dosovitskiy et al. 2021):
// behind the positions and every linear layer but that of queries, keys and values, and timm's in front of
// the head. DINOv2 (Oquab et al. 2023) scales what attention and perceptron give by a learnt vector each
// before they are added (LayerScale). That is part of the linear layer in front of it here: layer_scale.h
// multiplies it in.
#include "kernels/network/vit.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "kernels/network/network_build.h"

enum { MLP_RATIO = 4 };

static const float norm_epsilon = 1e-6f; // timm's, not PyTorch's default of 1e-5

struct vit_size {
    const char *name;
    int patch, width, depth, heads;
};
static const struct vit_size sizes[] = {
    {"vit_tiny_patch16_224", 16, 192, 12, 3},     {"vit_small_patch16_224", 16, 384, 12, 6},
    {"vit_base_patch16_224", 16, 768, 12, 12},    {"vit_large_patch16_224", 16, 1024, 24, 16},
    {"vit_small_patch14_dinov2", 14, 384, 12, 6},
};

static const char *block_name(char text[TENSOR_NAME_SIZE], int block, const char *part)
{
    snprintf(text, TENSOR_NAME_SIZE, "blocks.%d.%s", block, part);
    return text;
}

// Appends a block and returns its output.
static int add_block(struct network *network, int input, const struct vit_size *size, int block)
{
    char name[TENSOR_NAME_SIZE];
    int x = network_add_layernorm(network, input, norm_epsilon, block_name(name, block, "norm1"));
    x = network_add_linear(network, x, 3 * size->width, block_name(name, block, "attn.qkv"));
    x = network_add_attention(network, x, size->heads);
    network->explained_op = network->operation_count - 1; // the last block's stays
    x = network_add_linear(network, x, size->width, block_name(name, block, "attn.proj"));
    int attended = network_add_sum(network, input, network_add_dropout(network, x));
    x = network_add_layernorm(network, attended, norm_epsilon, block_name(name, block, "norm2"));
    x = network_add_linear(network, x, MLP_RATIO * size->width, block_name(name, block, "mlp.fc1"));
    x = network_add_dropout(network, network_add_gelu(network, x));
    x = network_add_linear(network, x, size->width, block_name(name, block, "mlp.fc2"));
    return network_add_sum(network, attended, network_add_dropout(network, x));
}

void vit_build(struct network *network)
{
    const struct vit_size *size = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (strcmp(network->architecture, sizes[i].name) == 0)
            size = &sizes[i];
    assert(size);
    network->map_height = network->map_width = network->image_size / size->patch;
    const struct convolution_shape patches = {.height = network->image_size,
                                              .width = network->image_size,
                                              .channels = size->width,
                                              .kernel = size->patch,
                                              .stride = size->patch,
                                              .groups = 1,
                                              .bias = true};
    int x = network_add_normalise(network);
    x = network_add_convolution(network, x, &patches, "patch_embed.proj");
    x = network_add_dropout(network, network_add_tokens(network, x, "cls_token", "pos_embed"));
    for (int block = 0; block < size->depth; block++)
        x = add_block(network, x, size, block);
    x = network_add_first_row(network, x);
    x = network_add_layernorm(network, x, norm_epsilon, "norm");
    network_add_head(network, x, "head");
}
