// efficientnet.c: EfficientNet-B4 as a list of operations, with timm's names and numbers.
//
// A 3 x 3 convolution, seven stages of blocks, a 1 x 1 convolution, the mean over all places and a linear
// head. A block widens its input with a 1 x 1 convolution (not in the first stage), goes over it channel by
// channel, scales the channels by what squeeze-and-excitation makes of their means, and narrows it again with
// a 1 x 1 convolution; where the shape stays, it is added to its input. Every convolution but those of
// squeeze-and-excitation is followed by its batch normalisation.
#include "kernels/network/efficientnet.h"

#include <stdio.h>

#include "kernels/network/network_build.h"

enum { STEM_CHANNELS = 48, HEAD_CHANNELS = 1792, SQUEEZE = 4 }; // squeeze: input channels of the block / 4

static const float norm_epsilon = 1e-5f;

struct stage {
    int blocks, kernel, stride, expansion, channels;
};
// B0's stages with 1.4 times the channels and 1.8 times the blocks.
static const struct stage stages[] = {
    {2, 3, 1, 1, 24},  {4, 3, 2, 6, 32},  {4, 5, 2, 6, 56},  {6, 3, 2, 6, 112},
    {6, 5, 1, 6, 160}, {8, 5, 2, 6, 272}, {2, 3, 1, 6, 448},
};

// A feature map on its way through the network.
struct feature_map {
    int tensor, side, channels;
};

// Names are "<prefix><convolution>" and "<prefix><batchnorm>".
struct layer {
    const char *prefix, *convolution;
    const char *batchnorm; // NULL: none, but a bias
    int channels, kernel, stride;
    bool depthwise;
};

static struct feature_map add_convolution(struct network *network, struct feature_map input,
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
                                            .groups = layer->depthwise ? layer->channels : 1,
                                            .bias = !layer->batchnorm,
                                            .batchnorm = layer->batchnorm ? batchnorm : NULL,
                                            .epsilon = norm_epsilon};
    return (struct feature_map){network_add_convolution(network, input.tensor, &shape, convolution),
                                network_window_count(input.side, &shape), layer->channels};
}

// With SiLU behind it.
static struct feature_map add_activated(struct network *network, struct feature_map input,
                                        const struct layer *layer)
{
    struct feature_map x = add_convolution(network, input, layer);
    x.tensor = network_add_silu(network, x.tensor);
    return x;
}

static struct feature_map add_squeeze_excite(struct network *network, struct feature_map input, int squeezed,
                                             const char *prefix)
{
    const struct layer reduce = {prefix, "se.conv_reduce", NULL, squeezed, 1, 1, false};
    const struct layer expand = {prefix, "se.conv_expand", NULL, input.channels, 1, 1, false};
    struct feature_map x = {network_add_mean_rows(network, input.tensor), 1, input.channels};
    x = add_activated(network, x, &reduce);
    x = add_convolution(network, x, &expand);
    int gate = network_add_sigmoid(network, x.tensor);
    input.tensor = network_add_scale(network, input.tensor, gate);
    return input;
}

static struct feature_map add_block(struct network *network, struct feature_map input,
                                    const struct stage *stage, int stride, const char *prefix)
{
    bool expands = stage->expansion > 1; // then the names of what follows move on by one
    int channels = input.channels * stage->expansion;
    const struct layer widen = {prefix, "conv_pw", "bn1", channels, 1, 1, false};
    const struct layer depthwise = {prefix, "conv_dw", expands ? "bn2" : "bn1", channels, stage->kernel,
                                    stride, true};
    const struct layer narrow = {
        prefix, expands ? "conv_pwl" : "conv_pw", expands ? "bn3" : "bn2", stage->channels, 1, 1, false};
    struct feature_map x = expands ? add_activated(network, input, &widen) : input;
    x = add_activated(network, x, &depthwise);
    x = add_squeeze_excite(network, x, input.channels / SQUEEZE, prefix);
    x = add_convolution(network, x, &narrow);
    if (stride == 1 && input.channels == stage->channels)
        x.tensor = network_add_sum(network, x.tensor, input.tensor);
    return x;
}

void efficientnet_build(struct network *network)
{
    const struct layer stem = {"", "conv_stem", "bn1", STEM_CHANNELS, 3, 2, false};
    const struct layer last = {"", "conv_head", "bn2", HEAD_CHANNELS, 1, 1, false};
    struct feature_map x = {network_add_normalise(network), network->image_size, 3};
    x = add_activated(network, x, &stem);
    for (int i = 0; i < (int)(sizeof stages / sizeof stages[0]); i++) {
        for (int block = 0; block < stages[i].blocks; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "blocks.%d.%d.", i, block);
            x = add_block(network, x, &stages[i], block == 0 ? stages[i].stride : 1, prefix);
        }
    }
    x = add_activated(network, x, &last);
    network->explained_op = network->operation_count - 1; // the last feature map
    network->map_height = network->map_width = x.side;
    network_add_head(network, network_add_mean_rows(network, x.tensor), "classifier");
}
