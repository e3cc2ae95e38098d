// test_known_images.c: the comparison of a device's answer with a known one, on both sides of each tolerance.
#include "worker/device/known_images.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// Largest minus smallest: 4, so fp32 allows 4e-4.
static const float known[LESION_CLASSES] = {-1, 3, 0.5f, 0, 0.25f, 1, 2, -0.5f};

static enum status compare(enum precision precision, float temperature, int class, float difference)
{
    struct error err = {""};
    float found[LESION_CLASSES];
    const struct answer_tolerance tolerance = {precision, temperature};
    memcpy(found, known, sizeof found);
    found[class] += difference;
    return known_images_compare(known, found, &tolerance, &err);
}

static void test_fp32_is_close(void **state)
{
    (void)state;
    for (int class = 0; class < LESION_CLASSES; class ++) {
        assert_int_equal(compare(PRECISION_FP32, 1, class, 3.9e-4f), STATUS_OK);
        assert_int_equal(compare(PRECISION_FP32, 1, class, -3.9e-4f), STATUS_OK);
        assert_int_equal(compare(PRECISION_FP32, 1, class, 4.1e-4f), STATUS_FATAL);
        assert_int_equal(compare(PRECISION_FP32, 1, class, -4.1e-4f), STATUS_FATAL);
    }
}

// Class 1 has p = 0.57224, the softmax of the numbers above. With a logit d higher p' = 1 / (1 + (1/p - 1)
// e^-d): 0.02669 more at d = 0.11, 0.03148 more at d = 0.13.
static void test_other_precisions_by_probability(void **state)
{
    (void)state;
    static const enum precision others[] = {PRECISION_FP16, PRECISION_BF16, PRECISION_INT8};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(compare(others[i], 1, 1, 0.11f), STATUS_OK);
        assert_int_equal(compare(others[i], 1, 1, 0.13f), STATUS_FATAL);
    }
}

static void test_the_temperature_counts(void **state)
{
    (void)state;
    assert_int_equal(compare(PRECISION_INT8, 10, 1, 0.13f), STATUS_OK);
    assert_int_equal(compare(PRECISION_FP32, 10, 1, 0.13f), STATUS_FATAL);
}

static void test_no_number_is_never_close(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(compare(PRECISION_FP32, 1, 0, values[i]), STATUS_FATAL);
        assert_int_equal(compare(PRECISION_BF16, 1, 0, values[i]), STATUS_FATAL); // p is 0.01 there
    }
}

static void test_the_sentence(void **state)
{
    (void)state;
    struct error err = {""};
    float found[LESION_CLASSES];
    memcpy(found, known, sizeof found);
    found[2] = 7;
    assert_int_equal(known_images_compare(known, found, &(struct answer_tolerance){PRECISION_FP32, 1}, &err),
                     STATUS_FATAL);
    assert_string_equal(err.message, "logit BCC is 7, known is 0.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp32_is_close),          cmocka_unit_test(test_other_precisions_by_probability),
        cmocka_unit_test(test_the_temperature_counts), cmocka_unit_test(test_no_number_is_never_close),
        cmocka_unit_test(test_the_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
