// vector_ops_avx2.c: the row operations with AVX2.
#define VECTOR_OPS_TABLE vector_ops_avx2
#define VECTOR_OPS_NAME  "avx2"
#include "kernels/cpu/vector_ops_simd.h"
