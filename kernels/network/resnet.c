// resnet.c: ResNet-18 as a list of operations, with timm's names and numbers.
//
// A 7 x 7 convolution and a max pool, each halving the side, then four stages of two blocks. A block adds two
// 3 x 3 convolutions to what came in; where a stage halves the side, what came in goes through a 1 x 1
// convolution of the same stride. Every convolution is followed by its batch normalisation.
#include "kernels/network/resnet.h"

#include <stdio.h>

#include "kernels/network/network_build.h"

enum { STAGES = 4, BLOCKS = 2, STEM_CHANNELS = 64 };

static const float norm_epsilon = 1e-5f;

// A feature map on its way through the network.
struct feature_map {
    int tensor, side, channels;
};

// Names are "<prefix><convolution>" and "<prefix><batchnorm>".
struct layer {
    const char *prefix, *convolution, *batchnorm;
    int channels, kernel, stride;
};

static struct feature_map add_convolution(struct network *network, struct feature_map input,
                                          const struct layer *layer)
{
    char convolution[TENSOR_NAME_SIZE], batchnorm[TENSOR_NAME_SIZE];
    snprintf(convolution, sizeof convolution, "%s%s", layer->prefix, layer->convolution);
    snprintf(batchnorm, sizeof batchnorm, "%s%s", layer->prefix, layer->batchnorm);
    const struct convolution_shape shape = {.height = input.side,
                                            .width = input.side,
                                            .channels = layer->channels,
                                            .kernel = layer->kernel,
                                            .stride = layer->stride,
                                            .padding = layer->kernel / 2,
                                            .groups = 1,
                                            .batchnorm = batchnorm,
                                            .epsilon = norm_epsilon};
    return (struct feature_map){network_add_convolution(network, input.tensor, &shape, convolution),
                                network_window_count(input.side, &shape), layer->channels};
}

static struct feature_map add_block(struct network *network, struct feature_map input, const char *prefix,
                                    int channels, int stride)
{
    const struct layer first = {prefix, "conv1", "bn1", channels, 3, stride};
    const struct layer second = {prefix, "conv2", "bn2", channels, 3, 1};
    const struct layer shortcut = {prefix, "downsample.0", "downsample.1", channels, 1, stride};
    struct feature_map x = add_convolution(network, input, &first);
    x.tensor = network_add_relu(network, x.tensor);
    x = add_convolution(network, x, &second);
    if (stride != 1 || input.channels != channels)
        input = add_convolution(network, input, &shortcut);
    x.tensor = network_add_sum(network, x.tensor, input.tensor);
    x.tensor = network_add_relu(network, x.tensor);
    return x;
}

static struct feature_map add_stem(struct network *network)
{
    const struct layer stem = {"", "conv1", "bn1", STEM_CHANNELS, 7, 2};
    struct feature_map x = {network_add_normalise(network), network->image_size, 3};
    x = add_convolution(network, x, &stem);
    x.tensor = network_add_relu(network, x.tensor);
    const struct convolution_shape pool = {
        .height = x.side, .width = x.side, .kernel = 3, .stride = 2, .padding = 1};
    x.tensor = network_add_max_pool(network, x.tensor, &pool);
    x.side = network_window_count(x.side, &pool);
    return x;
}

void resnet_build(struct network *network)
{
    struct feature_map x = add_stem(network);
    for (int stage = 0; stage < STAGES; stage++) {
        for (int block = 0; block < BLOCKS; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d.", stage + 1, block);
            x = add_block(network, x, prefix, STEM_CHANNELS << stage, stage > 0 && block == 0 ? 2 : 1);
        }
    }
    network->explained_op = network->operation_count - 1; // the last feature map
    network->map_height = network->map_width = x.side;
    network_add_head(network, network_add_mean_rows(network, x.tensor), "fc");
}
