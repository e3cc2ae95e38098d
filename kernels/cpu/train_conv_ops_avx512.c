// train_conv_ops_avx512.c: train_conv_ops.h with AVX-512.
#define TRAIN_CONV_OPS_TABLE train_conv_ops_avx512
#include "kernels/cpu/train_conv_ops_simd.h"
