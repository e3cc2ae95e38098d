// vector_ops_avx512bf16.c: the row operations with AVX-512 and its conversion to bf16 (denormals become
// zero).
#define VECTOR_OPS_TABLE vector_ops_avx512bf16
#define VECTOR_OPS_NAME  "avx512bf16"
#include "kernels/cpu/vector_ops_simd.h"
