// mini_cnn.h: convolutional networks small enough to run hundreds of times in a test: the parts of ResNet-18
// and of EfficientNet-B4, for the views of mini_vit.h. Static functions, so that a test includes it and
// nothing is linked.
#ifndef SKINSIGHT_TESTS_SUPPORT_MINI_CNN_H
#define SKINSIGHT_TESTS_SUPPORT_MINI_CNN_H

#include "tests/support/mini_vit.h"

struct mini_map {
    int tensor, side, channels;
};

struct mini_layer {
    int channels, kernel, stride;
    bool depthwise, bias; // bias: instead of a batch normalisation
};

// same: TensorFlow's padding.
static inline struct mini_map mini_padded(struct network *network, struct mini_map input,
                                          struct mini_layer layer, bool same)
{
    char name[32], norm[32];
    snprintf(name, sizeof name, "conv%d", network->operation_count);
    snprintf(norm, sizeof norm, "norm%d", network->operation_count);
    const struct convolution_shape shape = {.height = input.side,
                                            .width = input.side,
                                            .channels = layer.channels,
                                            .kernel = layer.kernel,
                                            .stride = layer.stride,
                                            .padding = layer.kernel / 2,
                                            .same = same,
                                            .groups = layer.depthwise ? layer.channels : 1,
                                            .bias = layer.bias,
                                            .batchnorm = layer.bias ? NULL : norm,
                                            .epsilon = 1e-5f};
    int side = network_window_count(input.side, &shape);
    return (struct mini_map){network_add_convolution(network, input.tensor, &shape, name), side,
                             layer.channels};
}

static inline struct mini_map mini_convolution(struct network *network, struct mini_map input,
                                               struct mini_layer layer)
{
    return mini_padded(network, input, layer, false);
}

static inline struct network *mini_network(const char *name)
{
    struct network *network = memory_alloc(sizeof *network);
    snprintf(network->architecture, sizeof network->architecture, "%s", name);
    network->image_size = MINI_SIDE;
    network->classes = MINI_CLASSES;
    for (int i = 0; i < 3; i++) {
        network->mean[i] = 0.4f + 0.05f * (float)i;
        network->std[i] = 0.25f;
    }
    return network;
}

// The last operation made the features.
static inline struct network *mini_head(struct network *network, struct mini_map x)
{
    network->explained_op = network->operation_count - 1;
    network->map_height = network->map_width = x.side;
    int pooled = network_add_mean_rows(network, x.tensor);
    network_add_head(network, pooled, "head");
    return network;
}

static inline struct mini_map mini_residual(struct network *network, struct mini_map input, int channels,
                                            int stride)
{
    struct mini_map x =
        mini_convolution(network, input, (struct mini_layer){channels, 3, stride, false, false});
    x.tensor = network_add_relu(network, x.tensor);
    x = mini_convolution(network, x, (struct mini_layer){channels, 3, 1, false, false});
    if (stride != 1 || input.channels != channels)
        input = mini_convolution(network, input, (struct mini_layer){channels, 1, stride, false, false});
    x.tensor = network_add_relu(network, network_add_sum(network, x.tensor, input.tensor));
    return x;
}

// 24 x 24, pooled to 12 x 12, then 6 x 6 places. Free with network_free.
static inline struct network *mini_resnet(void)
{
    struct network *network = mini_network("mini_resnet");
    struct mini_map x = {network_add_normalise(network), MINI_SIDE, 3};
    x = mini_convolution(network, x, (struct mini_layer){32, 7, 2, false, false});
    x.tensor = network_add_relu(network, x.tensor);
    const struct convolution_shape pool = {
        .height = x.side, .width = x.side, .kernel = 3, .stride = 2, .padding = 1};
    x.tensor = network_add_max_pool(network, x.tensor, &pool);
    x.side = network_window_count(x.side, &pool);
    x = mini_residual(network, x, 32, 1);
    x = mini_residual(network, x, 64, 2);
    return mini_head(network, x);
}

static inline struct mini_map mini_inverted(struct network *network, struct mini_map input, int expansion,
                                            struct mini_layer layer)
{
    int wide = input.channels * expansion;
    int (*add_activation)(struct network *, int) = expansion == 6 ? network_add_relu6 : network_add_silu;
    struct mini_map x = input;
    if (expansion > 1) {
        x = mini_convolution(network, x, (struct mini_layer){wide, 1, 1, false, false});
        x.tensor = add_activation(network, x.tensor);
    }
    x = mini_convolution(network, x, (struct mini_layer){wide, layer.kernel, layer.stride, true, false});
    x.tensor = add_activation(network, x.tensor);
    struct mini_map gate = {network_add_mean_rows(network, x.tensor), 1, wide};
    gate = mini_convolution(network, gate, (struct mini_layer){input.channels / 4, 1, 1, false, true});
    gate.tensor = network_add_silu(network, gate.tensor);
    gate = mini_convolution(network, gate, (struct mini_layer){wide, 1, 1, false, true});
    x.tensor = network_add_scale(network, x.tensor, network_add_sigmoid(network, gate.tensor));
    x = mini_convolution(network, x, (struct mini_layer){layer.channels, 1, 1, false, false});
    if (layer.stride == 1 && layer.channels == input.channels)
        x.tensor = network_add_sum(network, x.tensor, input.tensor);
    return x;
}

// 24 x 24, 12 x 12, then 6 x 6 places; channels that no tile divides; the widest block has Lite0's ReLU6.
// Free with network_free.
static inline struct network *mini_efficientnet(void)
{
    struct network *network = mini_network("mini_efficientnet");
    struct mini_map x = {network_add_normalise(network), MINI_SIDE, 3};
    x = mini_convolution(network, x, (struct mini_layer){16, 3, 2, false, false});
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_inverted(network, x, 1, (struct mini_layer){24, 3, 1, true, false});
    x = mini_inverted(network, x, 6, (struct mini_layer){40, 5, 2, true, false});
    x = mini_inverted(network, x, 2, (struct mini_layer){40, 5, 1, true, false});
    x = mini_inverted(network, x, 2, (struct mini_layer){24, 3, 2, true, false});
    x = mini_convolution(network, x, (struct mini_layer){72, 1, 1, false, false});
    x.tensor = network_add_silu(network, x.tensor);
    return mini_head(network, x);
}

// TensorFlow's padding where it is uneven: nothing before and one place behind, or one and two; and where it
// isn't.
static inline struct network *mini_same(void)
{
    struct network *network = mini_network("mini_same");
    struct mini_map x = {network_add_normalise(network), MINI_SIDE, 3};
    x = mini_padded(network, x, (struct mini_layer){64, 3, 2, false, false}, true);
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_padded(network, x, (struct mini_layer){64, 5, 2, true, false}, true);
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_padded(network, x, (struct mini_layer){64, 3, 1, true, false}, true);
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_padded(network, x, (struct mini_layer){64, 3, 2, true, false}, true);
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_padded(network, x, (struct mini_layer){32, 5, 2, false, false}, true);
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_padded(network, x, (struct mini_layer){32, 3, 1, false, false}, true);
    x.tensor = network_add_silu(network, x.tensor);
    return mini_head(network, x);
}

#endif
