// test_view_sums.c: the sums of each instruction set against those of one pixel after the other.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kernels/image/view_sums.h"
#include "tests/support/picture.h"

static int64_t luma(const uint8_t *view, int size, int y, int x)
{
    const uint8_t *pixel = view + ((size_t)y * (size_t)size + (size_t)x) * 3;
    return 299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2];
}

static void add(struct view_moments *moments, int64_t value)
{
    moments->count++;
    moments->sum += value;
    moments->sum_of_squares += value * value;
}

static struct view_sums expected_sums(const uint8_t *view, int size)
{
    struct view_sums sums = {0};
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            for (int c = 0; c < 3; c++)
                sums.bins[c][view[((size_t)y * (size_t)size + (size_t)x) * 3 + (size_t)c] / 16]++;
            add(&sums.light, luma(view, size, y, x));
            if (y > 0 && x > 0 && y < size - 1 && x < size - 1)
                add(&sums.edges, luma(view, size, y - 1, x) + luma(view, size, y + 1, x) +
                                     luma(view, size, y, x - 1) + luma(view, size, y, x + 1) -
                                     4 * luma(view, size, y, x));
        }
    return sums;
}

static void check_all(const uint8_t *view, int size)
{
    struct view_sums expected = expected_sums(view, size), found;
    for (int i = 0; view_sums_at(i); i++) {
        memset(&found, 0xff, sizeof found);
        view_sums_at(i)(view, size, &found);
        if (memcmp(&found.light, &expected.light, sizeof found.light) != 0)
            fail_msg("function %d, size %d: the sums of light differ", i, size);
        if (memcmp(&found.edges, &expected.edges, sizeof found.edges) != 0)
            fail_msg("function %d, size %d: the sums of edges differ", i, size);
        if (memcmp(found.bins, expected.bins, sizeof found.bins) != 0)
            fail_msg("function %d, size %d: the histograms differ", i, size);
    }
}

// Exactly as large as the view, so that sanitizers see what lies beyond.
static uint8_t *new_view(int size)
{
    uint8_t *view = malloc((size_t)size * (size_t)size * 3);
    assert_non_null(view);
    return view;
}

static void test_noise_of_many_sizes(void **state)
{
    (void)state;
    static const int sizes[] = {1,  2,  3,  4,   7,   15,  16,  17,   31,  32,
                                33, 63, 65, 127, 224, 320, 380, 1023, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *view = new_view(sizes[i]);
        noise_fill(view, (size_t)sizes[i] * (size_t)sizes[i] * 3, i);
        check_all(view, sizes[i]);
        free(view);
    }
}

// The most that any counter can hold: one value everywhere, and the sharpest edges there are.
static void test_extremes(void **state)
{
    (void)state;
    static const int sizes[] = {1, 224, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int size = sizes[i];
        uint8_t *view = new_view(size);
        memset(view, 255, (size_t)size * (size_t)size * 3);
        check_all(view, size);
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                memset(view + ((size_t)y * (size_t)size + (size_t)x) * 3, (x + y) % 2 ? 255 : 0, 3);
        check_all(view, size);
        free(view);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_of_many_sizes),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
