// resize.h: Pillow's antialiased bilinear resize of RGB bytes, of a centred square only, bit for bit.
//
// Each axis is a list of weighted sums with 22 fraction bits (Pillow's src/libImaging/Resample.c describes
// the arithmetic): first every needed row is narrowed and rounded to bytes, then the columns of those rows.
// The two sums exist once per instruction set; all give the same bits, because they are integer sums.
#ifndef SKINSIGHT_KERNELS_IMAGE_RESIZE_H
#define SKINSIGHT_KERNELS_IMAGE_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/picture/image.h"

enum {
    RESIZE_FRACTION_BITS = 22,
    RESIZE_SPLIT_BITS = 12, // weight = high << 12 | low: two factors that fit 16-bit multiplications
    RESIZE_ROWS = 4,        // rows narrowed per call
    RESIZE_PAIR = 2,        // source points of an output where an axis grows
    RESIZE_PADDING = 64,    // bytes that a row given to the kernels may be read or written beyond its end
};

// The outputs of one axis that are kept. Weights of output i: [i * taps], used[i] of them, the rest zero.
struct resize_axis {
    int count; // outputs
    int taps;  // weights stored for each output, a multiple of 4
    // The largest of used[], where it is above RESIZE_PAIR rounded up to a multiple of 4: what a loop without
    // surprises runs over.
    int most;
    int *first; // source point of weight 0; first + most stays within the axis where the axis is that long
    int *used;
    int32_t *weight;
    int16_t *high;
    int16_t *low;
};

// Outputs offset .. offset + count - 1 of an axis resized from `from` to `to` points. FATAL: no memory.
enum status resize_axis_init(struct resize_axis *axis, int from, int to, int offset, int count,
                             struct error *err) MUST_CHECK;
void resize_axis_release(struct resize_axis *axis); // safe on a zeroed axis

struct resize_kernels {
    const char *name; // "plain", "avx2", "avx512"
    // Narrows four rows of RGB to axis->count pixels each. Sources must be readable and outputs writable
    // RESIZE_PADDING bytes beyond their ends.
    void (*horizontal)(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                       uint8_t *const outputs[RESIZE_ROWS]);
    // The same for an axis with axis->most == RESIZE_PAIR.
    void (*horizontal_pairs)(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                             uint8_t *const outputs[RESIZE_ROWS]);
    // One output row of `size` bytes: output `index` of the axis. rows[t] belongs to weight t; there are
    // axis->taps of them. Rows and output must allow for `size` rounded up to a multiple of RESIZE_PADDING.
    void (*vertical)(const struct resize_axis *axis, int index, const uint8_t *const *rows, uint8_t *output,
                     size_t size);
};

extern const struct resize_kernels resize_plain, resize_avx2, resize_avx512;

// resize_avx2's horizontal_pairs, which wider vectors do not make faster.
void resize_avx2_pairs(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                       uint8_t *const outputs[RESIZE_ROWS]);

// The kernels this CPU can run, slowest first: index 0 is plain; NULL beyond the last.
const struct resize_kernels *resize_kernels_at(int index);
const struct resize_kernels *resize_kernels_best(void);

// The centre crop x crop of source resized to resize x resize, crop <= resize, into view (crop * crop * 3
// bytes). Memory: a few rows of the crop's width, never a whole picture. FATAL: no memory. Any thread.
enum status resize_crop(const struct resize_kernels *kernels, const struct image *source, int resize,
                        int crop, uint8_t *view, struct error *err) MUST_CHECK;

#endif
