// mini_vit.h: a vision transformer small enough to run hundreds of times in a test, with odd numbers: 48 x 48
// pixels, 9 patches of 16, two blocks. Static functions, so that a test includes it and nothing is linked.
#ifndef SKINSIGHT_TESTS_SUPPORT_MINI_VIT_H
#define SKINSIGHT_TESTS_SUPPORT_MINI_VIT_H

#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/model/random_weights.h"
#include "kernels/network/network_build.h"

enum { MINI_SIDE = 48, MINI_VIEW = MINI_SIDE * MINI_SIDE * 3, MINI_CLASSES = 8, MINI_PATCHES = 9 };

static inline int mini_block(struct network *network, int input, int width, int heads, const char *name)
{
    char prefix[6][32];
    static const char *const parts[] = {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"};
    for (int i = 0; i < 6; i++)
        snprintf(prefix[i], sizeof prefix[i], "%s.%s", name, parts[i]);
    int x = network_add_layernorm(network, input, 1e-6f, prefix[0]);
    x = network_add_linear(network, x, 3 * width, prefix[1]);
    x = network_add_attention(network, x, heads);
    network->explained_op = network->operation_count - 1;
    x = network_add_linear(network, x, width, prefix[2]);
    int attended = network_add_sum(network, input, x);
    x = network_add_layernorm(network, attended, 1e-6f, prefix[3]);
    x = network_add_linear(network, x, 3 * width, prefix[4]);
    x = network_add_gelu(network, x);
    x = network_add_linear(network, x, width, prefix[5]);
    return network_add_sum(network, attended, x);
}

// 9 patches of any side up to 16; such a network reads the beginning of a view. Free with network_free.
static inline struct network *mini_vit_of_patches(int patch, int width, int heads)
{
    struct network *network = memory_alloc(sizeof *network);
    strcpy(network->architecture, "mini_vit");
    network->image_size = 3 * patch;
    network->classes = MINI_CLASSES;
    network->map_height = network->map_width = 3;
    for (int i = 0; i < 3; i++) {
        network->mean[i] = 0.4f + 0.05f * (float)i;
        network->std[i] = 0.25f;
    }
    const struct convolution_shape patches = {.height = network->image_size,
                                              .width = network->image_size,
                                              .channels = width,
                                              .kernel = patch,
                                              .stride = patch,
                                              .groups = 1,
                                              .bias = true};
    int x = network_add_normalise(network);
    x = network_add_convolution(network, x, &patches, "patch_embed.proj");
    x = network_add_tokens(network, x, "cls_token", "pos_embed");
    x = mini_block(network, x, width, heads, "blocks.0");
    x = mini_block(network, x, width, heads, "blocks.1");
    x = network_add_first_row(network, x);
    x = network_add_layernorm(network, x, 1e-6f, "norm");
    network_add_head(network, x, "head");
    return network;
}

static inline struct network *mini_vit(int width, int heads)
{
    return mini_vit_of_patches(MINI_SIDE / 3, width, heads);
}

// Image `index` of an endless series of noise.
static inline void mini_view(uint8_t view[MINI_VIEW], int index)
{
    for (int i = 0; i < MINI_VIEW; i++)
        view[i] = (uint8_t)(random_weights_bits((uint64_t)index, "view", (uint64_t)i) >> 56);
}

#endif
