// test_verification.c: verification bias, case mix, performance without labels, quantiles: published cases
// and cases by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/auroc.h"
#include "common/statistics/case_mix.h"
#include "common/statistics/label_free.h"
#include "common/statistics/quantile.h"
#include "common/statistics/verification.h"
#include "tests/support/near.h"

// Hepatic scintigraphy, 650 patients, 344 verified (Drum and Christacopoulos 1972; Begg and Greenes 1983).
static void begg_and_greenes(void **state)
{
    (void)state;
    const struct verified_group positive = {231, 32, 166}, negative = {27, 54, 140};
    struct verification of = verification_correct(positive, negative, 0.95);
    near("naive sensitivity", of.sensitivity.naive, 0.895348837, 1e-8);
    near("naive specificity", of.specificity.naive, 0.627906977, 1e-8);
    near("sensitivity", of.sensitivity.corrected, 0.836466715, 1e-8);
    near("specificity", of.specificity.corrected, 0.738398017, 1e-8);
    // Ten times the spread of the logit in 4,000,000 samples of a hundred times these patients (NumPy).
    struct interval interval = of.sensitivity.interval;
    near("width", log(interval.high / (1 - interval.high)) - log(interval.low / (1 - interval.low)),
         2 * 1.959964 * 0.179087, 0.002);
    interval = of.specificity.interval;
    near("width", log(interval.high / (1 - interval.high)) - log(interval.low / (1 - interval.low)),
         2 * 1.959964 * 0.201188, 0.002);
    double found = 429 * 231. / 263, alarms = 429 * 32. / 263;
    near("lower bound", of.sensitivity.bounds.low, found / (found + 27 + 140), 1e-12);
    near("upper bound", of.sensitivity.bounds.high, found / (found + 27), 1e-12);
    near("lower bound", of.specificity.bounds.low, 54 / (54 + alarms), 1e-12);
    near("upper bound", of.specificity.bounds.high, (54 + 140) / (54 + 140 + alarms), 1e-12);
}

static void verified_by_all_or_none(void **state)
{
    (void)state;
    struct verification all =
        verification_correct((struct verified_group){18, 10, 0}, (struct verified_group){2, 70, 0}, 0.95);
    near("all verified", all.sensitivity.corrected, 0.9, 1e-12);
    near("all verified", all.sensitivity.bounds.low, 0.9, 1e-12);
    near("all verified", all.specificity.bounds.high, 70. / 80, 1e-12);
    struct verification none =
        verification_correct((struct verified_group){18, 10, 0}, (struct verified_group){0, 0, 72}, 0.95);
    assert_true(isnan(none.sensitivity.corrected));
    near("bound", none.sensitivity.bounds.low, 18. / 90, 1e-12);
    near("bound", none.sensitivity.bounds.high, 1, 1e-12);
    assert_true(none.sensitivity.interval.low == 0 && none.sensitivity.interval.high == 1);
    struct verification no_negatives =
        verification_correct((struct verified_group){18, 10, 0}, (struct verified_group){0}, 0.95);
    near("no negatives", no_negatives.sensitivity.corrected, 1, 0);
    assert_true(isnan(verification_correct((struct verified_group){0}, (struct verified_group){0}, 0.95)
                          .sensitivity.naive));
}

static void case_mix(void **state)
{
    (void)state;
    static const double confusion[] = {.9, .2, .1, .8};
    struct case_mix mix;
    assert_true(case_mix_estimate(confusion, (int64_t[]){55, 45}, 2, &mix));
    near("share", mix.shares[0], 0.5, 1e-12);
    near("ratio", mix.shares[0] / 0.7, 0.714285714, 1e-8);
    near("ratio", mix.shares[1] / 0.3, 1.666666667, 1e-8);
    // q = (mu - 0.2) / 0.7, so that its error is that of a share of 0.55 among 100 over 0.7.
    near("error", mix.errors[0], sqrt(0.55 * 0.45 / 100) / 0.7, 1e-12);
    // The inverse is [0.8, -0.2; -0.1, 0.9] / 0.7.
    near("condition", mix.condition, 1.1 / 0.7, 1e-12);
    assert_false(mix.clipped);
    assert_true(mix.remainder < 1e-12);

    // Fewer of the first class than errors of the second alone make: what is left over is told.
    assert_true(case_mix_estimate(confusion, (int64_t[]){10, 90}, 2, &mix));
    assert_true(mix.clipped);
    near("share", mix.shares[1], 1, 1e-12);
    near("remainder", mix.remainder, 0.1, 1e-9);
    static const double coin[] = {.5, .5, .5, .5};
    assert_false(case_mix_estimate(coin, (int64_t[]){55, 45}, 2, &mix));
    assert_false(case_mix_estimate(confusion, (int64_t[]){0, 0}, 2, &mix));
}

static void without_labels(void **state)
{
    (void)state;
    static const double p[] = {.7, .9, .2, .8, .4};
    struct expected_performance of = performance_expected(p, 5, 0.5);
    near("true positives", of.true_positives, 2.4, 1e-12);
    near("false positives", of.false_positives, 0.6, 1e-12);
    near("false negatives", of.false_negatives, 0.6, 1e-12);
    near("true negatives", of.true_negatives, 1.4, 1e-12);
    near("sensitivity", of.sensitivity, 0.8, 1e-12);
    near("specificity", of.specificity, 0.7, 1e-12);
    near("accuracy", of.accuracy, 0.76, 1e-12);
    near("area", of.auroc, 0.8, 1e-12);
    near("all alike", performance_expected((double[]){.3, .3, .3}, 3, 0.5).auroc, 0.5, 1e-12);
    near("at the cut", performance_expected((double[]){.5}, 1, 0.5).true_positives, 0.5, 1e-12);
    assert_true(isnan(performance_expected(p, 0, 0.5).auroc));
}

static void quantiles(void **state)
{
    (void)state;
    struct rank_interval ranks = quantile_ranks(5000, 0.99, 0.95);
    assert_int_equal(ranks.low, 4936);
    assert_int_equal(ranks.high, 4964);
    ranks = quantile_ranks(10, 0.5, 0.95); // 2 (1 + 10) / 1,024 is below 0.05, with 45 more it is not
    assert_int_equal(ranks.low, 2);
    assert_int_equal(ranks.high, 9);
    ranks = quantile_ranks(5, 0.5, 0.95); // 2 / 32 is above: the least and the greatest do not do
    assert_int_equal(ranks.low, 0);
    assert_int_equal(ranks.high, 6);
    static const struct {
        int64_t n, most;
        double p;
    } rows[] = {{298, -1, .99}, {299, 0, .99},   {58, -1, .95},    {59, 0, .95},
                {1000, 4, .99}, {5000, 38, .99}, {20000, 176, .99}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(quantile_exceedances(rows[i].n, rows[i].p, 0.95), rows[i].most);
}

static void hanley_and_mcneil(void **state)
{
    (void)state;
    static const double rows[][2] = {
        {5, 0.079279}, {10, 0.056080}, {20, 0.039684}, {50, 0.025155}, {100, 0.017854}};
    for (size_t i = 0; i < 5; i++)
        near("error", auroc_expected_error(0.93, rows[i][0], 900), rows[i][1], 3e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begg_and_greenes), cmocka_unit_test(verified_by_all_or_none),
        cmocka_unit_test(case_mix),         cmocka_unit_test(without_labels),
        cmocka_unit_test(quantiles),        cmocka_unit_test(hanley_and_mcneil),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
