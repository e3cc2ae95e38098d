// test_monitor_comparison.c: pairs, shares, looks, guardrails, and what they decide. Expected values are
// published vectors (R, SciPy) and arithmetic.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/arms_scene.h"

// 100 melanomas: a alone refers 2, b alone 12; and 400 nevi.
static void fill_pairs(struct arms *arms, int worse, int better)
{
    for (int i = 0; i < 100; i++)
        add_pair(arms, i, LESION_MEL, i < worse || i >= worse + better, i >= worse);
    for (int i = 100; i < 500; i++)
        add_pair(arms, i, LESION_NV, false, false);
}

static void test_paired(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_pairs(&arms, 2, 12);
    compare_and_release(&arms, &comparison);
    const struct paired_evidence *all = &comparison.paired.all;
    assert_true(comparison.is_paired);
    assert_int_equal(all->n, 100);
    assert_int_equal(all->mcnemar.b, 2);
    assert_int_equal(all->mcnemar.c, 12);
    near("e-value of 12 and 2", exp(all->for_b_log), 23.9172, 1e-5);
    // SciPy: beta.ppf of 12 and 2 in 100, two-sided 97.5 %.
    near("low", all->difference.low, -0.02117638844, 1e-8);
    near("high", all->difference.high, 0.21058041266, 1e-8);
    assert_true(comparison.paired.has_auroc);
    assert_int_equal(comparison.guardrails[1].state, GUARDRAIL_OK);
    assert_string_equal(comparison.decision, "b");
}

static void test_exact_mcnemar(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_pairs(&arms, 3, 9);
    compare_and_release(&arms, &comparison);
    near("p", comparison.paired.all.mcnemar.p, 0.14599609375, 1e-12);
    near("mid-p", comparison.paired.all.mcnemar.mid_p, 0.09228515625, 1e-12);
    assert_string_equal(comparison.decision, "not_enough");
    fill_pairs(&arms, 12, 2);
    compare_and_release(&arms, &comparison);
    assert_string_equal(comparison.decision, "a");
}

// Each image once, whatever was sent twice; labels that contradict each other leave it out.
static void test_pairing(void **state)
{
    (void)state;
    struct arms arms = {0};
    add_pair(&arms, 1, LESION_MEL, true, true);
    add(&arms, &(struct scene){.arm = ARM_A, .image = 1, .patient = 1, .truth = LESION_MEL});
    add(&arms, &(struct scene){.arm = ARM_A, .image = 2, .patient = 2, .truth = LESION_MEL});
    add(&arms, &(struct scene){.arm = ARM_B, .image = 2, .patient = 2, .truth = LESION_NV});
    add(&arms, &(struct scene){.arm = ARM_B, .image = 3, .patient = 3, .truth = LESION_NV});
    for (int arm = 0; arm < ARMS; arm++) // answers whose image is not known are no pair
        add(&arms, &(struct scene){.arm = arm, .image = -1, .patient = 4, .truth = LESION_NV});
    struct arm_pairs pairs = arms_pair(&arms);
    assert_int_equal(pairs.count, 1);
    assert_int_equal(pairs.contradictory, 1);
    assert_true(pairs.items[0].answers[ARM_A] == &arms.arm[ARM_A].answers[0]);
    free(pairs.items);
    arms_release(&arms);
}

// Both arms answer during the same 100 hours.
static void spread(struct arms *arms)
{
    for (int arm = 0; arm < ARMS; arm++)
        for (size_t i = 0; i < arms->arm[arm].count; i++)
            arms->arm[arm].answers[i].at =
                start + 100 * hour * (int64_t)i / (int64_t)(arms->arm[arm].count - 1);
}

static void test_split(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_split(&arms, ARM_A, LESION_MEL, 86, 96);
    fill_split(&arms, ARM_B, LESION_MEL, 11, 12);
    spread(&arms);
    compare_and_release(&arms, &comparison);
    const struct split_arms *split = &comparison.split;
    assert_false(comparison.is_paired);
    near("Fisher of 11/12 and 86/96", split->fisher_p, 0.647992109045, 1e-9);
    near("power of 12 and 96", split->power + 1, 1, 1e-3);
    near("share of the ramp", split->planned_share_b, 0.10, 1e-12);
    assert_true(isnan(split->failed_p)); // no failure is known
    // Non-inferiority, margin 0.05, one-sided 0.05, 0.90, 1 to 9: 2,226 and 248.
    assert_in_range(split->planned[ARM_A], 2220, 2232);
    assert_in_range(split->planned[ARM_B], 247, 249);
    // power.prop.test's formula at 0.684 and 0.80 with 1 to 9, in NumPy.
    assert_int_equal(split->planned_atypical[ARM_A], 899);
    assert_int_equal(split->planned_atypical[ARM_B], 100);
    assert_string_equal(comparison.decision, "not_enough");
    assert_false(split->all.looks[0].done);
}

