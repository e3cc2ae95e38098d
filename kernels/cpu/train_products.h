// train_products.h: the three matrix products of a linear layer in training, by gemm.h's cores: y = x W^T +
// b, dx = dy W, dW += dy^T x (with db += sums of dy). Parameters and their gradients are float; operands are
// float or bf16, as the kernel's.
//
// Each value is one sum over the whole depth in ascending order, so its bits depend on nothing but the
// operands. Thread: the caller of the team.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_PRODUCTS_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_PRODUCTS_H

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/train_ops.h"
#include "kernels/cpu/vector_ops.h"

struct train_linear {
    int n, k; // W (n, k)
    const float *weight, *bias;
    float *weight_gradient, *bias_gradient; // NULL: not trained
    struct gemm_weights forward;            // panels of W
    struct gemm_weights backward;           // panels of its transpose
};

struct train_products {
    struct team *team;
    const struct gemm_kernel *kernel;
    const struct vector_ops *ops;
    const struct train_ops *train_ops;
    bool half;          // operands are bf16
    const float *zeros; // bias of products that have none: GEMM_MAX_PANEL_COLUMNS more than the widest
    char *transposed;   // dy^T: train_transposed_size of the widest dy
    char *panels;       // of x: gemm_packed_size of the widest
};

// Rows of an operand, `stride` bytes apart.
struct train_rows {
    const char *first;
    size_t stride;
    int count;
};

// Bytes of panels for a layer's forward or backward product; 64-byte aligned.
size_t train_panels_size(const struct gemm_kernel *kernel, int columns, int depth);
size_t train_transposed_size(const struct gemm_kernel *kernel, int columns, int rows);

// Packs the weights. memory: train_panels_size(n, k), and (k, n) for backward unless it is NULL.
void train_linear_pack(const struct train_products *products, struct train_linear *linear,
                       char *forward_memory, char *backward_memory);

// y: rows in memory, stride bytes apart, float or bf16.
void train_linear_forward(const struct train_products *products, const struct train_linear *linear,
                          const struct train_rows *x, void *y, size_t y_stride, enum gemm_output output);
void train_linear_input_gradient(const struct train_products *products, const struct train_linear *linear,
                                 const struct train_rows *dy, void *dx, size_t dx_stride,
                                 enum gemm_output output);
void train_linear_weight_gradient(const struct train_products *products, const struct train_linear *linear,
                                  const struct train_rows *dy, const struct train_rows *x);

// A panel over columns first .. first + count - 1 of an operand's rows, by one thread; count <=
// panel_columns.
void train_pack_columns(const struct gemm_kernel *kernel, const struct train_ops *train_ops,
                        const struct train_rows *rows, int first, int count, char *panel);

#endif
