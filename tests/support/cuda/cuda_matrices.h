// cuda_matrices.h: matrices of noise in every storage for the tests of the CUDA backend's operations, what
// they hold as doubles, and their comparison. Static functions; include after cmocka.h.
//
// Tolerances: float results may differ by their own rounding, counted in 2^-23 of the terms' magnitude; half
// results by one rounding of the format (2^-11, 2^-8) besides.
//
// The memory is whatever cuda_memory gives: the shim's is the processor's own; with a GPU it is memory that
// both reach.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_MATRICES_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_MATRICES_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cuda/ops.h"
#include "kernels/model/random_weights.h"
#include "tests/support/cuda/cuda_memory.h"

static inline float noise(const char *name, size_t index)
{
    return ((float)(random_weights_bits(5, name, index) >> 40) * 0x1p-23f - 1) * 2;
}

struct test_matrix {
    struct matrix matrix;
    double *values; // what data hold, rows x columns
};

static inline float half_to_float(uint16_t bits, enum storage storage)
{
    struct weight weight = {
        .dtype = storage == STORE_FP16 ? DTYPE_F16 : DTYPE_BF16, .count = 1, .data = &bits};
    float value;
    weight_to_float(&weight, &value);
    return value;
}

static inline struct matrix empty(enum storage storage, int rows, int columns)
{
    struct matrix matrix = {
        .storage = storage, .rows = rows, .columns = columns, .stride = columns, .scale_stride = 1};
    size_t size = (size_t)rows * (size_t)columns * storage_size(storage);
    matrix.data = cuda_memory(size);
    matrix.scales = cuda_memory((size_t)rows * sizeof *matrix.scales);
    return matrix;
}

static inline double value_at(const struct matrix *matrix, int row, int column)
{
    size_t at = (size_t)(row * matrix->stride + column);
    if (matrix->storage == STORE_FP32)
        return ((float *)matrix->data)[at];
    if (matrix->storage != STORE_UINT8)
        return half_to_float(((uint16_t *)matrix->data)[at], matrix->storage);
    struct quantised_row scale = matrix->scales[row * matrix->scale_stride];
    return (double)scale.scale * (((uint8_t *)matrix->data)[at] - scale.zero);
}

// Noise in the given storage; the values are what it holds after rounding.
static inline struct test_matrix filled(const char *name, enum storage storage, int rows, int columns)
{
    struct matrix floats = empty(STORE_FP32, rows, columns);
    for (size_t i = 0; i < (size_t)rows * (size_t)columns; i++)
        ((float *)floats.data)[i] = noise(name, i);
    struct test_matrix result = {empty(storage, rows, columns), NULL};
    cuda_convert(NULL, floats, result.matrix);
    cuda_memory_ready();
    result.values = memory_alloc((size_t)rows * (size_t)columns * sizeof *result.values);
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++)
            result.values[row * columns + column] = value_at(&result.matrix, row, column);
    cuda_memory_free(floats.data);
    cuda_memory_free(floats.scales);
    return result;
}

static inline void release(struct matrix matrix)
{
    cuda_memory_free(matrix.data);
    cuda_memory_free(matrix.scales);
}

static inline void release_test(struct test_matrix test)
{
    release(test.matrix);
    free(test.values);
}

static inline double rounding(enum storage storage)
{
    return storage == STORE_FP16 ? 0x1p-11 : storage == STORE_BF16 ? 0x1p-8 : 0x1p-24;
}

// slack: of float arithmetic, absolute. Every value is compared; a NaN fails.
static inline void near(const char *what, const struct matrix *found, const double *expected, double slack)
{
    cuda_memory_ready();
    for (int row = 0; row < found->rows; row++)
        for (int column = 0; column < found->columns; column++) {
            double value = value_at(found, row, column), wanted = expected[row * found->columns + column];
            if (!(fabs(value - wanted) <= slack + fabs(wanted) * rounding(found->storage) * 1.01))
                fail_msg("%s: row %d column %d is %.9g, expected %.9g", what, row, column, value, wanted);
        }
}

#endif
