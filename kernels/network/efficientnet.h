// efficientnet.h: timm's efficientnet_b4 and efficientnet_lite0 (symmetric padding, epsilon 1e-5), and
// tf_efficientnet_lite0, for weights that TensorFlow trained (padding SAME, epsilon 1e-3).
#ifndef SKINSIGHT_KERNELS_NETWORK_EFFICIENTNET_H
#define SKINSIGHT_KERNELS_NETWORK_EFFICIENTNET_H

#include "kernels/network/network.h"

// Appends the operations; network->architecture is one of the names, image_size and classes are set. For
// TensorFlow's it changes the normalisation to its own.
void efficientnet_build(struct network *network);

#endif
