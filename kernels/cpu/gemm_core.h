// gemm_core.h: the inner loop of the matrix product, written once for every instruction set.
//
// The including file defines, before the include:
//   GEMM_ROWS          rows of a tile, 4, 6, 8 or 12; GEMM_ROWS * 2 accumulators must fit the registers
//   GEMM_GROUP         values of k that one step consumes
//   GEMM_ELEMENT       type of a value
//   gemm_vector        type of the operands, one vector or two;  gemm_sum: of the accumulators
//   gemm_zero(), gemm_broadcast(const void *word), gemm_load(const void *), gemm_step(sum, a, w),
//   gemm_save(void *to, gemm_sum);  gemm_hide(x), where gemm_vector is no vector
// and gets static functions gemm_core_1 .. gemm_core_<GEMM_ROWS> in the table GEMM_CORES.
//
// Sums are named variables, made by the preprocessor, because arrays of vectors are not reliably kept in
// registers.
#include <string.h>

enum {
    GEMM_SUM = sizeof(gemm_sum),
    GEMM_WEIGHTS = 2 * sizeof(gemm_vector), // bytes of weights that a step reads
    GEMM_STEP_BYTES = GEMM_GROUP * sizeof(GEMM_ELEMENT),
    GEMM_LINE = 64,
    // Weights are fetched this many bytes ahead: about the latency of the second-level cache.
    GEMM_PREFETCH = 24 * GEMM_WEIGHTS
};

#define GEMM_FOR_1(X)  X(0)
#define GEMM_FOR_2(X)  GEMM_FOR_1(X) X(1)
#define GEMM_FOR_3(X)  GEMM_FOR_2(X) X(2)
#define GEMM_FOR_4(X)  GEMM_FOR_3(X) X(3)
#define GEMM_FOR_5(X)  GEMM_FOR_4(X) X(4)
#define GEMM_FOR_6(X)  GEMM_FOR_5(X) X(5)
#define GEMM_FOR_7(X)  GEMM_FOR_6(X) X(6)
#define GEMM_FOR_8(X)  GEMM_FOR_7(X) X(7)
#define GEMM_FOR_9(X)  GEMM_FOR_8(X) X(8)
#define GEMM_FOR_10(X) GEMM_FOR_9(X) X(9)
#define GEMM_FOR_11(X) GEMM_FOR_10(X) X(10)
#define GEMM_FOR_12(X) GEMM_FOR_11(X) X(11)

#define GEMM_DECLARE(row) gemm_sum left##row = gemm_zero(), right##row = gemm_zero();
// One row's part of one step of k: a broadcast word of A against two vectors of weights.
#define GEMM_STEP(row)                                                                                       \
    {                                                                                                        \
        gemm_vector x = gemm_broadcast(values + (row)*a_stride);                                             \
        left##row = gemm_step(left##row, x, w0);                                                             \
        right##row = gemm_step(right##row, x, w1);                                                           \
    }
// The last word of a row may be cut off: what lies behind it is not ours to read.
#define GEMM_LAST_STEP(row)                                                                                  \
    {                                                                                                        \
        char word[GEMM_STEP_BYTES] = {0};                                                                    \
        memcpy(word, values + (row)*a_stride, (size_t)(k % GEMM_GROUP) * sizeof(GEMM_ELEMENT));              \
        gemm_vector x = gemm_broadcast(word);                                                                \
        left##row = gemm_step(left##row, x, w0);                                                             \
        right##row = gemm_step(right##row, x, w1);                                                           \
    }
