// vector_ops_avx512.c: the row operations with AVX-512.
#define VECTOR_OPS_TABLE vector_ops_avx512
#define VECTOR_OPS_NAME  "avx512"
#include "kernels/cpu/vector_ops_simd.h"
