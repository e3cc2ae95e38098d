// test_explore.c: what a data set holds, counted.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/explore.h"

static struct sample sample(int label, char *lesion, int width, double age, enum dataset_part part)
{
    return (struct sample){
        .label = label, .lesion = lesion, .width = width, .height = 10, .age = age, .part = part};
}

static void images_are_counted(void **state)
{
    (void)state;
    struct sample samples[] = {
        sample(LESION_MEL, "a", 20, 45, PART_TRAIN),     sample(LESION_MEL, "a", 20, 49.9, PART_TRAIN),
        sample(LESION_NV, "b", 30, NAN, PART_TRAIN),     sample(LESION_NV, "", 20, 0, PART_TEST),
        sample(LESION_NV, "", 20, 130, PART_VALIDATION), sample(LESION_NV, "c", 20, 40, PART_TEST),
        sample(LESION_SCC, "d", 20, 100, PART_TEST)};
    const struct dataset dataset = {.samples = samples, .count = sizeof samples / sizeof samples[0]};
    struct exploration exploration;
    explore_dataset(&dataset, &exploration);
    assert_int_equal(exploration.class_images[LESION_MEL], 2);
    assert_int_equal(exploration.class_images[LESION_NV], 4);
    assert_int_equal(exploration.class_lesions[LESION_MEL], 1);
    assert_int_equal(exploration.class_lesions[LESION_NV], 4);
    assert_int_equal(exploration.lesions, 6);
    assert_int_equal(exploration.images[PART_TEST][LESION_NV], 2);
    assert_int_equal(exploration.images[PART_TRAIN][LESION_MEL], 2);
    assert_true(exploration.imbalance == 4);
    assert_int_equal(exploration.sizes[0].width, 20);
    assert_int_equal(exploration.sizes[0].count, 6);
    assert_int_equal(exploration.sizes[1].width, 30);
    assert_int_equal(exploration.sizes[2].count, 0);
    assert_int_equal(exploration.ages[4][1], 2);
    assert_int_equal(exploration.ages[4][0], 1);
    assert_int_equal(exploration.ages[0][0], 1);
    assert_int_equal(exploration.ages[10][0], 1);
    assert_int_equal(exploration.ages[10][1], 1);
    assert_int_equal(exploration.ages_unknown, 1);
}

static void many_sizes(void **state)
{
    (void)state;
    struct sample samples[40];
    for (int i = 0; i < 40; i++)
        samples[i] = sample(LESION_DF, "", i < 20 ? i : 20, NAN, PART_TRAIN);
    const struct dataset dataset = {.samples = samples, .count = 40};
    struct exploration exploration;
    explore_dataset(&dataset, &exploration);
    assert_int_equal(exploration.sizes[0].width, 20);
    assert_int_equal(exploration.sizes[0].count, 20);
    assert_int_equal(exploration.other_sizes, 20 - (EXPLORE_MOST_SIZES - 1));
    assert_true(exploration.imbalance == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(images_are_counted), cmocka_unit_test(many_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
