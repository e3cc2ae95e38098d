// resnet.h: the residual network resnet18 of timm.
#ifndef SKINSIGHT_KERNELS_NETWORK_RESNET_H
#define SKINSIGHT_KERNELS_NETWORK_RESNET_H

#include "kernels/network/network.h"

// Appends the operations; network->image_size and classes are set.
void resnet_build(struct network *network);

#endif
