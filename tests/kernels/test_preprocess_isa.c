// test_preprocess_isa.c: every instruction set's resize against the plain one, bit for bit, over random sizes
// and over the edges where vectors and rings have their ends. Fails only where kernels differ; on a CPU with
// none but the plain ones it is skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "kernels/image/resize.h"
#include "tests/support/picture.h"

enum { RANDOM_SIZES = 150, MAX_CROP = 320, SKIPPED = 77 };

static uint8_t plain_view[MAX_CROP * MAX_CROP * 3];
static uint8_t view[MAX_CROP * MAX_CROP * 3 + 1];

static int first_difference(size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (plain_view[i] != view[i])
            return (int)i;
    return -1;
}

static void compare(int width, int height, int resize, int crop, uint64_t seed)
{
    struct image image = noise_image(width, height, seed);
    struct error err;
    assert_int_equal(resize_crop(&resize_plain, &image, resize, crop, plain_view, &err), STATUS_OK);
    for (int i = 1; resize_kernels_at(i); i++) {
        const struct resize_kernels *kernels = resize_kernels_at(i);
        memset(view, 0xa5, sizeof view);
        assert_int_equal(resize_crop(kernels, &image, resize, crop, view, &err), STATUS_OK);
        int at = first_difference((size_t)crop * (size_t)crop * 3);
        if (at >= 0)
            fail_msg("%s, %d x %d to %d, crop %d: row %d, column %d is %d, plain %d", kernels->name, width,
                     height, resize, crop, at / (crop * 3), at / 3 % crop, view[at], plain_view[at]);
        assert_int_equal(view[crop * crop * 3], 0xa5);
    }
    image_release(&image);
}

static void test_edges(void **state)
{
    (void)state;
    static const int sides[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 255, 256, 257, 511, 512, 513, 1025};
    enum { COUNT = sizeof sides / sizeof *sides };
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            compare(sides[i], sides[j], 256, 224, (uint64_t)(i * COUNT + j));
    compare(65500, 3, 256, 224, 1);
    compare(3, 65500, 256, 224, 2);
    compare(65500, 65, 16, 16, 3); // 8192 weights each
}

static void test_random_sizes(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < RANDOM_SIZES; i++) {
        int width = 1 + (int)(splitmix64(5 * i) % 900);
        int height = 1 + (int)(splitmix64(5 * i + 1) % 900);
        int resize = 1 + (int)(splitmix64(5 * i + 2) % (MAX_CROP - 1));
        int crop = 1 + (int)(splitmix64(5 * i + 3) % (uint64_t)resize);
        compare(width, height, resize, crop, i);
    }
}

// All white must stay all white: the sums reach their largest values here.
static void test_extremes_stay(void **state)
{
    (void)state;
    static const int sides[] = {1, 100, 255, 777, 3000};
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++)
        for (int k = 0; resize_kernels_at(k); k++)
            for (int value = 0; value <= 255; value += 255) {
                struct image image = noise_image(sides[s], 300, 0);
                memset(image.pixels, value, (size_t)sides[s] * 300 * 3);
                struct error err;
                assert_int_equal(resize_crop(resize_kernels_at(k), &image, 256, 224, view, &err), STATUS_OK);
                for (int i = 0; i < 224 * 224 * 3; i++)
                    assert_int_equal(view[i], value);
                image_release(&image);
            }
}

int main(void)
{
    if (!resize_kernels_at(1)) {
        fputs("skipped: this CPU runs the plain kernels only\n", stderr);
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_extremes_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
