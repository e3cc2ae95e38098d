// train_ops_avx512.c: train_ops.h with AVX-512.
#define TRAIN_OPS_TABLE train_ops_avx512
#include "kernels/cpu/train_ops_simd.h"
