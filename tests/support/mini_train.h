// mini_train.h: a network that has every operation once, small enough for finite differences by each of its
// parameters, and a batch for it. tests/golden/make_train.py has the same in PyTorch. Static functions, so
// that a test includes it and nothing is linked.
#ifndef SKINSIGHT_TESTS_SUPPORT_MINI_TRAIN_H
#define SKINSIGHT_TESTS_SUPPORT_MINI_TRAIN_H

#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/model/random_weights.h"
#include "kernels/network/network_build.h"
#include "kernels/training.h"

enum { TRAIN_SIDE = 12, TRAIN_VALUES = TRAIN_SIDE * TRAIN_SIDE * 3, TRAIN_CLASSES = 4, TRAIN_COUNT = 5 };

static inline int train_convolution(struct network *network, int input, int side, int channels, int kernel,
                                    int stride, int groups, const char *name, const char *norm)
{
    const struct convolution_shape shape = {.height = side,
                                            .width = side,
                                            .channels = channels,
                                            .kernel = kernel,
                                            .stride = stride,
                                            .padding = kernel / 2,
                                            .same = stride == 2 && groups == 1,
                                            .groups = groups,
                                            .bias = norm == NULL,
                                            .batchnorm = norm,
                                            .epsilon = 1e-3f};
    return network_add_convolution(network, input, &shape, name);
}

static inline int train_block(struct network *network, int input, int heads, int block)
{
    static const char *const parts[] = {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"};
    char names[6][32];
    int width = network->tensors[input].columns;
    for (int i = 0; i < 6; i++)
        snprintf(names[i], sizeof names[i], "blocks.%d.%s", block, parts[i]);
    int x = network_add_layernorm(network, input, 1e-6f, names[0]);
    x = network_add_linear(network, x, 3 * width, names[1]);
    x = network_add_attention(network, x, heads);
    network->explained_op = network->operation_count - 1;
    x = network_add_linear(network, x, width, names[2]);
    int attended = network_add_sum(network, input, network_add_dropout(network, x));
    x = network_add_layernorm(network, attended, 1e-6f, names[3]);
    x = network_add_linear(network, x, 2 * width, names[4]);
    x = network_add_dropout(network, network_add_gelu(network, x));
    x = network_add_linear(network, x, width, names[5]);
    return network_add_sum(network, attended, network_add_dropout(network, x));
}

// 6 x 6 places of 8 channels (TensorFlow's padding), pooled, widened and gated as in an EfficientNet, 3 x 3
// places as tokens of 12, two blocks. Free with network_free.
static inline struct network *mini_train(void)
{
    struct network *network = memory_alloc(sizeof *network);
    strcpy(network->architecture, "mini_train");
    network->image_size = TRAIN_SIDE;
    network->classes = TRAIN_CLASSES;
    network->map_height = network->map_width = 3;
    for (int i = 0; i < 3; i++)
        network->std[i] = 1;
    const struct convolution_shape pool = {.height = 6, .width = 6, .kernel = 3, .stride = 1, .padding = 1};
    int x = network_add_normalise(network);
    x = train_convolution(network, x, 12, 8, 3, 2, 1, "stem.conv", "stem.norm");
    int pooled = network_add_max_pool(network, network_add_relu(network, x), &pool);
    x = network_add_silu(network,
                         train_convolution(network, pooled, 6, 16, 1, 1, 1, "wide.conv", "wide.norm"));
    x = network_add_relu6(network,
                          train_convolution(network, x, 6, 16, 3, 1, 16, "depth.conv", "depth.norm"));
    int gate = network_add_mean_rows(network, x);
    gate = network_add_silu(network, train_convolution(network, gate, 1, 4, 1, 1, 1, "gate.reduce", NULL));
    gate = train_convolution(network, gate, 1, 16, 1, 1, 1, "gate.expand", NULL);
    x = network_add_scale(network, x, network_add_sigmoid(network, gate));
    x = train_convolution(network, x, 6, 8, 1, 1, 1, "narrow.conv", "narrow.norm");
    x = network_add_sum(network, x, pooled);
    x = train_convolution(network, x, 6, 12, 3, 2, 2, "patch.conv", NULL);
    x = network_add_dropout(network, network_add_tokens(network, x, "cls_token", "pos_embed"));
    x = train_block(network, x, 2, 0);
    x = train_block(network, x, 3, 1);
    x = network_add_layernorm(network, network_add_first_row(network, x), 1e-6f, "norm");
    network_add_head(network, x, "head");
    return network;
}

static inline float train_unit(uint64_t seed, const char *name, uint64_t index)
{
    return (float)(random_weights_bits(seed, name, index) >> 40) * 0x1p-23f - 1.0f;
}

struct train_data {
    float pixels[TRAIN_COUNT][TRAIN_VALUES];
    const float *images[TRAIN_COUNT];
    int labels[TRAIN_COUNT];
    uint64_t counters[TRAIN_COUNT];
    float teacher[TRAIN_COUNT * TRAIN_CLASSES];
    struct training_batch batch;
};

// The batch of a step: image i is number step * TRAIN_COUNT + i.
static inline void train_data_fill(struct train_data *data, int step)
{
    for (int i = 0; i < TRAIN_COUNT; i++) {
        uint64_t number = (uint64_t)(step * TRAIN_COUNT + i);
        for (int j = 0; j < TRAIN_VALUES; j++)
            data->pixels[i][j] = train_unit(number, "image", (uint64_t)j);
        data->images[i] = data->pixels[i];
        data->labels[i] = (int)(random_weights_bits(number, "label", 0) >> 62);
        data->counters[i] = number + (UINT64_C(7) << 32);
        for (int j = 0; j < TRAIN_CLASSES; j++)
            data->teacher[i * TRAIN_CLASSES + j] = 2 * train_unit(number, "teacher", (uint64_t)j);
    }
    data->batch = (struct training_batch){
        .count = TRAIN_COUNT, .images = data->images, .labels = data->labels, .counters = data->counters};
}

// What both sides compute with.
static inline struct training_options train_options(void)
{
    struct training_options options = training_options_default();
    options.max_batch = TRAIN_COUNT;
    options.seed = UINT64_C(0x123456789abcdef);
    options.dropout = 0.25;
    options.label_smoothing = 0.1;
    options.diversity = 0.5;
    for (int i = 0; i < TRAIN_CLASSES; i++)
        options.class_weights[i] = 0.5 + i;
    return options;
}

#endif
