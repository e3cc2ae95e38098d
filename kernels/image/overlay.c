// overlay.c: attention map to colours, mixed over the view.
#include "kernels/image/overlay.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/image/overlay_row.h"

enum {
    MAX_SIDE = OVERLAY_MAX_WIDTH,
    SHARE_MAX = OVERLAY_SHARE_MAX,
    SHARES = SHARE_MAX + 1,
    WEIGHT_ONE = 1 << OVERLAY_WEIGHT_BITS,
    COLOUR_ONE = 1 << OVERLAY_COLOUR_BITS,
    OPACITY_MOST = 70, // per cent, where the map is greatest
};

// Nine colours at equal steps of the share; between them linear.
static const uint8_t colours[][3] = {
    {30, 10, 80},   {45, 40, 120},  {45, 78, 140},  {38, 112, 145},  {36, 145, 138},
    {70, 177, 116}, {128, 204, 82}, {196, 225, 60}, {252, 244, 110},
};
enum { COLOUR_STEPS = sizeof colours / sizeof *colours - 1 };

void overlay_colour(int share, uint8_t colour[3])
{
    int scaled = share * COLOUR_STEPS;
    int step = scaled / SHARE_MAX;
    if (step == COLOUR_STEPS)
        step--;
    int rest = scaled - step * SHARE_MAX;
    for (int c = 0; c < 3; c++) {
        int from = colours[step][c], to = colours[step + 1][c];
        colour[c] = (uint8_t)((from * (SHARE_MAX - rest) + to * rest + SHARE_MAX / 2) / SHARE_MAX);
    }
}

static enum status scale_map(const float *map, int count, uint16_t *shares, struct error *err)
{
    float least = map[0], greatest = map[0];
    for (int i = 0; i < count; i++) {
        if (!isfinite(map[i]))
            return error_set(err, STATUS_REJECTED, "value %d of the attention map is not a finite number", i);
        least = fminf(least, map[i]);
        greatest = fmaxf(greatest, map[i]);
    }
    double range = (double)greatest - least;
    for (int i = 0; i < count; i++)
        shares[i] = range > 0 ? (uint16_t)lrint(((double)map[i] - least) / range * SHARE_MAX) : 0;
    return STATUS_OK;
}

// Where the centre of output point x lies between two of the map's points, half a point in from the edges.
struct place {
    int first, second;
    int weight; // of second, 0..WEIGHT_ONE
};

static struct place place_of(int x, int size, int map_size)
{
    // (x + 0.5) * map_size / size - 0.5, in units of 1 / WEIGHT_ONE, rounded down.
    int at = (int)((2 * x + 1) * (int64_t)map_size * (WEIGHT_ONE / 2) / size) - WEIGHT_ONE / 2;
    if (at < 0)
        at = 0;
    struct place place = {.first = at / WEIGHT_ONE, .weight = at % WEIGHT_ONE};
    place.second = place.first + 1 < map_size ? place.first + 1 : place.first;
    return place;
}

// The pixels of a row as runs that lie between the same two points of the map.
static void list_runs(struct overlay_row *row, struct overlay_run *runs, int map_width)
{
    row->runs = runs;
    row->run_count = 0;
    for (int x = 0; x < row->width; x++) {
        struct place place = place_of(x, row->width, map_width);
        row->weights[x] = place.weight;
        if (x == 0 || place.first != runs[row->run_count - 1].first)
            runs[row->run_count++] = (struct overlay_run){place.first, place.second, x};
    }
}

static void mix_rows(const uint16_t *shares, int map_width, struct place down, int32_t *columns)
{
    const uint16_t *upper = shares + (size_t)down.first * (size_t)map_width;
    const uint16_t *lower = shares + (size_t)down.second * (size_t)map_width;
    for (int x = 0; x < map_width; x++)
        columns[x] = upper[x] * (WEIGHT_ONE - down.weight) + lower[x] * down.weight;
}

// The less attention, the more of the picture itself: its own colours are what a physician reads.
static void list_mixtures(struct overlay_mixture mixtures[SHARES])
{
    for (int share = 0; share < SHARES; share++) {
        uint32_t covered =
            (uint32_t)((OPACITY_MOST * share * (int64_t)COLOUR_ONE + 50 * SHARE_MAX) / (100 * SHARE_MAX));
        uint8_t colour[3];
        overlay_colour(share, colour);
        mixtures[share].kept = COLOUR_ONE - covered;
        for (int c = 0; c < 3; c++)
            mixtures[share].added[c] = colour[c] * covered + COLOUR_ONE / 2;
    }
}

void overlay_row_plain(const struct overlay_row *row, const uint8_t *view, uint8_t *out)
{
    int32_t shares[OVERLAY_MAX_WIDTH + OVERLAY_LANES];
    enlarge_row(row, shares);
    mix_pixels(row, shares, 0, view, out);
}

static void draw(const uint8_t *view, const uint16_t *shares, int map_height, int map_width,
                 struct image *out)
{
    struct overlay_mixture mixtures[SHARES];
    struct overlay_run runs[MAX_SIDE];
    int32_t columns[MAX_SIDE];
    struct overlay_row row = {.width = out->width, .columns = columns, .mixtures = mixtures};
    overlay_row_function *row_function = cpu_features_get().avx2 ? overlay_row_avx2 : overlay_row_plain;
    list_mixtures(mixtures);
    list_runs(&row, runs, map_width);
    size_t size = (size_t)out->width * 3;
    for (int y = 0; y < out->height; y++) {
        mix_rows(shares, map_width, place_of(y, out->height, map_height), columns);
        row_function(&row, view + (size_t)y * size, out->pixels + (size_t)y * size);
    }
}

enum status overlay_draw(const uint8_t *view, int size, const float *map, int map_height, int map_width,
                         struct image *out, struct error *err)
{
    *out = (struct image){0};
    if (size < 1 || size > MAX_SIDE || map_height < 1 || map_height > MAX_SIDE || map_width < 1 ||
        map_width > MAX_SIDE)
        return error_set(err, STATUS_REJECTED,
                         "an overlay of %d pixels a side from a map of %d x %d can't be drawn", size,
                         map_width, map_height);
    int count = map_height * map_width;
    uint16_t *shares = memory_try_alloc((size_t)count * sizeof *shares);
    if (!shares)
        return error_set(err, STATUS_FATAL, "no memory for an attention map of %d values", count);
    enum status status = scale_map(map, count, shares, err);
    if (status == STATUS_OK)
        status = image_init(out, size, size, err);
    if (status == STATUS_OK)
        draw(view, shares, map_height, map_width, out);
    free(shares);
    return status;
}
