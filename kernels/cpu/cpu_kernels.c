// cpu_kernels.c: the best kernel of each precision that the processor's features allow.
#include "kernels/cpu/cpu_kernels.h"

#include "common/base/cpu_features.h"

struct cpu_kernels cpu_kernels_get(void)
{
    struct cpu_features features = cpu_features_get();
    struct cpu_kernels kernels = {0};
    if (features.avx2) {
        kernels.gemm[PRECISION_FP32] = &gemm_fp32_avx2;
        kernels.gemm[PRECISION_INT8] = &gemm_int8_avx2;
        kernels.ops = &vector_ops_avx2;
    }
    if (features.avx512) {
        kernels.gemm[PRECISION_FP32] = &gemm_fp32_avx512;
        kernels.gemm[PRECISION_INT8] = &gemm_int8_avx512;
        kernels.ops = &vector_ops_avx512;
    }
    if (features.avx512bf16) {
        kernels.gemm[PRECISION_BF16] = &gemm_bf16_avx512bf16;
        kernels.ops = &vector_ops_avx512bf16;
    }
    if (features.avx512vnni)
        kernels.gemm[PRECISION_INT8] = &gemm_int8_avx512vnni;
    return kernels;
}