static void test_sample_ratio(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_split(&arms, ARM_A, LESION_NV, 0, 9100);
    fill_split(&arms, ARM_B, LESION_NV, 0, 900);
    spread(&arms);
    compare_and_release(&arms, &comparison);
    near("p of 9,100 and 900", comparison.split.ratio_p, 0.000858120666394, 1e-9);
    assert_string_equal(comparison.decision, "not_enough");
    assert_non_null(strstr(comparison.reason, "split"));
}

// A quarter of the patients is a step of the ramp, and yet not what was registered.
static void test_registered_share(void **state)
{
    (void)state;
    const struct archive_plan plan = {.share_b = 0.1}, pairs = {.paired = true};
    const struct archive_plan *const plans[] = {NULL, &plan, &pairs};
    for (int i = 0; i < 3; i++) {
        struct arms arms = {0};
        struct arms_comparison comparison;
        fill_split(&arms, ARM_A, LESION_NV, 0, 750);
        fill_split(&arms, ARM_B, LESION_NV, 0, 250);
        spread(&arms);
        arms_compare(&arms, plans[i], &comparison);
        const struct split_arms *split = &comparison.split;
        assert_int_equal(split->share_is_registered, i == 1);
        near("share", split->planned_share_b, i == 1 ? 0.1 : 0.25, 1e-12);
        // Pearson: (750 - 900)^2 / 900 + (250 - 100)^2 / 100 = 250 of one degree of freedom.
        assert_true(i == 1 ? split->ratio_p < 1e-50 : split->ratio_p > 0.99);
        near("planned ratio", (double)split->planned[ARM_B] / (double)split->planned[ARM_A],
             i == 1 ? 1.0 / 9 : 1.0 / 3, 5e-3);
        assert_true(comparison.began == start);
        assert_int_equal(strncmp(comparison.reason, "registered are pairs", 20) == 0, i == 2);
        arms_comparison_release(&comparison);
        arms_release(&arms);
    }
}

// Weeks in which one model answers alone, without labels, say nothing of the split.
static void test_split_is_of_common_time(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_split(&arms, ARM_A, -1, 0, 500);
    fill_split(&arms, ARM_A, LESION_NV, 0, 400);
    fill_split(&arms, ARM_B, LESION_NV, 0, 400);
    for (int i = 0; i < 400; i++)
        arms.arm[ARM_B].answers[i].at = arms.arm[ARM_A].answers[500 + i].at;
    compare_and_release(&arms, &comparison);
    assert_int_equal(comparison.split.patients[ARM_A], 400);
    near("ratio", comparison.split.ratio_p, 1, 1e-12);
    assert_true(isnan(comparison.split.labelled_p)); // all of them got one
}

// Who gets a label depends on the answer: an arm that has fewer may have missed what nobody looked at.
static void test_labels_of_one_arm(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_split(&arms, ARM_A, LESION_MEL, 405, 450);
    fill_split(&arms, ARM_B, LESION_MEL, 315, 400);
    fill_split(&arms, ARM_B, -1, 0, 50);
    compare_and_release(&arms, &comparison);
    // SciPy: chi2_contingency([[450, 0], [400, 50]], correction=False).
    near("p", 1e13 * comparison.split.labelled_p, 3.4368848235, 1e-6);
    assert_string_equal(comparison.decision, "not_enough");
    assert_non_null(strstr(comparison.reason, "labels"));
}

