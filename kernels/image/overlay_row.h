// overlay_row.h: one row of overlay.c's picture. overlay.c and overlay_avx2.c share the loop here, which the
// compiler makes into vectors of each file's instruction set. Included by nobody else.
#ifndef SKINSIGHT_KERNELS_IMAGE_OVERLAY_ROW_H
#define SKINSIGHT_KERNELS_IMAGE_OVERLAY_ROW_H

#include <stdint.h>

enum {
    OVERLAY_WEIGHT_BITS = 8, // of interpolation
    OVERLAY_COLOUR_BITS = 16,
    OVERLAY_MAX_WIDTH = 4096,
    OVERLAY_LANES = 8, // pixels side by side
};

// What a share makes of a pixel: pixel * kept + added, without the lowest OVERLAY_COLOUR_BITS, in every
// channel.
struct overlay_mixture {
    uint32_t added[3];
    uint32_t kept;
};

// Pixels that lie between points first and second of the map, up to where the next run begins.
struct overlay_run {
    int first, second;
    int begin;
};

struct overlay_row {
    int width; // 1..OVERLAY_MAX_WIDTH
    int run_count;
    const struct overlay_run *runs;
    // Of a run's second point, 0..2^OVERLAY_WEIGHT_BITS; the places beyond width may be read.
    int32_t weights[OVERLAY_MAX_WIDTH + OVERLAY_LANES];
    const int32_t *columns; // the map's points at this row's height: shares with OVERLAY_WEIGHT_BITS behind
    const struct overlay_mixture *mixtures; // of each share
};

// view and out: width RGB pixels.
typedef void overlay_row_function(const struct overlay_row *row, const uint8_t *view, uint8_t *out);
overlay_row_function overlay_row_plain, overlay_row_avx2;

// Writes up to OVERLAY_LANES - 1 shares too many at the end of a run, which the next one writes again. Every
// sum is within 0..2^31 where it counts: at most OVERLAY_SHARE_MAX * 2^16, and a half to round.
static inline void enlarge_row(const struct overlay_row *row,
                               int32_t shares[OVERLAY_MAX_WIDTH + OVERLAY_LANES])
{
    for (int run = 0; run < row->run_count; run++) {
        int end = run + 1 < row->run_count ? row->runs[run + 1].begin : row->width;
        int32_t left = row->columns[row->runs[run].first], right = row->columns[row->runs[run].second];
        int32_t base = (left << OVERLAY_WEIGHT_BITS) + (1 << (2 * OVERLAY_WEIGHT_BITS - 1)),
                rise = right - left;
        for (int x = row->runs[run].begin; x < end; x += OVERLAY_LANES)
            for (int i = 0; i < OVERLAY_LANES; i++)
                shares[x + i] = (base + rise * row->weights[x + i]) >> (2 * OVERLAY_WEIGHT_BITS);
    }
}

// From the pixel at begin to the last one.
static inline void mix_pixels(const struct overlay_row *row, const int32_t *shares, int begin,
                              const uint8_t *view, uint8_t *out)
{
    for (int x = begin; x < row->width; x++) {
        const struct overlay_mixture *mixture = &row->mixtures[shares[x]];
        for (int c = 0; c < 3; c++)
            out[3 * x + c] =
                (uint8_t)((view[3 * x + c] * mixture->kept + mixture->added[c]) >> OVERLAY_COLOUR_BITS);
    }
}

#endif
