// activation_simd.h: conv_ops.h's activations on simd.h's vectors, for inference and training.
#ifndef SKINSIGHT_KERNELS_CPU_ACTIVATION_SIMD_H
#define SKINSIGHT_KERNELS_CPU_ACTIVATION_SIMD_H

#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/simd.h"

// 1 + exp(-x); the exponent is held where the inverse is as good as zero (2^-126).
SIMD_INLINE simd one_and_exponential(simd x)
{
    simd power = simd_min(simd_set(126.0f), x * simd_set(-1.44269504f));
    return simd_set(1.0f) + simd_exp2(power);
}

SIMD_INLINE simd activate(enum activation activation, simd x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return simd_max(simd_zero(), x);
    case ACTIVATION_RELU6: // the operands' order lets NaN through
        return simd_min(simd_set(6.0f), simd_max(simd_zero(), x));
    case ACTIVATION_SILU:
        return x / one_and_exponential(x);
    case ACTIVATION_SIGMOID:
        return simd_set(1.0f) / one_and_exponential(x);
    case ACTIVATION_NONE:
        break;
    }
    return x;
}

#endif
