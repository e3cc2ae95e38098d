// attention_gradient.h: backward of fused_attention.h: from q, k, v and the gradient by the output the one by
// q, k and v. The softmax's weights are computed again, for some dozen queries at a time.
//
// p = softmax(s), s = q k^T / sqrt(head width), dp = dy v^T, ds = p * (dp - sum of p * dp), dv = p^T dy, dq =
// ds k / sqrt(..), dk = ds^T q / sqrt(..). Products by a gemm kernel's cores; scores, softmax and ds are
// float, p and ds become operands. A unit is one head of one image: bits depend on nothing else.
#ifndef SKINSIGHT_KERNELS_CPU_ATTENTION_GRADIENT_H
#define SKINSIGHT_KERNELS_CPU_ATTENTION_GRADIENT_H

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/train_ops.h"
#include "kernels/cpu/vector_ops.h"

struct attention_gradient_call {
    const struct gemm_kernel *kernel; // fp32 or bf16: the type of all operands
    const struct vector_ops *ops;
    const struct train_ops *train_ops;
    int images, tokens, heads, head_width;
    int queries;      // whose output has a gradient: the first ones, 1..tokens; the others' dq is 0
    const void *qkv;  // (tokens, 3 * heads * head_width) per image, images one after the other
    const void *dy;   // (queries, heads * head_width) per image
    void *dqkv;       // as qkv
    double diversity; // factor of the gradient of the class token's entropy, training.h; 0: none
    char *scratch;    // attention_gradient_scratch bytes for each thread of the team, 64-byte aligned
};

// A multiple of 64.
size_t attention_gradient_scratch(const struct gemm_kernel *kernel, int tokens, int head_width);

void attention_gradient_run(struct team *team, const struct attention_gradient_call *call);

#endif
