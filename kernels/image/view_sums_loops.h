// view_sums_loops.h: the body of view_sums.c, view_sums_avx2.c and view_sums_avx512.c: plain loops, which the
// compiler makes into vectors of each file's instruction set. Included by nobody else, and behind a
// definition of VIEW_LANES: the pixels of a vector.
#ifndef SKINSIGHT_KERNELS_IMAGE_VIEW_SUMS_LOOPS_H
#define SKINSIGHT_KERNELS_IMAGE_VIEW_SUMS_LOOPS_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "kernels/image/view_sums.h"

static inline void split_row(const uint8_t *pixels, int size,
                             uint8_t (*bins)[VIEW_SUMS_MAX_SIZE + VIEW_LANES], int32_t *line)
{
    for (int x = 0; x < size; x++) {
        uint8_t red = pixels[3 * x], green = pixels[3 * x + 1], blue = pixels[3 * x + 2];
        bins[0][x] = red >> 4;
        bins[1][x] = green >> 4;
        bins[2][x] = blue >> 4;
        line[x] = 299 * red + 587 * green + 114 * blue;
    }
}

typedef uint8_t view_lanes __attribute__((vector_size(VIEW_LANES)));

// bins: size of them, and VIEW_LANES more that equal none.
static inline void count_bins(const uint8_t *bins, int size, view_lanes lanes[VIEW_SUMS_BINS])
{
    for (int bin = 0; bin < VIEW_SUMS_BINS; bin++) {
        view_lanes counts = lanes[bin];
        for (int x = 0; x < size; x += VIEW_LANES) {
            view_lanes found;
            memcpy(&found, bins + x, sizeof found);
            counts -= (view_lanes)(found == (uint8_t)bin); // true is -1
        }
        lanes[bin] = counts;
    }
}

static inline void empty_lanes(view_lanes (*lanes)[VIEW_SUMS_BINS], struct view_sums *sums)
{
    for (int channel = 0; channel < 3; channel++)
        for (int bin = 0; bin < VIEW_SUMS_BINS; bin++)
            for (int i = 0; i < VIEW_LANES; i++) {
                sums->bins[channel][bin] += lanes[channel][bin][i];
                lanes[channel][bin][i] = 0;
            }
}

static inline void add_light(struct view_moments *moments, const int32_t *line, int size)
{
    int64_t sum = 0, sum_of_squares = 0;
    for (int x = 0; x < size; x++) {
        sum += line[x];
        sum_of_squares += (int64_t)line[x] * line[x];
    }
    moments->count += size;
    moments->sum += sum;
    moments->sum_of_squares += sum_of_squares;
}

static inline void add_edges(struct view_moments *moments, const int32_t *above, const int32_t *line,
                             const int32_t *below, int size)
{
    int64_t sum = 0, sum_of_squares = 0;
    for (int x = 1; x < size - 1; x++) {
        int32_t edge = above[x] + below[x] + line[x - 1] + line[x + 1] - 4 * line[x];
        sum += edge;
        sum_of_squares += (int64_t)edge * edge;
    }
    moments->count += size - 2;
    moments->sum += sum;
    moments->sum_of_squares += sum_of_squares;
}

static inline void sum_view(const uint8_t *view, int size, struct view_sums *sums)
{
    assert(size >= 1 && size <= VIEW_SUMS_MAX_SIZE);
    int32_t lines[3][VIEW_SUMS_MAX_SIZE]; // luma of the last three rows
    uint8_t bins[3][VIEW_SUMS_MAX_SIZE + VIEW_LANES];
    view_lanes lanes[3][VIEW_SUMS_BINS] = {0};
    int full_after = 255 / ((size + VIEW_LANES - 1) / VIEW_LANES); // rows
    memset(bins, 255, sizeof bins);
    *sums = (struct view_sums){0};
    for (int y = 0; y < size; y++) {
        const int32_t *above = lines[(y + 1) % 3], *line = lines[(y + 2) % 3];
        split_row(view + (size_t)y * (size_t)size * 3, size, bins, lines[y % 3]);
        for (int channel = 0; channel < 3; channel++)
            count_bins(bins[channel], size, lanes[channel]);
        if ((y + 1) % full_after == 0 || y == size - 1)
            empty_lanes(lanes, sums);
        add_light(&sums->light, lines[y % 3], size);
        if (y >= 2 && size > 2)
            add_edges(&sums->edges, above, line, lines[y % 3], size);
    }
}

#endif
