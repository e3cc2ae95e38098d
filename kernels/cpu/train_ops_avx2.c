// train_ops_avx2.c: train_ops.h with AVX2.
#define TRAIN_OPS_TABLE train_ops_avx2
#include "kernels/cpu/train_ops_simd.h"
