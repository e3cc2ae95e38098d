// features.c: brightness, contrast, sharpness and histograms of a view, in one walk over its pixels.
#include "worker/stages/features.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

enum {
    LUMA_ONE = 255 * 1000, // luma is summed in thousandths of a grey level: 299 R + 587 G + 114 B
    MAX_SIZE = 1024,       // (4 * LUMA_ONE)^2 * MAX_SIZE^2 < 2^63
};

static int luma(const uint8_t *pixel)
{
    return 299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2];
}

struct moments {
    int64_t count, sum, sum_of_squares; // of luma in thousandths
};

static void moments_add(struct moments *moments, int64_t value)
{
    moments->count++;
    moments->sum += value;
    moments->sum_of_squares += value * value;
}

static double moments_mean(const struct moments *moments)
{
    return moments->count ? (double)moments->sum / (double)moments->count / LUMA_ONE : 0.0;
}

static double moments_variance(const struct moments *moments)
{
    if (moments->count == 0)
        return 0.0;
    // count * sum_of_squares - sum^2 without rounding, so equal pixels give exactly 0.
    __int128 spread =
        (__int128)moments->count * moments->sum_of_squares - (__int128)moments->sum * moments->sum;
    double count = (double)moments->count;
    return (double)spread / (count * count) / ((double)LUMA_ONE * LUMA_ONE);
}

static void add_light(struct moments *moments, const uint8_t *pixels, int size, int *line)
{
    for (int x = 0; x < size; x++) {
        line[x] = luma(pixels + (size_t)x * 3);
        moments_add(moments, line[x]);
    }
}

static void add_edges(struct moments *moments, const int *above, const int *line, const int *below, int size)
{
    for (int x = 1; x < size - 1; x++)
        moments_add(moments, above[x] + below[x] + line[x - 1] + line[x + 1] - 4 * line[x]);
}

static void count_bins(int counts[3][FEATURES_BINS], const uint8_t *pixels, int size)
{
    for (int x = 0; x < size; x++)
        for (int c = 0; c < 3; c++)
            counts[c][pixels[x * 3 + c] / (256 / FEATURES_BINS)]++;
}

void features_of_view(const uint8_t *view, int size, struct features *features)
{
    assert(size >= 1 && size <= MAX_SIZE);
    struct moments light = {0}, edges = {0};
    int counts[3][FEATURES_BINS] = {{0}};
    int lines[3][MAX_SIZE]; // luma of the last three rows
    for (int y = 0; y < size; y++) {
        const uint8_t *pixels = view + (size_t)y * (size_t)size * 3;
        add_light(&light, pixels, size, lines[y % 3]);
        if (y >= 2)
            add_edges(&edges, lines[(y - 2) % 3], lines[(y - 1) % 3], lines[y % 3], size);
        count_bins(counts, pixels, size);
    }
    *features = (struct features){
        .brightness = (float)moments_mean(&light),
        .contrast = (float)sqrt(moments_variance(&light)),
        .sharpness = (float)moments_variance(&edges),
    };
    for (int i = 0; i < FEATURES_BINS; i++) {
        features->histogram_r[i] = (float)((double)counts[0][i] / (double)light.count);
        features->histogram_g[i] = (float)((double)counts[1][i] / (double)light.count);
        features->histogram_b[i] = (float)((double)counts[2][i] / (double)light.count);
    }
}
