// cpu_kernels.h: the kernels that fit this processor, chosen from cpu_features_get.
#ifndef SKINSIGHT_KERNELS_CPU_CPU_KERNELS_H
#define SKINSIGHT_KERNELS_CPU_CPU_KERNELS_H

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_ops.h"

struct cpu_kernels {
    const struct gemm_kernel *gemm[PRECISION_COUNT]; // NULL: this processor lacks the precision
    const struct vector_ops *ops;                    // NULL: neither AVX-512 nor AVX2, nothing here is faster
};

struct cpu_kernels cpu_kernels_get(void);

#endif