// Lan and DeMets' limits at four looks; and a share that fell is seen.
static void test_looks(void **state)
{
    (void)state;
    static const double limits[] = {3.7496, 2.5399, 2.0161, 1.7202};
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_split(&arms, ARM_A, LESION_MEL, 405, 450);
    fill_split(&arms, ARM_B, LESION_MEL, 315, 450);
    compare_and_release(&arms, &comparison);
    const struct split_evidence *all = &comparison.split.all;
    for (int i = 0; i < SPLIT_LOOKS; i++) {
        near("limit", all->looks[i].limit, limits[i], 1e-4);
        assert_true(all->looks[i].done);
    }
    assert_true(all->worse && !all->not_worse && !all->better);
    assert_true(isnan(all->conditional_power)); // there is no look to come
    assert_string_equal(comparison.decision, "a");
}

// With the z-score z at a quarter of the information, z / 2 of the last one is there, its expectation is 2 z,
// and its variance 3/4.
static void test_conditional_power(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    fill_split(&arms, ARM_A, LESION_MEL, 108, 120);
    fill_split(&arms, ARM_B, LESION_MEL, 114, 120);
    compare_and_release(&arms, &comparison);
    const struct split_evidence *all = &comparison.split.all;
    assert_true(all->looks[0].done && !all->looks[1].done);
    double z = all->looks[0].better, missing = all->looks[3].limit - 2 * z;
    assert_true(z > 0.5 && z < 2);
    near("conditional power", all->conditional_power, erfc(missing / sqrt(0.75) / sqrt(2)) / 2, 1e-12);
}

// Three photographs of each lesion are no more evidence than one: every figure is as of one.
static void test_patients_count_once(void **state)
{
    (void)state;
    static const int found[ARMS] = {405, 315}, all[ARMS] = {450, 400};
    struct arms arms = {0}, once = {0};
    struct arms_comparison of_three, of_one;
    for (int arm = 0; arm < ARMS; arm++)
        for (int i = 0; i < 450 * 3; i++) {
            int patient = i / 3;
            struct scene scene = {.arm = arm,
                                  .image = 2 * i + arm,
                                  .patient = 2 * patient + arm,
                                  .truth = patient < all[arm] ? LESION_MEL : -1,
                                  .referred = patient * 7919 % all[arm] < found[arm],
                                  .latency_ms = 100};
            add(&arms, &scene);
            if (i % 3 == 0)
                add(&once, &scene);
        }
    compare_and_release(&arms, &of_three);
    compare_and_release(&once, &of_one);
    const struct split_arms *three = &of_three.split, *one = &of_one.split;
    for (int arm = 0; arm < ARMS; arm++) {
        assert_int_equal(three->all.found[arm].trials, all[arm]);
        assert_int_equal(three->all.found[arm].successes, one->all.found[arm].successes);
        assert_int_equal(three->patients[arm], 450);
    }
    // SciPy: chi2_contingency([[450, 0], [400, 50]], correction=False), as of one photograph each.
    near("labels", 1e13 * three->labelled_p, 3.4368848235, 1e-6);
    near("Fisher", three->fisher_p, one->fisher_p, 1e-15);
    for (int i = 0; i < SPLIT_LOOKS; i++)
        assert_int_equal(three->all.looks[i].n[ARM_A], one->all.looks[i].n[ARM_A]);
}

static void test_pairs_of_a_patient_count_once(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    for (int i = 0; i < 300; i++)
        for (int arm = 0; arm < ARMS; arm++) {
            int patient = i / 3;
            bool finds = arm == ARM_A ? patient < 2 || patient >= 14 : patient >= 2;
            add(&arms, &(struct scene){.arm = arm,
                                       .image = i,
                                       .patient = patient,
                                       .truth = LESION_MEL,
                                       .referred = finds,
                                       .latency_ms = 100});
        }
    arms_compare(&arms, NULL, &comparison);
    const struct paired_evidence *all = &comparison.paired.all;
    assert_int_equal(all->n, 100);
    assert_int_equal(all->mcnemar.b, 2);
    assert_int_equal(all->mcnemar.c, 12);
    near("e-value of 12 and 2", exp(all->for_b_log), 23.9172, 1e-5);
    double log_e[100];
    int64_t at[100], n[100];
    size_t days = paired_arms_course(&comparison.pairs, log_e, at, n);
    assert_int_equal(n[days - 1], 100);
    near("e-value of the last day", exp(log_e[days - 1]), 23.9172, 1e-5);
    arms_comparison_release(&comparison);
    arms_release(&arms);
}

