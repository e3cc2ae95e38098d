// ood.h: how far an answer lies from what its model has learnt. Pure; any thread.
#ifndef SKINSIGHT_KERNELS_MODEL_OOD_H
#define SKINSIGHT_KERNELS_MODEL_OOD_H

#include "common/records/prediction.h"

// -log sum exp(logits), in double.
float ood_energy(const float logits[LESION_CLASSES]);

#endif
