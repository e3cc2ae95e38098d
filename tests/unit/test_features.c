// test_features.c: image features against numpy in double precision on the same noise.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tests/support/picture.h"
#include "worker/stages/features.h"

enum { MAX_SIZE = 224 };

struct expected {
    int size;
    uint64_t seed;
    double brightness, contrast, sharpness;
    int bins[3][FEATURES_BINS];
};

static const struct expected cases[] = {
    {224,
     1,
     0.5000185556253751,
     0.1939355094677593,
     0.7504473109253733,
     {{3123, 3222, 3188, 3225, 3115, 3134, 3067, 3058, 2973, 3078, 3193, 3113, 3161, 3145, 3130, 3251},
      {3185, 3085, 3072, 3101, 3163, 3185, 3219, 3158, 3068, 3030, 3232, 3212, 3064, 3093, 3197, 3112},
      {3163, 3109, 3058, 3180, 3159, 3121, 3103, 3207, 3139, 3064, 3174, 3166, 3102, 3116, 3163, 3152}}},
    {5,
     2,
     0.4565896470588235,
     0.18957600103413758,
     1.0032745570226071,
     {{1, 0, 0, 3, 2, 3, 1, 2, 2, 2, 1, 2, 3, 2, 1, 0},
      {3, 1, 1, 3, 1, 1, 4, 1, 1, 2, 2, 0, 2, 1, 2, 0},
      {7, 2, 0, 1, 3, 1, 1, 0, 1, 0, 0, 1, 4, 2, 1, 1}}},
};

static void check_close(const char *name, double found, double expected)
{
    // The result is rounded to float once: half a unit in the last place, 6e-8 of the value.
    if (fabs(found - expected) > 6e-8 * expected)
        fail_msg("%s is %.9g, numpy gives %.17g", name, found, expected);
}

static void test_noise_as_numpy(void **state)
{
    (void)state;
    static uint8_t view[MAX_SIZE * MAX_SIZE * 3];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expected *expected = &cases[i];
        size_t pixels = (size_t)expected->size * (size_t)expected->size;
        noise_fill(view, pixels * 3, expected->seed);
        struct features features;
        features_of_view(view, expected->size, &features);
        check_close("brightness", features.brightness, expected->brightness);
        check_close("contrast", features.contrast, expected->contrast);
        check_close("sharpness", features.sharpness, expected->sharpness);
        const float *histograms[3] = {features.histogram_r, features.histogram_g, features.histogram_b};
        for (int c = 0; c < 3; c++)
            for (int bin = 0; bin < FEATURES_BINS; bin++)
                check_close("share of a bin", histograms[c][bin], expected->bins[c][bin] / (double)pixels);
        assert_true(features.entropy_nats == 0);
    }
}

static void test_flat_views(void **state)
{
    (void)state;
    static uint8_t view[MAX_SIZE * MAX_SIZE * 3];
    static const int sizes[] = {1, 2, 3, MAX_SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(view, 255, sizeof view);
        struct features features;
        features_of_view(view, sizes[i], &features);
        assert_true(features.brightness == 1 && features.contrast == 0 && features.sharpness == 0);
        assert_true(features.histogram_b[15] == 1 && features.histogram_b[0] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_as_numpy),
        cmocka_unit_test(test_flat_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
