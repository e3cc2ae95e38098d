// train_products.c: packing anew in each step, and the products. See train_products.h.
#include "kernels/cpu/train_products.h"

#include <string.h>

#include "kernels/memory_plan.h"

enum { ALIGNMENT = 64, SLICE = 64, COLUMNS_PER_UNIT = 32 };

static int panels_of(const struct gemm_kernel *kernel, int columns)
{
    return (columns + kernel->panel_columns - 1) / kernel->panel_columns;
}

static size_t panel_size_of(const struct gemm_kernel *kernel, int depth)
{
    size_t steps = memory_round_up((size_t)depth, (size_t)kernel->group);
    return memory_round_up(steps * (size_t)kernel->panel_columns * (size_t)kernel->element_size, ALIGNMENT);
}

size_t train_panels_size(const struct gemm_kernel *kernel, int columns, int depth)
{
    return (size_t)panels_of(kernel, columns) * panel_size_of(kernel, depth);
}

// Bytes from one row of a transposed operand to the next: no multiple of a page, where rows would push each
// other out of the cache.
static size_t transposed_stride(const struct gemm_kernel *kernel, int rows)
{
    size_t size = (size_t)(rows + 1) * (size_t)kernel->element_size;
    return memory_round_up(size, 2 * ALIGNMENT) + ALIGNMENT;
}

size_t train_transposed_size(const struct gemm_kernel *kernel, int columns, int rows)
{
    return (size_t)columns * transposed_stride(kernel, rows);
}

struct packing {
    const struct train_products *products;
    const float *weight;
    int n, k;
    char *panels;
    size_t panel_size;
};

// Rows panel * panel_columns and on of W: panel[k / group][row][k % group].
static void pack_rows_unit(void *context, int panel, int thread)
{
    (void)thread;
    const struct packing *packing = context;
    const struct gemm_kernel *kernel = packing->products->kernel;
    const struct vector_ops *ops = packing->products->ops;
    int columns = kernel->panel_columns, first = panel * columns, k = packing->k;
    int rows = packing->n - first < columns ? packing->n - first : columns;
    uint32_t *to = (uint32_t *)(packing->panels + (size_t)panel * packing->panel_size);
    const float *from = packing->weight + (size_t)first * (size_t)k;
    if (rows < columns)
        memset(to, 0, packing->panel_size);
    if (!packing->products->half) {
        ops->transpose((const uint32_t *)from, k, rows, k, to, columns);
        return;
    }
    uint16_t slice[GEMM_MAX_PANEL_COLUMNS * SLICE];
    for (int at = 0; at < k; at += SLICE) {
        int count = k - at < SLICE ? k - at : SLICE, words = (count + 1) / 2;
        memset(slice, 0, sizeof slice);
        for (int row = 0; row < rows; row++)
            ops->to_bf16(from + (size_t)row * (size_t)k + at, count, slice + row * SLICE);
        ops->transpose((const uint32_t *)slice, SLICE / 2, rows, words,
                       to + (size_t)(at / 2) * (size_t)columns, columns);
    }
}

// Of the lengths that panels have, so that the compiler knows them.
static inline void copy_floats(char *to, const char *from, int count)
{
    if (count == 32)
        memcpy(to, from, 32 * sizeof(float));
    else if (count == 16)
        memcpy(to, from, 16 * sizeof(float));
    else
        memcpy(to, from, (size_t)count * sizeof(float));
}

void train_pack_columns(const struct gemm_kernel *kernel, const struct train_ops *train_ops,
                        const struct train_rows *rows, int first, int count, char *panel)
{
    int columns = kernel->panel_columns;
    size_t step = (size_t)(columns * kernel->group * kernel->element_size);
    const char *from = rows->first + (size_t)first * (size_t)kernel->element_size;
    if (count < columns)
        memset(panel, 0, panel_size_of(kernel, rows->count));
    if (kernel->group == 2)
        train_ops->pair_rows(from, rows->stride, rows->count, count, panel, step);
    else
        for (int row = 0; row < rows->count; row++)
            copy_floats(panel + (size_t)row * step, from + (size_t)row * rows->stride, count);
}

