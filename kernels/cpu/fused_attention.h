// fused_attention.h: softmax(q k^T / sqrt(head width)) v for every head, without ever storing the whole
// matrix of weights: a dozen queries at a time, from packed keys and values of one head in the second-level
// cache.
//
// The products use a gemm kernel's cores, fp32 or bf16; scores and softmax are float in both. An output row
// depends on its own query and the image's keys and values only.
#ifndef SKINSIGHT_KERNELS_CPU_FUSED_ATTENTION_H
#define SKINSIGHT_KERNELS_CPU_FUSED_ATTENTION_H

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_ops.h"

struct attention_call {
    const struct gemm_kernel *kernel; // fp32 or bf16: the type of qkv
    const struct vector_ops *ops;
    int images, tokens, heads, head_width;
    int queries; // rows of output per image: the first ones, 1..tokens
    // (tokens, 3 * heads * head_width) per image: q, k, v, each by head. Strides in bytes.
    const void *qkv;
    size_t qkv_stride, qkv_image_stride;
    void *output; // (queries, heads * head_width) per image
    size_t output_stride, output_image_stride;
    enum gemm_output output_type;
    float *map;     // (images, heads, tokens - 1): the first query's weights on the others, or NULL
    float *weights; // (images, heads, tokens, tokens), the first `queries` rows of each, or NULL
    char *scratch;  // attention_scratch_size bytes for each thread of the team, 64-byte aligned
};

// A multiple of 64. 0 where the shape does not fit the kernel (bf16 needs an even head width).
size_t attention_scratch_size(const struct gemm_kernel *kernel, int tokens, int head_width);

void attention_run(struct team *team, const struct attention_call *call);

#endif
