// train_conv_ops_avx2.c: train_conv_ops.h with AVX2.
#define TRAIN_CONV_OPS_TABLE train_conv_ops_avx2
#include "kernels/cpu/train_conv_ops_simd.h"
