// precision.h: the types that a network can be computed in.
#ifndef SKINSIGHT_KERNELS_NETWORK_PRECISION_H
#define SKINSIGHT_KERNELS_NETWORK_PRECISION_H

#include <stdbool.h>

enum precision { PRECISION_FP32, PRECISION_FP16, PRECISION_BF16, PRECISION_INT8, PRECISION_COUNT };
extern const char *const precision_names[PRECISION_COUNT]; // "fp32"

bool precision_parse(const char *text, enum precision *precision);

#endif