#define GEMM_SAVE(row)                                                                                       \
    gemm_save(to + (row)*to_stride, left##row);                                                              \
    gemm_save(to + (row)*to_stride + GEMM_SUM, right##row);

#define GEMM_DEFINE(rows)                                                                                    \
    static void gemm_core_##rows(const void *a, size_t a_stride, const void *panel, int k, void *tile,       \
                                 int tile_stride, struct gemm_ahead ahead)                                   \
    {                                                                                                        \
        const char *values = a, *weights = panel, *next = ahead.at;                                          \
        GEMM_FOR_##rows(GEMM_DECLARE);                                                                       \
        for (int step = 0; step < k / GEMM_GROUP; step++) {                                                  \
            gemm_vector w0 = gemm_load(weights), w1 = gemm_load(weights + GEMM_SUM);                         \
            __builtin_prefetch(weights + GEMM_PREFETCH);                                                     \
            if (GEMM_WEIGHTS > GEMM_LINE)                                                                    \
                __builtin_prefetch(weights + GEMM_PREFETCH + GEMM_LINE);                                     \
            __builtin_prefetch(next, 0, 2);                                                                  \
            next += ahead.step;                                                                              \
            GEMM_FOR_##rows(GEMM_STEP);                                                                      \
            values += GEMM_STEP_BYTES;                                                                       \
            weights += GEMM_WEIGHTS;                                                                         \
        }                                                                                                    \
        if (k % GEMM_GROUP) {                                                                                \
            gemm_vector w0 = gemm_load(weights), w1 = gemm_load(weights + GEMM_SUM);                         \
            GEMM_FOR_##rows(GEMM_LAST_STEP);                                                                 \
        }                                                                                                    \
        char *to = tile;                                                                                     \
        size_t to_stride = (size_t)tile_stride * 4;                                                          \
        GEMM_FOR_##rows(GEMM_SAVE);                                                                          \
    }

GEMM_DEFINE(1)
GEMM_DEFINE(2)
GEMM_DEFINE(3)
GEMM_DEFINE(4)
#define GEMM_CORES_4 NULL, gemm_core_1, gemm_core_2, gemm_core_3, gemm_core_4
#if GEMM_ROWS > 4
GEMM_DEFINE(5)
GEMM_DEFINE(6)
#define GEMM_CORES_6 GEMM_CORES_4, gemm_core_5, gemm_core_6
#endif
#if GEMM_ROWS > 6
GEMM_DEFINE(7)
GEMM_DEFINE(8)
#define GEMM_CORES_8 GEMM_CORES_6, gemm_core_7, gemm_core_8
#endif
#if GEMM_ROWS > 8
GEMM_DEFINE(9)
GEMM_DEFINE(10)
GEMM_DEFINE(11)
GEMM_DEFINE(12)
#define GEMM_CORES_12 GEMM_CORES_8, gemm_core_9, gemm_core_10, gemm_core_11, gemm_core_12
#endif
#define GEMM_PASTE(a, b)     a##b
#define GEMM_WITH_ROWS(a, b) GEMM_PASTE(a, b)
#define GEMM_CORES           GEMM_WITH_ROWS(GEMM_CORES_, GEMM_ROWS)

// A loop of independent multiply-adds in registers: what the unit can do when nothing else is in the way.
// Equal sums and products would be merged by the compiler, so it must not see that they are equal, nor that
// the operands never change.
#ifndef gemm_hide
#define gemm_hide(x) __asm__ volatile("" : "+v"(x))
#endif
#define GEMM_HIDE(row) __asm__ volatile("" : "+v"(left##row), "+v"(right##row));
#define GEMM_PEAK_STEP(row)                                                                                  \
    left##row = gemm_step(left##row, x, x);                                                                  \
    gemm_hide(x);                                                                                            \
    right##row = gemm_step(right##row, x, x);                                                                \
    gemm_hide(x);
#define GEMM_TOUCH(row) __asm__ volatile("" : : "v"(left##row), "v"(right##row));
#define GEMM_DEFINE_PEAK(rows)                                                                               \
    static double gemm_multiply_adds(long rounds)                                                            \
    {                                                                                                        \
        char zeros[2 * GEMM_WEIGHTS] = {0};                                                                  \
        gemm_vector x = gemm_load(zeros);                                                                    \
        GEMM_FOR_##rows(GEMM_DECLARE);                                                                       \
        GEMM_FOR_##rows(GEMM_HIDE);                                                                          \
        for (long round = 0; round < rounds; round++) {                                                      \
            gemm_hide(x);                                                                                    \
            GEMM_FOR_##rows(GEMM_PEAK_STEP);                                                                 \
        }                                                                                                    \
        GEMM_FOR_##rows(GEMM_TOUCH);                                                                         \
        return (double)rounds * rows * (GEMM_WEIGHTS / (double)sizeof(GEMM_ELEMENT));                        \
    }
#define GEMM_DEFINE_PEAK_OF(rows) GEMM_DEFINE_PEAK(rows)
GEMM_DEFINE_PEAK_OF(GEMM_ROWS)
