// plain_kernels.h: what vectorised kernels compute, as plain loops: the references of the tests.
#ifndef SKINSIGHT_TESTS_SUPPORT_PLAIN_KERNELS_H
#define SKINSIGHT_TESTS_SUPPORT_PLAIN_KERNELS_H

#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_ops.h"

extern const struct gemm_kernel gemm_fp32_plain, gemm_bf16_plain, gemm_int8_plain, gemm_int8_quads_plain;
extern const struct vector_ops vector_ops_plain;
extern const struct conv_ops conv_ops_plain;

#endif
