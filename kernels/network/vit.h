// vit.h: the vision transformers of timm: vit_{tiny,small,base,large}_patch16_224, vit_small_patch14_dinov2.
#ifndef SKINSIGHT_KERNELS_NETWORK_VIT_H
#define SKINSIGHT_KERNELS_NETWORK_VIT_H

#include "kernels/network/network.h"

// Appends the operations; network->architecture is one of these names, image_size (a multiple of the patch's
// side) and classes are set.
void vit_build(struct network *network);

#endif
