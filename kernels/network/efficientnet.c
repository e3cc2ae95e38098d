// efficientnet.c: EfficientNet-B4 and -Lite0 as lists of operations, with timm's names and numbers.
//
// A 3 x 3 convolution, seven stages of blocks, a 1 x 1 convolution, the mean over all places and a linear
// head. A block widens its input with a 1 x 1 convolution (not in the first stage), goes over it channel by
// channel, scales the channels by what squeeze-and-excitation makes of their means, and narrows it again with
// a 1 x 1 convolution; where the shape stays, it is added to its input. Every convolution but those of
// squeeze-and-excitation is followed by its batch normalisation. Lite0, made for devices that compute in
// bytes, has no squeeze-and-excitation, and ReLU6 in place of SiLU. As TensorFlow trains it, its padding is
// SAME, epsilon 1e-3, and pixels are normalised to -1 .. 1.
#include "kernels/network/efficientnet.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "kernels/network/network_build.h"

enum { STAGES = 7, SQUEEZE = 4 }; // squeeze: input channels of the block / 4

struct stage {
    int blocks, kernel, stride, expansion, channels;
};
static const struct stage b0_stages[STAGES] = {{1, 3, 1, 1, 16}, {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40},
                                               {3, 3, 2, 6, 80}, {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192},
                                               {1, 3, 1, 6, 320}};
// B0's with 1.4 times the channels and 1.8 times the blocks.
static const struct stage b4_stages[STAGES] = {{2, 3, 1, 1, 24},  {4, 3, 2, 6, 32},  {4, 5, 2, 6, 56},
                                               {6, 3, 2, 6, 112}, {6, 5, 1, 6, 160}, {8, 5, 2, 6, 272},
                                               {2, 3, 1, 6, 448}};
struct variant {
    const char *name;
    const struct stage *stages;
    int stem_channels, head_channels;
    int (*add_activation)(struct network *network, int input);
    bool squeezes;   // squeeze-and-excitation
    bool tensorflow; // its padding, epsilon and normalisation of pixels
};
static const struct variant variants[] = {
    {"efficientnet_b4", b4_stages, 48, 1792, network_add_silu, true, false},
    {"efficientnet_lite0", b0_stages, 32, 1280, network_add_relu6, false, false},
    {"tf_efficientnet_lite0", b0_stages, 32, 1280, network_add_relu6, false, true},
};

// A feature map on its way through the network.
struct feature_map {
    int tensor, side, channels;
};

struct builder {
    struct network *network;
    const struct variant *variant;
};

// Names are "<prefix><convolution>" and "<prefix><batchnorm>".
struct layer {
    const char *prefix, *convolution;
    const char *batchnorm; // NULL: none, but a bias
    int channels, kernel, stride;
    bool depthwise;
};

static struct feature_map add_convolution(const struct builder *builder, struct feature_map input,
                                          const struct layer *layer)
{
    char convolution[TENSOR_NAME_SIZE], batchnorm[TENSOR_NAME_SIZE];
    snprintf(convolution, sizeof convolution, "%s%s", layer->prefix, layer->convolution);
    snprintf(batchnorm, sizeof batchnorm, "%s%s", layer->prefix, layer->batchnorm ? layer->batchnorm : "");
    const struct convolution_shape shape = {.height = input.side,
                                            .width = input.side,
                                            .channels = layer->channels,
                                            .kernel = layer->kernel,
                                            .stride = layer->stride,
                                            .padding = layer->kernel / 2,
                                            .same = builder->variant->tensorflow,
                                            .groups = layer->depthwise ? layer->channels : 1,
                                            .bias = !layer->batchnorm,
                                            .batchnorm = layer->batchnorm ? batchnorm : NULL,
                                            .epsilon = builder->variant->tensorflow ? 1e-3f : 1e-5f};
    return (struct feature_map){network_add_convolution(builder->network, input.tensor, &shape, convolution),
                                network_window_count(input.side, &shape), layer->channels};
}

// With the activation behind it.
static struct feature_map add_activated(const struct builder *builder, struct feature_map input,
                                        const struct layer *layer)
{
    struct feature_map x = add_convolution(builder, input, layer);
    x.tensor = builder->variant->add_activation(builder->network, x.tensor);
    return x;
}

static struct feature_map add_squeeze_excite(const struct builder *builder, struct feature_map input,
                                             int squeezed, const char *prefix)
{
    struct network *network = builder->network;
    const struct layer reduce = {prefix, "se.conv_reduce", NULL, squeezed, 1, 1, false};
    const struct layer expand = {prefix, "se.conv_expand", NULL, input.channels, 1, 1, false};
    struct feature_map x = {network_add_mean_rows(network, input.tensor), 1, input.channels};
    x = add_activated(builder, x, &reduce);
    x = add_convolution(builder, x, &expand);
    int gate = network_add_sigmoid(network, x.tensor);
    input.tensor = network_add_scale(network, input.tensor, gate);
    return input;
}

static struct feature_map add_block(const struct builder *builder, struct feature_map input,
                                    const struct stage *stage, int stride, const char *prefix)
{
    struct network *network = builder->network;
    bool expands = stage->expansion > 1; // then the names of what follows move on by one
    int channels = input.channels * stage->expansion;
    const struct layer widen = {prefix, "conv_pw", "bn1", channels, 1, 1, false};
    const struct layer depthwise = {prefix, "conv_dw", expands ? "bn2" : "bn1", channels, stage->kernel,
                                    stride, true};
    const struct layer narrow = {
        prefix, expands ? "conv_pwl" : "conv_pw", expands ? "bn3" : "bn2", stage->channels, 1, 1, false};
    struct feature_map x = expands ? add_activated(builder, input, &widen) : input;
    x = add_activated(builder, x, &depthwise);
    if (builder->variant->squeezes)
        x = add_squeeze_excite(builder, x, input.channels / SQUEEZE, prefix);
    x = add_convolution(builder, x, &narrow);
    if (stride == 1 && input.channels == stage->channels)
        x.tensor = network_add_sum(network, x.tensor, input.tensor);
    return x;
}

static const struct variant *find_variant(const char *architecture)
{
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (strcmp(architecture, variants[i].name) == 0)
            return &variants[i];
    return NULL;
}

void efficientnet_build(struct network *network)
{
    const struct variant *variant = find_variant(network->architecture);
    assert(variant);
    const struct builder builder = {network, variant};
    const struct layer stem = {"", "conv_stem", "bn1", variant->stem_channels, 3, 2, false};
    const struct layer last = {"", "conv_head", "bn2", variant->head_channels, 1, 1, false};
    for (int i = 0; i < 3 && variant->tensorflow; i++)
        network->mean[i] = network->std[i] = 0.5f;
    struct feature_map x = {network_add_normalise(network), network->image_size, 3};
    x = add_activated(&builder, x, &stem);
    for (int i = 0; i < STAGES; i++) {
        const struct stage *stage = &variant->stages[i];
        for (int block = 0; block < stage->blocks; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "blocks.%d.%d.", i, block);
            x = add_block(&builder, x, stage, block == 0 ? stage->stride : 1, prefix);
        }
    }
    x = add_activated(&builder, x, &last);
    network->explained_op = network->operation_count - 1; // the last feature map
    network->map_height = network->map_width = x.side;
    network_add_head(network, network_add_mean_rows(network, x.tensor), "classifier");
}
