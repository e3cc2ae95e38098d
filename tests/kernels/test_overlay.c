// test_overlay.c: the picture of the attention map: scaling and enlarging against
// torch.nn.functional.interpolate (bilinear, align_corners=False), the mixing against arithmetic, the order
// of the colours.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "kernels/image/overlay.h"
#include "tests/support/picture.h"

enum { SIZE = 224, MAP = 14 };

static uint8_t view[SIZE * SIZE * 3];

static struct image drawn(int size, const float *map, int height, int width)
{
    struct image out;
    struct error err = {""};
    if (overlay_draw(view, size, map, height, width, &out, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(out.width, size);
    assert_int_equal(out.height, size);
    return out;
}

// The colour covers the view to 70 % of the share.
static void check_pixel(const struct image *out, int y, int x, double share, int tolerance)
{
    uint8_t colour[3];
    int level = (int)lrint(share * OVERLAY_SHARE_MAX);
    overlay_colour(level, colour);
    for (int c = 0; c < 3; c++) {
        size_t at = ((size_t)y * (size_t)out->width + (size_t)x) * 3 + (size_t)c;
        double opacity = 0.70 * level / OVERLAY_SHARE_MAX;
        int expected = (int)floor(view[at] * (1 - opacity) + colour[c] * opacity + 0.5);
        if (abs(out->pixels[at] - expected) > tolerance)
            fail_msg("row %d, column %d, channel %d is %d, expected %d", y, x, c, out->pixels[at], expected);
    }
}

// Values of torch.nn.functional.interpolate for the map of noise with seed 3, scaled to 0..1.
static void test_enlarging_as_torch(void **state)
{
    (void)state;
    static const struct {
        int y, x;
        double share;
    } known[] = {{0, 0, 0.929411768913269},      {0, 223, 0.027450980618596077},
                 {223, 0, 0.9019607901573181},   {111, 112, 0.41718751192092896},
                 {50, 201, 0.34158241748809814}, {7, 8, 0.9251225590705872},
                 {8, 7, 0.9125000238418579},     {200, 13, 0.11666667461395264}};
    uint8_t bytes[MAP * MAP];
    float map[MAP * MAP];
    noise_fill(bytes, sizeof bytes, 3);
    for (int i = 0; i < MAP * MAP; i++)
        map[i] = (float)bytes[i] * 0.25f - 7.0f; // scaling must undo this
    noise_fill(view, sizeof view, 4);
    struct image out = drawn(SIZE, map, MAP, MAP);
    // Weights are 1/256 here: a share may be off by 1/256, and with it colour and opacity: 0.7 * 2 * 255 /
    // 256 at most.
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        check_pixel(&out, known[i].y, known[i].x, known[i].share, 2);
    image_release(&out);
}

static void test_map_of_the_views_size_is_drawn_point_by_point(void **state)
{
    (void)state;
    noise_fill(view, sizeof view, 5);
    float map[3 * 3] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    struct image out = drawn(3, map, 3, 3);
    for (int i = 0; i < 9; i++)
        check_pixel(&out, i / 3, i % 3, i / 8.0, 0);
    image_release(&out);
}

static void test_flat_map_leaves_the_view(void **state)
{
    (void)state;
    memset(view, 200, sizeof view);
    float map[MAP * MAP];
    for (int i = 0; i < MAP * MAP; i++)
        map[i] = 1.0f / (MAP * MAP);
    struct image out = drawn(SIZE, map, MAP, MAP);
    for (int i = 0; i < SIZE; i++)
        check_pixel(&out, i, SIZE - 1 - i, 0, 0);
    image_release(&out);
}

static void test_same_input_same_bytes(void **state)
{
    (void)state;
    float map[7 * 9];
    for (int i = 0; i < 7 * 9; i++)
        map[i] = (float)(splitmix64((uint64_t)i) % 1000) / 1000.0f;
    noise_fill(view, sizeof view, 6);
    struct image first = drawn(SIZE, map, 7, 9), second = drawn(SIZE, map, 7, 9);
    assert_memory_equal(first.pixels, second.pixels, SIZE * SIZE * 3);
    image_release(&first);
    image_release(&second);
}

// Products of both sides are beyond 32 bits. A grey view: the colour of the map's last point is its lightest.
static void test_large_map_reaches_the_last_column(void **state)
{
    (void)state;
    enum { LARGE = 2100, COLUMNS = 4096 };
    static float map[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        map[i] = (float)i;
    uint8_t *grey = malloc((size_t)LARGE * LARGE * 3), colour[3];
    assert_non_null(grey);
    memset(grey, 100, (size_t)LARGE * LARGE * 3);
    struct image out;
    struct error err = {""};
    assert_int_equal(overlay_draw(grey, LARGE, map, 1, COLUMNS, &out, &err), STATUS_OK);
    overlay_colour(OVERLAY_SHARE_MAX, colour);
    for (int c = 0; c < 3; c++)
        assert_in_range(out.pixels[(LARGE - 1) * 3 + c], (int)(30 + 0.7 * colour[c]) - 1,
                        (int)(30 + 0.7 * colour[c]) + 1);
    image_release(&out);
    free(grey);
}

// A share of the map between four of its points, in steps of 1/256, and what it makes of a channel: the whole
// definition in integers, pixel by pixel.
struct defined {
    const float *map; // its values are shares already, 0 and OVERLAY_SHARE_MAX among them
    int height, width;
};

static int point(int at, int size, int map_size, int *weight)
{
    int place = (int)((2 * at + 1) * (int64_t)map_size * 128 / size) - 128;
    place = place < 0 ? 0 : place;
    *weight = place % 256;
    return place / 256;
}

static int defined_share(const struct defined *defined, int size, int y, int x)
{
    int below, after;
    int row = point(y, size, defined->height, &below), column = point(x, size, defined->width, &after);
    int64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        int down = row + i / 2 < defined->height ? row + i / 2 : row;
        int across = column + i % 2 < defined->width ? column + i % 2 : column;
        int weight = (i / 2 ? below : 256 - below) * (i % 2 ? after : 256 - after);
        sum += (int64_t)defined->map[down * defined->width + across] * weight;
    }
    return (int)((sum + 32768) / 65536);
}

static void check_defined(const struct defined *defined, int size)
{
    uint8_t *own = malloc((size_t)size * (size_t)size * 3); // exactly as large, for the sanitizers
    assert_non_null(own);
    noise_fill(own, (size_t)size * (size_t)size * 3, (uint64_t)size);
    struct image out;
    struct error err = {""};
    assert_int_equal(overlay_draw(own, size, defined->map, defined->height, defined->width, &out, &err),
                     STATUS_OK);
    for (int i = 0; i < size * size; i++) {
        int share = defined_share(defined, size, i / size, i % size);
        int64_t covered = (int64_t)(0.7 * share / OVERLAY_SHARE_MAX * 65536 + 0.5);
        uint8_t colour[3];
        overlay_colour(share, colour);
        for (int c = 0; c < 3; c++) {
            int64_t expected = (own[3 * i + c] * (65536 - covered) + colour[c] * covered + 32768) / 65536;
            if (out.pixels[3 * i + c] != expected)
                fail_msg("map %d x %d, size %d: pixel %d, channel %d is %d, expected %d", defined->width,
                         defined->height, size, i, c, out.pixels[3 * i + c], (int)expected);
        }
    }
    image_release(&out);
    free(own);
}

static void test_every_pixel_is_as_defined(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 5, 6, 7, 9, 10, 11, 16, 31, 224, 320, 381};
    static const int maps[][2] = {{14, 14}, {7, 7}, {10, 10}, {1, 40}, {3, 400}, {24, 13}};
    static float map[3 * 400];
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        map[i] = (float)(splitmix64(i) % (OVERLAY_SHARE_MAX + 1));
    map[0] = 0;
    map[1] = OVERLAY_SHARE_MAX;
    for (int level = CPU_LEVEL_PLAIN; level <= CPU_LEVEL_BEST; level++) {
        cpu_features_force((enum cpu_level)level);
        for (size_t m = 0; m < sizeof maps / sizeof *maps; m++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                check_defined(&(struct defined){map, maps[m][0], maps[m][1]}, sizes[i]);
    }
    cpu_features_force(CPU_LEVEL_BEST);
}

static void test_colours_grow_lighter(void **state)
{
    (void)state;
    double before = -1;
    for (int share = 0; share <= OVERLAY_SHARE_MAX; share++) {
        uint8_t colour[3];
        overlay_colour(share, colour);
        double luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2];
        assert_true(luma >= before - 0.5); // rounding to bytes
        before = luma;
    }
    assert_true(before > 200);
}

static void test_refused(void **state)
{
    (void)state;
    struct image out;
    struct error err;
    float map[4] = {0, 1, NAN, 1};
    assert_int_equal(overlay_draw(view, SIZE, map, 2, 2, &out, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "value 2"));
    map[2] = INFINITY;
    assert_int_equal(overlay_draw(view, SIZE, map, 2, 2, &out, &err), STATUS_REJECTED);
    assert_int_equal(overlay_draw(view, SIZE, map, 0, 2, &out, &err), STATUS_REJECTED);
    assert_null(out.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enlarging_as_torch),
        cmocka_unit_test(test_map_of_the_views_size_is_drawn_point_by_point),
        cmocka_unit_test(test_flat_map_leaves_the_view),
        cmocka_unit_test(test_same_input_same_bytes),
        cmocka_unit_test(test_large_map_reaches_the_last_column),
        cmocka_unit_test(test_every_pixel_is_as_defined),
        cmocka_unit_test(test_colours_grow_lighter),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
