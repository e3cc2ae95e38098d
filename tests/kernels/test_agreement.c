// test_agreement.c: figures of agreement from probabilities chosen by hand, the tolerances at their edges,
// and what a manifest may say of them.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/records/lesion.h"
#include "kernels/model/agreement.h"

enum { IMAGES = 200 };

// Logits whose softmax at the temperature is: first, second, and the rest in equal parts.
static void set(float *logits, double first, double second, double temperature)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        logits[i] = (float)(temperature * log((1 - first - second) / (LESION_CLASSES - 2)));
    logits[0] = (float)(temperature * log(first));
    logits[1] = (float)(temperature * log(second));
}

static void the_figures_are_those_of_the_probabilities(void **state)
{
    (void)state;
    static float reference[IMAGES * LESION_CLASSES], other[IMAGES * LESION_CLASSES];
    for (int i = 0; i < IMAGES; i++) {
        set(reference + i * LESION_CLASSES, 0.6, 0.3, 2);
        set(other + i * LESION_CLASSES, i < 2 ? 0.3 : 0.59, i < 2 ? 0.6 : 0.305, 2);
    }
    struct agreement agreement = agreement_measure(reference, other, IMAGES, 2);
    assert_true(agreement.measured);
    assert_int_equal(agreement.decided, IMAGES);
    assert_true(fabs(agreement.first - 198.0 / 200) < 1e-12);
    assert_true(fabs(agreement.difference - 0.01) < 1e-6); // two of 200 are above the 99th percentile
    set(other + 2 * LESION_CLASSES, 0.4, 0.4, 2);
    agreement = agreement_measure(reference, other, IMAGES, 2);
    assert_true(fabs(agreement.difference - 0.2) < 1e-6); // three are not
    agreement = agreement_measure(reference, other, IMAGES, 1);
    assert_true(agreement.difference > 0.21); // another temperature, other probabilities
}

static void only_decided_images_count_for_the_first_class(void **state)
{
    (void)state;
    float reference[3 * LESION_CLASSES], other[3 * LESION_CLASSES];
    set(reference, 0.41, 0.395, 1); // 0.015 apart: not decided
    set(reference + LESION_CLASSES, 0.42, 0.395, 1);
    set(reference + 2 * LESION_CLASSES, 0.42, 0.395, 1);
    set(other, 0.41, 0.395, 1);
    set(other + LESION_CLASSES, 0.42, 0.395, 1);
    set(other + 2 * LESION_CLASSES, 0.395, 0.42, 1);
    struct agreement agreement = agreement_measure(reference, other, 3, 1);
    assert_int_equal(agreement.decided, 2);
    assert_true(agreement.first == 0.5);
    agreement = agreement_measure(reference, other, 1, 1);
    assert_int_equal(agreement.decided, 0);
    assert_true(agreement.first == 0); // nothing shown
}

static void a_logit_that_is_no_number_is_as_far_as_can_be(void **state)
{
    (void)state;
    float reference[LESION_CLASSES], other[LESION_CLASSES];
    set(reference, 0.6, 0.3, 1);
    set(other, 0.6, 0.3, 1);
    other[5] = NAN;
    struct agreement agreement = agreement_measure(reference, other, 1, 1);
    assert_true(agreement.difference == 1);
    assert_int_equal(agreement.decided, 1);
    assert_true(agreement.first == 0); // not the same class, though both may be class 0
}

static bool enough(enum precision precision, double difference, double first, int decided)
{
    char reason[160];
    struct agreement agreement = {true, difference, first, decided};
    bool result = agreement_is_enough(&agreement, precision, reason, sizeof reason);
    assert_non_null(strstr(reason, precision_names[precision]));
    return result;
}

