// train_ops_avx512bf16.c: train_ops.h with AVX-512 and its conversion to bf16.
#define TRAIN_OPS_TABLE train_ops_avx512bf16
#include "kernels/cpu/train_ops_simd.h"