// Columns of W as float: panel[n / group][column][n % group].
static void pack_columns_unit(void *context, int panel, int thread)
{
    (void)thread;
    const struct packing *packing = context;
    const struct gemm_kernel *kernel = packing->products->kernel;
    const struct vector_ops *ops = packing->products->ops;
    int columns = kernel->panel_columns, first = panel * columns;
    int count = packing->k - first < columns ? packing->k - first : columns;
    char *to = packing->panels + (size_t)panel * packing->panel_size;
    struct train_rows rows = {(const char *)packing->weight, (size_t)packing->k * sizeof(float), packing->n};
    if (!packing->products->half) {
        train_pack_columns(kernel, packing->products->train_ops, &rows, first, count, to);
        return;
    }
    uint16_t pair[2][GEMM_MAX_PANEL_COLUMNS] = {{0}};
    size_t step = (size_t)(2 * columns) * sizeof(uint16_t);
    for (int row = 0; row < packing->n; row += 2, to += step) {
        const float *from = packing->weight + (size_t)row * (size_t)packing->k + first;
        ops->to_bf16(from, count, pair[0]);
        if (row + 1 < packing->n)
            ops->to_bf16(from + packing->k, count, pair[1]);
        else
            memset(pair[1], 0, sizeof pair[1]);
        if (count < columns)
            memset(to, 0, step);
        ops->interleave(pair[0], pair[1], count, (uint16_t *)to);
    }
}

static struct gemm_weights weights_of(const struct train_products *products, int n, int k, const char *panels)
{
    return (struct gemm_weights){.kernel = products->kernel,
                                 .n = n,
                                 .k = k,
                                 .panels = panels_of(products->kernel, n),
                                 .panel_size = panel_size_of(products->kernel, k),
                                 .data = panels,
                                 .bias = products->zeros};
}

void train_linear_pack(const struct train_products *products, struct train_linear *linear,
                       char *forward_memory, char *backward_memory)
{
    linear->forward = weights_of(products, linear->n, linear->k, forward_memory);
    linear->forward.bias = linear->bias;
    struct packing packing = {products,  linear->weight, linear->n,
                              linear->k, forward_memory, linear->forward.panel_size};
    team_run(products->team, pack_rows_unit, &packing, linear->forward.panels);
    if (!backward_memory)
        return;
    linear->backward = weights_of(products, linear->k, linear->n, backward_memory);
    packing.panels = backward_memory;
    packing.panel_size = linear->backward.panel_size;
    team_run(products->team, pack_columns_unit, &packing, linear->backward.panels);
}

static void product(const struct train_products *products, const struct gemm_weights *weights,
                    const struct train_rows *a, void *c, size_t c_stride, enum gemm_output output)
{
    struct gemm_call call = {
        .ops = products->ops,
        .weights = weights,
        .panel_count = weights->panels,
        .images = 1,
        .rows = a->count,
        .a = a->first,
        .a_stride = a->stride,
        .c = c,
        .c_stride = c_stride,
        .output = output,
    };
    gemm_run(products->team, &call);
}

void train_linear_forward(const struct train_products *products, const struct train_linear *linear,
                          const struct train_rows *x, void *y, size_t y_stride, enum gemm_output output)
{
    product(products, &linear->forward, x, y, y_stride, output);
}

void train_linear_input_gradient(const struct train_products *products, const struct train_linear *linear,
                                 const struct train_rows *dy, void *dx, size_t dx_stride,
                                 enum gemm_output output)
{
    product(products, &linear->backward, dy, dx, dx_stride, output);
}

struct turning {
    const struct train_products *products;
    const struct train_linear *linear;
    const struct train_rows *dy, *x;
    size_t stride;     // of dy^T
    int blocks;        // of dy's columns
    size_t panel_size; // of x's panels
};