static void tolerances_are_kept_to_the_edge(void **state)
{
    (void)state;
    char reason[160];
    assert_true(enough(PRECISION_BF16, 0.01, 0.995, 200));
    assert_true(enough(PRECISION_FP16, 0.01, 0.995, 200));
    assert_true(enough(PRECISION_INT8, 0.03, 0.985, 200));
    assert_true(enough(PRECISION_FP32, 1, 0, 0));
    assert_false(enough(PRECISION_BF16, 0.0101, 1, 200));
    assert_false(enough(PRECISION_FP16, 0.0101, 1, 200));
    assert_false(enough(PRECISION_INT8, 0.0301, 1, 200));
    assert_false(enough(PRECISION_BF16, 0, 0.9949, 200));
    assert_false(enough(PRECISION_INT8, 0, 0.9849, 200));
    assert_false(enough(PRECISION_INT8, 0, 1, 0));
    assert_false(enough(PRECISION_INT8, 0, 1, 99));
    assert_true(enough(PRECISION_INT8, 0, 1, 100));
    assert_false(
        agreement_is_enough(&(struct agreement){true, 0, 1, 99}, PRECISION_BF16, reason, sizeof reason));
    assert_string_equal(reason,
                        "bf16: difference 0.0000 (at most 0.01), first class equal in 100.0 % (at least "
                        "99.5 %) of 99 decided images (at least 100)");
    assert_false(agreement_is_enough(&(struct agreement){.first = 1, .decided = 9}, PRECISION_INT8, reason,
                                     sizeof reason));
    assert_string_equal(reason, "int8 was not measured");
}

static enum status parse(const char *text, struct calibration *calibration, struct error *err)
{
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    enum status status = calibration_read(cJSON_GetObjectItem(json, "calibration"), calibration, err);
    cJSON_Delete(json);
    return status;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    struct error err;
    struct calibration found, calibration = {.images = 300, .backend = "cpu"};
    calibration.precisions[PRECISION_INT8] = (struct agreement){true, 0.0123456789012345, 0.99, 280};
    cJSON *json = cJSON_CreateObject();
    calibration_write(&calibration, json);
    char *text = cJSON_Print(json);
    assert_int_equal(parse(text, &found, &err), STATUS_OK);
    assert_memory_equal(&found, &calibration, sizeof found);
    cJSON_free(text);
    cJSON_Delete(json);
    assert_int_equal(parse("{}", &found, &err), STATUS_OK);
    assert_int_equal(found.images, 0);
}

static void other_calibrations_are_refused_by_the_field(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"{\"calibration\": 3}", "images"},
        {"{\"calibration\": {\"images\": 0, \"backend\": \"cpu\", \"precisions\": {}}}", "images"},
        {"{\"calibration\": {\"images\": 9, \"precisions\": {}}}", "backend"},
        {"{\"calibration\": {\"images\": 9, \"backend\": \"abcdefghijklmnop\", \"precisions\": {}}}",
         "backend"},
        {"{\"calibration\": {\"images\": 9, \"backend\": \"cpu\", \"precisions\": []}}", "precisions"},
        {"{\"calibration\": {\"images\": 9, \"backend\": \"cpu\", \"precisions\": {\"int8\": "
         "{\"difference_p99\": "
         "-0.1, \"first_class\": 1, \"decided\": 1}}}}",
         "difference_p99"},
        {"{\"calibration\": {\"images\": 9, \"backend\": \"cpu\", \"precisions\": {\"int8\": "
         "{\"difference_p99\": "
         "0.1, \"first_class\": 1.5, \"decided\": 1}}}}",
         "first_class"},
        {"{\"calibration\": {\"images\": 9, \"backend\": \"cpu\", \"precisions\": {\"int8\": "
         "{\"difference_p99\": "
         "0.1, \"first_class\": 1, \"decided\": -1}}}}",
         "decided"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err = {""};
        struct calibration calibration;
        assert_int_equal(parse(texts[i][0], &calibration, &err), STATUS_REJECTED);
        if (!strstr(err.message, texts[i][1]))
            fail_msg("'%s' does not name %s", err.message, texts[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_figures_are_those_of_the_probabilities),
        cmocka_unit_test(only_decided_images_count_for_the_first_class),
        cmocka_unit_test(a_logit_that_is_no_number_is_as_far_as_can_be),
        cmocka_unit_test(tolerances_are_kept_to_the_edge),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(other_calibrations_are_refused_by_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
