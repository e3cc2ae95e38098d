// view_sums.h: the sums over a view's pixels that its features are made of: luma, edges, histograms. All are
// integers, so every instruction set gives the same ones.
#ifndef SKINSIGHT_KERNELS_IMAGE_VIEW_SUMS_H
#define SKINSIGHT_KERNELS_IMAGE_VIEW_SUMS_H

#include <stdint.h>

enum {
    VIEW_SUMS_BINS = 16,         // a bin holds 16 values of a channel
    VIEW_SUMS_MAX_SIZE = 1024,   // (4 * VIEW_SUMS_LUMA_ONE * VIEW_SUMS_MAX_SIZE)^2 < 2^63
    VIEW_SUMS_LUMA_ONE = 255000, // luma is summed in thousandths of a grey level: 299 R + 587 G + 114 B
};

struct view_moments {
    int64_t count, sum, sum_of_squares;
};

struct view_sums {
    struct view_moments light; // luma of all pixels
    struct view_moments edges; // up + down + left + right - 4 * middle, where all four are
    uint32_t bins[3][VIEW_SUMS_BINS];
};

// view: size * size * 3 bytes of RGB, 1 <= size <= VIEW_SUMS_MAX_SIZE. Any thread.
typedef void view_sums_function(const uint8_t *view, int size, struct view_sums *sums);

view_sums_function view_sums_plain, view_sums_avx2, view_sums_avx512;

// What this processor can run, the slowest first: index 0 is plain; NULL beyond the last.
view_sums_function *view_sums_at(int index);
view_sums_function *view_sums_best(void);

#endif
