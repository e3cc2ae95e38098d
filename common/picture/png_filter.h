// png_filter.h: the rows of a PNG as differences between pixels. png.c and png_filter_avx2.c compile these
// loops for their instruction sets. Included by nobody else.
#ifndef SKINSIGHT_COMMON_PICTURE_PNG_FILTER_H
#define SKINSIGHT_COMMON_PICTURE_PNG_FILTER_H

#include <stdint.h>
#include <string.h>

#include "common/picture/image.h"

enum { PNG_CHANNELS = 3, PNG_FILTER_LEFT = 1, PNG_FILTER_PAETH = 4 };

// Writes the filtered rows, a byte more than the picture has for each, and returns their Adler-32.
typedef uint32_t png_filter_function(const struct image *image, uint8_t *out);
png_filter_function png_filter_plain, png_filter_avx2;

static inline uint8_t distance(uint8_t a, uint8_t b)
{
    return (uint8_t)(a > b ? a - b : b - a);
}

// Paeth's predictor in bytes, so that the compiler makes vectors of it: of left + above - corner, the
// distances to left and above are those between corner and the other one. The one to corner is the difference
// of these two where left and above lie on different sides of it, and else not the least of the three.
static inline uint8_t predict(uint8_t left, uint8_t above, uint8_t corner)
{
    uint8_t to_left = distance(above, corner), to_above = distance(left, corner);
    uint8_t same_side = (uint8_t) - ((above > corner) == (left > corner));
    uint8_t to_corner = distance(to_left, to_above) | same_side;
    uint8_t best = to_above <= to_corner ? above : corner;
    uint8_t least = to_above <= to_corner ? to_above : to_corner;
    return to_left <= least ? left : best;
}

static inline void filter_first_row(const uint8_t *row, size_t size, uint8_t *out)
{
    *out++ = PNG_FILTER_LEFT;
    memcpy(out, row, PNG_CHANNELS);
    for (size_t x = PNG_CHANNELS; x < size; x++)
        out[x] = (uint8_t)(row[x] - row[x - PNG_CHANNELS]);
}

static inline void filter_row(const uint8_t *row, const uint8_t *above, size_t size, uint8_t *restrict out)
{
    *out++ = PNG_FILTER_PAETH;
    for (size_t x = 0; x < PNG_CHANNELS; x++)
        out[x] = (uint8_t)(row[x] - above[x]);
    for (size_t x = PNG_CHANNELS; x < size; x++)
        out[x] = (uint8_t)(row[x] - predict(row[x - PNG_CHANNELS], above[x], above[x - PNG_CHANNELS]));
}

struct png_checksum {
    uint64_t first, second; // both below 65521
};

// Within 256 bytes a product of place and byte fits 16 bits, so the compiler makes vectors of it.
static inline void add_bytes(struct png_checksum *checksum, const uint8_t *bytes, size_t size)
{
    enum { RUN = 256, BASE = 65521 };
    for (size_t at = 0; at < size; at += RUN) {
        unsigned count = size - at < RUN ? (unsigned)(size - at) : RUN;
        uint32_t sum = 0, weighted = 0;
        for (unsigned i = 0; i < count; i++) {
            sum += bytes[at + i];
            weighted += (uint16_t)((uint16_t)i * bytes[at + i]);
        }
        checksum->second = (checksum->second + count * checksum->first + count * sum - weighted) % BASE;
        checksum->first = (checksum->first + sum) % BASE;
    }
}

static inline uint32_t filter(const struct image *image, uint8_t *out)
{
    struct png_checksum checksum = {.first = 1};
    size_t size = (size_t)image->width * PNG_CHANNELS;
    for (int y = 0; y < image->height; y++, out += size + 1) {
        const uint8_t *row = image->pixels + (size_t)y * size;
        if (y == 0)
            filter_first_row(row, size, out);
        else
            filter_row(row, row - size, size, out);
        add_bytes(&checksum, out, size + 1);
    }
    return (uint32_t)(checksum.second << 16 | checksum.first);
}

#endif
