// conv_ops_avx2.c: conv_ops_simd.h for AVX2.
#define CONV_OPS_TABLE conv_ops_avx2
#include "kernels/cpu/conv_ops_simd.h"