// Pairs of rows become words, whose transpose has them one behind the other.
static void transpose_halves(const struct turning *turning, const char *from, int count, uint32_t *to,
                             int to_stride)
{
    const struct train_products *products = turning->products;
    const struct train_rows *dy = turning->dy;
    _Alignas(ALIGNMENT) uint32_t words[COLUMNS_PER_UNIT * COLUMNS_PER_UNIT];
    for (int row = 0; row < dy->count; row += 2 * COLUMNS_PER_UNIT) {
        int rows = dy->count - row < 2 * COLUMNS_PER_UNIT ? dy->count - row : 2 * COLUMNS_PER_UNIT;
        products->train_ops->pair_rows(from + (size_t)row * dy->stride, dy->stride, rows, count, words,
                                       COLUMNS_PER_UNIT * sizeof *words);
        products->ops->transpose(words, COLUMNS_PER_UNIT, (rows + 1) / 2, count, to + row / 2, to_stride);
    }
}

// Some columns of dy as rows of dy^T, and their sums.
static void transpose_columns(const struct turning *turning, int block)
{
    const struct train_products *products = turning->products;
    const struct train_rows *dy = turning->dy;
    int first = block * COLUMNS_PER_UNIT, to_stride = (int)(turning->stride / sizeof(uint32_t));
    int count = turning->linear->n - first < COLUMNS_PER_UNIT ? turning->linear->n - first : COLUMNS_PER_UNIT;
    const char *from = dy->first + (size_t)first * (size_t)products->kernel->element_size;
    char *to = products->transposed + (size_t)first * turning->stride;
    if (products->half)
        transpose_halves(turning, from, count, (uint32_t *)to, to_stride);
    else
        products->ops->transpose((const uint32_t *)from, (int)(dy->stride / sizeof(float)), dy->count, count,
                                 (uint32_t *)to, to_stride);
    if (turning->linear->bias_gradient)
        for (int i = 0; i < count; i++)
            turning->linear->bias_gradient[first + i] +=
                products->train_ops->sum(to + (size_t)i * turning->stride, dy->count, products->half);
}

static void turn_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct turning *turning = context;
    const struct train_products *products = turning->products;
    if (unit < turning->blocks) {
        transpose_columns(turning, unit);
        return;
    }
    int panel = unit - turning->blocks, columns = products->kernel->panel_columns, first = panel * columns;
    int count = turning->linear->k - first < columns ? turning->linear->k - first : columns;
    train_pack_columns(products->kernel, products->train_ops, turning->x, first, count,
                       products->panels + (size_t)panel * turning->panel_size);
}

void train_linear_weight_gradient(const struct train_products *products, const struct train_linear *linear,
                                  const struct train_rows *dy, const struct train_rows *x)
{
    int depth = dy->count;
    struct gemm_weights weights = weights_of(products, linear->k, depth, products->panels);
    struct turning turning = {
        .products = products,
        .linear = linear,
        .dy = dy,
        .x = x,
        .stride = transposed_stride(products->kernel, depth),
        .blocks = (linear->n + COLUMNS_PER_UNIT - 1) / COLUMNS_PER_UNIT,
        .panel_size = weights.panel_size,
    };
    team_run(products->team, turn_unit, &turning, turning.blocks + weights.panels);
    size_t stride = (size_t)linear->k * sizeof(float);
    gemm_run(products->team, &(struct gemm_call){
                                 .ops = products->ops,
                                 .weights = &weights,
                                 .panel_count = weights.panels,
                                 .images = 1,
                                 .rows = linear->n,
                                 .a = products->transposed,
                                 .a_stride = turning.stride,
                                 .c = linear->weight_gradient,
                                 .c_stride = stride,
                                 .residual = linear->weight_gradient,
                                 .residual_stride = stride,
                             });
}