// One patient of b has three failures, which is one; nobody of a has any.
static void test_failures_are_of_patients(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    struct error err;
    fill_split(&arms, ARM_A, LESION_NV, 0, 40);
    fill_split(&arms, ARM_B, LESION_NV, 0, 40);
    for (int i = 0; i < 4; i++) {
        struct analysis analysis;
        analysis_init(&analysis);
        analysis.at = i < 3 ? start : start - 1; // the fourth: before both answer
        analysis.error_code = "image_unreadable";
        analysis.subject = i < 3 ? "patient 1" : "patient 3"; // of b, and answered besides
        assert_int_equal(arms_add(&arms, ARM_B, &analysis, &err), STATUS_OK);
    }
    compare_and_release(&arms, &comparison);
    // SciPy: chi2_contingency([[0, 40], [1, 39]], correction=False).
    near("p", comparison.split.failed_p, 0.31426685107739916, 1e-9);
}

// A model that fails whatever it is asked has patients, but no answer.
static void test_a_model_without_answers(void **state)
{
    (void)state;
    for (int failures = 0; failures <= 400; failures += 400) {
        struct arms arms = {0};
        struct arms_comparison comparison;
        struct error err;
        fill_split(&arms, ARM_A, LESION_NV, 0, 400);
        for (int i = 0; i < failures; i++) {
            struct analysis analysis = {.at = arms.arm[ARM_A].answers[i].at, .error_code = "worker_failed"};
            char subject[16];
            snprintf(subject, sizeof subject, "%d", i);
            analysis.subject = subject;
            assert_int_equal(arms_add(&arms, ARM_B, &analysis, &err), STATUS_OK);
        }
        compare_and_release(&arms, &comparison);
        assert_string_equal(comparison.decision, "not_enough");
        if (failures == 0) {
            assert_true(isnan(comparison.split.ratio_p));
            assert_string_equal(comparison.reason, "b has no answer");
        } else { // Pearson of [[0, 400], [400, 0]]: 800 of one degree of freedom
            near("ratio", comparison.split.ratio_p, 1, 1e-12);
            assert_true(comparison.split.failed_p < 1e-150);
            assert_non_null(strstr(comparison.reason, "fail"));
        }
    }
}

static void test_document(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    struct error err;
    fill_pairs(&arms, 2, 12);
    arms_compare(&arms, NULL, &comparison);
    cJSON *document = cJSON_CreateObject();
    assert_int_equal(arms_comparison_write(&comparison, "v1", "v2", NULL, document, &err), STATUS_OK);
    const cJSON *item = cJSON_GetObjectItem(document, "comparison");
    assert_string_equal(cJSON_GetObjectItem(item, "design")->valuestring, "paired");
    near("e-value", cJSON_GetObjectItem(item, "e_value")->valuedouble, 23.9172, 1e-5);
    assert_int_equal(cJSON_GetObjectItem(item, "n")->valueint, 100);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(item, "srm")));
    cJSON_Delete(document);
    arms_comparison_release(&comparison);
    arms_release(&arms);
}

// Pairs without a melanoma show nothing, which is not p = 1.
static void test_no_melanoma(void **state)
{
    (void)state;
    static const char *const tests[] = {"p", "mid_p"};
    struct arms arms = {0};
    struct arms_comparison comparison;
    struct error err;
    for (int i = 0; i < 20; i++)
        add_pair(&arms, i, LESION_NV, false, false);
    arms_compare(&arms, NULL, &comparison);
    cJSON *document = cJSON_CreateObject();
    assert_int_equal(arms_comparison_write(&comparison, "v1", "v2", NULL, document, &err), STATUS_OK);
    const cJSON *item = cJSON_GetObjectItem(document, "comparison");
    for (int i = 0; i < 2; i++)
        assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(item, "mcnemar"), tests[i])));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(item, "e_value")));
    cJSON_Delete(document);
    arms_comparison_release(&comparison);
    arms_release(&arms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paired),
        cmocka_unit_test(test_exact_mcnemar),
        cmocka_unit_test(test_pairing),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_sample_ratio),
        cmocka_unit_test(test_registered_share),
        cmocka_unit_test(test_split_is_of_common_time),
        cmocka_unit_test(test_labels_of_one_arm),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_conditional_power),
        cmocka_unit_test(test_patients_count_once),
        cmocka_unit_test(test_pairs_of_a_patient_count_once),
        cmocka_unit_test(test_failures_are_of_patients),
        cmocka_unit_test(test_a_model_without_answers),
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_no_melanoma),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
