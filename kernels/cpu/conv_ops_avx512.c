// conv_ops_avx512.c: conv_ops_simd.h for AVX-512.
#define CONV_OPS_TABLE conv_ops_avx512
#include "kernels/cpu/conv_ops_simd.h"
