// efficientnet.h: efficientnet_b4 of timm, its native variant (symmetric padding, epsilon 1e-5).
#ifndef SKINSIGHT_KERNELS_NETWORK_EFFICIENTNET_H
#define SKINSIGHT_KERNELS_NETWORK_EFFICIENTNET_H

#include "kernels/network/network.h"

// Appends the operations; network->image_size and classes are set.
void efficientnet_build(struct network *network);

#endif
