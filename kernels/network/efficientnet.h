// efficientnet.h: efficientnet_b4 and efficientnet_lite0 of timm, their native variants (symmetric padding,
// epsilon 1e-5).
#ifndef SKINSIGHT_KERNELS_NETWORK_EFFICIENTNET_H
#define SKINSIGHT_KERNELS_NETWORK_EFFICIENTNET_H

#include "kernels/network/network.h"

// Appends the operations; network->architecture is one of the two names, image_size and classes are set.
void efficientnet_build(struct network *network);

#endif
