// test_statistics.c: published vectors and values that R, pROC and SciPy computed. Closed forms to 1e-9,
// roots to 1e-6, relative.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/counter_random.h"
#include "common/base/memory.h"
#include "common/statistics/auroc.h"
#include "common/statistics/bootstrap.h"
#include "common/statistics/calibration.h"
#include "common/statistics/clustered.h"
#include "common/statistics/interval.h"
#include "common/statistics/paired.h"
#include "common/statistics/quantile.h"
#include "common/statistics/special.h"
#include "tests/support/near.h"

static void check_interval(const char *what, struct interval found, double low, double high)
{
    near(what, found.low, low, 1e-9);
    near(what, found.high, high, 1e-9);
}

static void test_intervals(void **state)
{
    (void)state;
    const struct {
        struct share share;
        double clopper[2], wilson[2], jeffreys[2];
    } rows[] = {
        {{86, 96},
         {0.816766830603, 0.948905798545},
         {0.818778358697, 0.942428467583},
         {0.823101599303, 0.945171119666}},
        {{11, 12},
         {0.615203834849, 0.997892406768},
         {0.646120088859, 0.985134905595},
         {0.671504273599, 0.990855673766}},
        {{12, 12}, {0.735351530603, 1}, {0.757505993345, 1}, {0.814694061688, 0.999959924690}},
        {{45, 50},
         {0.781864633566, 0.966724906411},
         {0.786397685625, 0.956524235068},
         {0.794645171977, 0.960805635606}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_interval("Clopper-Pearson", interval_clopper_pearson(rows[i].share, 0.95), rows[i].clopper[0],
                       rows[i].clopper[1]);
        check_interval("Wilson", interval_wilson(rows[i].share, 0.95), rows[i].wilson[0], rows[i].wilson[1]);
        check_interval("Jeffreys", interval_jeffreys(rows[i].share, 0.95), rows[i].jeffreys[0],
                       rows[i].jeffreys[1]);
    }
    check_interval("Wilson of many", interval_wilson((struct share){682, 925}, 0.95), 0.7079959876196,
                   0.7646358009715);
    check_interval("Clopper-Pearson of many", interval_clopper_pearson((struct share){682, 925}, 0.95),
                   0.707668264079, 0.765406558242);
    check_interval("Newcombe", interval_newcombe((struct share){56, 70}, (struct share){48, 80}, 0.95),
                   0.0524314724024, 0.333872654037);
    check_interval("Newcombe", interval_newcombe((struct share){11, 12}, (struct share){86, 96}, 0.95),
                   -0.253696368701, 0.123912763183);
    check_interval("no trials", interval_wilson((struct share){0, 0}, 0.95), 0, 1);
}

// The fewest successes whose one-sided exact bound reaches 0.90.
static void test_gates(void **state)
{
    (void)state;
    static const struct share least[] = {{49, 50}, {96, 100}, {188, 200}, {279, 300}, {371, 400}, {462, 500}};
    for (size_t i = 0; i < sizeof least / sizeof least[0]; i++) {
        struct share fewer = {least[i].successes - 1, least[i].trials};
        assert_true(lower_bound_clopper_pearson(least[i], 0.95) >= 0.90);
        assert_true(lower_bound_clopper_pearson(fewer, 0.95) < 0.90);
    }
}

static void test_special(void **state)
{
    (void)state;
    near("chi-square", special_chi_square_tail(14.0671404493, 7), 0.05, 1e-9);
    near("chi-square", special_chi_square_tail(29.8775039092, 7), 0.0001, 1e-9);
    near("chi-square far out", special_chi_square_tail(100, 1), 1.5239706048321e-23, 1e-9);
    near("normal", special_normal_quantile(0.975), 1.959963984540054, 1e-12);
    near("normal", special_normal_tail(10), 7.61985302416052e-24, 1e-9);
    near("Student", 2 * special_student_tail(1.86081346749, 17.7764735162), 0.0793941401874, 1e-9);
    near("beta", special_beta_cdf(special_beta_quantile(0.3, 2.5, 7), 2.5, 7), 0.3, 1e-12);
    assert_true(isnan(special_normal_quantile(2)));
    assert_true(isnan(special_beta_cdf(0.5, -1, 2)));
}

static void test_mcnemar(void **state)
{
    (void)state;
    struct mcnemar approval = mcnemar_test(150, 86), few = mcnemar_test(3, 9), none = mcnemar_test(0, 0);
    near("chi-square", approval.chi_square, 17.3559322034, 1e-9);
    near("exact", approval.p, 3.71593614e-05, 1e-8);
    near("corrected", approval.chi_square_corrected, 16.8177966102, 1e-9);
    near("its p", special_chi_square_tail(approval.chi_square_corrected, 1), 4.11456228e-05, 1e-8);
    near("exact", few.p, 0.14599609375, 1e-12);
    near("mid-p", few.mid_p, 0.09228515625, 1e-12);
    near("the other way round", mcnemar_test(9, 3).p, few.p, 0);
    near("as many on both sides", mcnemar_test(4, 4).p, 1, 0);
    near("no pair", none.p, 1, 0);
    near("no pair", none.mid_p, 1, 0);
    near("as many on both sides, once", mcnemar_test(1, 1).mid_p, 0.75, 1e-12); // 1 - f(1) / 2, f(1) = 1/2
    near("mid-p of equal sides", mcnemar_test(4, 4).mid_p, 1 - 70.0 / 256 / 2, 1e-12);
}

enum { TINY = 12 };
static const bool tiny_positive[TINY] = {0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0};
static const double tiny_a[TINY] = {.1, .4, .35, .8, .2, .7, .5, .9, .5, .3, .45, .6};
static const double tiny_b[TINY] = {.3, .3, .2, .6, .4, .4, .6, .8, .7, .35, .5, .55};

static void test_auroc(void **state)
{
    (void)state;
    const struct scored_images tiny = {tiny_positive, NULL, TINY};
    struct auroc_comparison found = auroc_compare(&tiny, tiny_a, tiny_b);
    near("AUROC", found.a.estimate, 0.819444444444, 1e-9);
    near("variance", found.a.variance, 0.0161265432099, 1e-9);
    near("AUROC", found.b.estimate, 0.694444444444, 1e-9);
    near("variance", found.b.variance, 0.0302469135802, 1e-9);
    near("covariance", found.covariance, 0.0156635802469, 1e-9);
    near("z", found.z, 1.01904933073, 1e-9);
    near("p", found.p, 0.308179547467, 1e-9);
    check_interval("on the logit scale", auroc_interval(&found.a, 0.95), 0.457688065201, 0.960639243992);
    struct auroc_comparison same = auroc_compare(&tiny, tiny_a, tiny_a);
    near("a model with itself", same.p, 1, 0);
    struct auroc no_positive = auroc_of(&(struct scored_images){(const bool[]){0, 0}, NULL, 2}, tiny_a);
    assert_true(isnan(no_positive.estimate));
    assert_true(auroc_interval(&no_positive, 0.95).high == 1);
}

// Each image twice, as two of one lesion: nothing is known that was not known before.
static void test_auroc_of_lesions(void **state)
{
    (void)state;
    bool positive[2 * TINY];
    double a[2 * TINY], b[2 * TINY];
    uint32_t lesions[2 * TINY];
    for (uint32_t i = 0; i < 2 * TINY; i++) {
        lesions[i] = i % TINY;
        positive[i] = tiny_positive[i % TINY];
        a[i] = tiny_a[i % TINY];
        b[i] = tiny_b[i % TINY];
    }
    const struct scored_images twice = {positive, lesions, 2 * TINY};
    struct auroc_comparison found = auroc_compare(&twice, a, b);
    near("variance", found.a.variance, 0.0161265432099, 1e-9);
    near("covariance", found.covariance, 0.0156635802469, 1e-9);
    near("p", found.p, 0.308179547467, 1e-9);
    assert_true(found.a.positives == 12 && found.a.positive_clusters == 6);
}

static void test_design_effect(void **state)
{
    (void)state;
    static const struct share alike[] = {{2, 2}, {0, 2}, {1, 1}, {0, 1}, {0, 0}}, mixed[] = {{1, 2}, {1, 2}};
    static const struct share some[] = {{2, 2}, {1, 2}, {0, 2}}, won[] = {{3, 3}, {1, 1}};
    static const struct share apart[] = {{1, 1}, {0, 1}, {0, 0}, {1, 1}};
    near("no difference within", design_effect(alike, 5), 10.0 / 6, 1e-12);
    near("no difference between", design_effect(mixed, 2), 1, 1e-12);
    near("mean squares 1/2 and 1/6", design_effect(some, 3), 1.5, 1e-12);
    near("all won", design_effect(won, 2), 2.5, 1e-12);
    near("one trial each", design_effect(apart, 4), 1, 0);
    const struct interval whole = interval_wilson((struct share){2, 3}, 0.95),
                          clustered = interval_wilson_clustered(apart, 4, 0.95),
                          half = interval_wilson((struct share){2, 4}, 0.95),
                          effect = interval_wilson_clustered(some, 3, 0.95); // 3 of 6: 2 of 4
    assert_true(clustered.low == whole.low && clustered.high == whole.high);
    near("fewer trials", effect.low, half.low, 1e-12);
    near("fewer trials", effect.high, half.high, 1e-12);
}

static void test_calibration(void **state)
{
    (void)state;
    static const double p[] = {.95, .92, .85, .81, .77, .66, .62, .55, .45, .35};
    static const bool right[] = {1, 1, 1, 0, 1, 1, 0, 1, 0, 0};
    struct reliability found;
    calibration_measure(p, right, 10, 10, CALIBRATION_WIDTH, &found);
    near("10 width bins", found.ece, 0.255, 1e-9);
    near("the worst of them", found.mce, 0.45, 1e-9);
    assert_true(isnan(found.bins[0].accuracy) && found.bins[0].count == 0);
    calibration_measure(p, right, 10, 5, CALIBRATION_WIDTH, &found);
    near("5 width bins", found.ece, 0.093, 1e-9);
    calibration_measure(p, right, 10, 5, CALIBRATION_MASS, &found);
    near("5 equal-mass bins", found.ece, 0.233, 1e-9);
    calibration_measure(p, right, 10, 4, CALIBRATION_MASS, &found);
    assert_true(found.bins[0].count == 3 && found.bins[1].count == 3 && found.bins[3].count == 2);
    calibration_measure(NULL, NULL, 0, 5, CALIBRATION_MASS, &found);
    assert_true(isnan(found.ece));
}

// One bin of n confidences of 1/2: the error is |k/n - 1/2| for binomial k, on average sqrt(1 / (2 pi n)) for
// large n; for n = 4 it is 3/16, exactly.
static void test_null_of_calibration(void **state)
{
    (void)state;
    const double half[] = {0.5, 0.5, 0.5, 0.5};
    const struct random_stream stream = {11, 0};
    enum { DRAWS = 20000 };
    double found = calibration_null_mean(half, 4, 1, DRAWS, &stream), sd = sqrt(0.0625 - 0.1875 * 0.1875);
    if (fabs(found - 0.1875) > 5 * sd / sqrt(DRAWS))
        fail_msg("null mean %.6f, expected 0.1875", found);
    near("again", calibration_null_mean(half, 4, 1, DRAWS, &stream), found, 0);
}

static void test_temperature(void **state)
{
    (void)state;
    static const double logits[] = {4,   1, 0, 3.5, .5, 0,  .5, 3,   0,  0,  .2, 2.5,
                                    2.2, 2, 0, 3,   .1, .3, .3, 2.8, .1, .1, .4, 3.2};
    static const int labels[] = {0, 1, 1, 2, 1, 0, 0, 2};
    const struct labelled_logits rows = {logits, labels, 8, 3};
    double temperature = temperature_fit(&rows);
    near("temperature", temperature, 1.70006680, 1e-6);
    near("nll before", nll_of(&rows, 1), 0.89332060759, 1e-9);
    near("nll after", nll_of(&rows, temperature), 0.79336283771, 1e-9);
    const struct labelled_logits even = {(const double[]){0, 0}, (const int[]){1}, 1, 2};
    near("Brier of a coin", brier_of(&even, 1), 0.5, 1e-12);
}

static double mean_of_rows(void *context, const size_t *rows, size_t row_count)
{
    const double *values = context;
    double sum = 0;
    for (size_t i = 0; i < row_count; i++)
        sum += values[rows[i]];
    return sum / (double)row_count;
}

static double mean_and_two(void *context, const size_t *rows, size_t row_count)
{
    return mean_of_rows(context, rows, row_count) + 2;
}

static double no_figure(void *context, const size_t *rows, size_t row_count)
{
    (void)context;
    (void)rows;
    (void)row_count;
    return NAN;
}

// 400 clusters of 4 equal values 0 or 1: the mean's standard error is that of 400 draws, not of 1,600.
static void test_bootstrap(void **state)
{
    (void)state;
    enum { CLUSTERS = 400, EACH = 4, ROWS = CLUSTERS * EACH };
    static double values[ROWS];
    static uint32_t clusters[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) {
        clusters[i] = i % CLUSTERS; // a cluster's rows lie apart
        values[i] = clusters[i] % 2;
    }
    struct bootstrap bootstrap = {clusters, ROWS, CLUSTERS, 2000, 0.95, 5, mean_of_rows, values, NULL};
    struct interval found = bootstrap_interval(&bootstrap);
    double half = 1.959964 * 0.5 / sqrt(CLUSTERS);
    if (fabs(found.low - (0.5 - half)) > 0.006 ||
        fabs(found.high - (0.5 + half)) > 0.006) // 5 se of a quantile
        fail_msg("%.4f to %.4f, expected about %.4f to %.4f", found.low, found.high, 0.5 - half, 0.5 + half);
    struct interval again = bootstrap_interval(&bootstrap);
    assert_true(again.low == found.low && again.high == found.high);
    // A figure that each draw makes greater by 2: moved to its estimate it has the interval of the other one.
    const double half_of_all = 0.5;
    bootstrap.estimate = &half_of_all;
    struct interval unbiased = bootstrap_interval(&bootstrap);
    bootstrap.figure = mean_and_two;
    struct interval biased = bootstrap_interval(&bootstrap);
    near("low end", biased.low, unbiased.low, 1e-12);
    near("high end", biased.high, unbiased.high, 1e-12);
    near("width", unbiased.high - unbiased.low, found.high - found.low, 1e-12);
    bootstrap.figure = no_figure;
    assert_true(isnan(bootstrap_interval(&bootstrap).low));
    double hundred[100];
    for (int i = 0; i < 100; i++)
        hundred[i] = i + 1;
    near("median", quantile_of_sorted(hundred, 100, 0.5), 50.5, 1e-12);
    near("95th percentile", quantile_of_sorted(hundred, 100, 0.95), 95.05, 1e-12);
    near("99th percentile", quantile_of_sorted(hundred, 100, 0.99), 99.01, 1e-12);
}

// Random123's known answers of philox4x32-10.
static void test_counter_random(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], block[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t block[4];
        counter_random_block(known[i].counter, known[i].key, block);
        assert_memory_equal(block, known[i].block, sizeof block);
    }
    const struct random_stream stream = {7, 3}, other = {7, 4};
    assert_int_not_equal(counter_random_bits(&stream, 0), counter_random_bits(&other, 0));
    int seen[6] = {0};
    for (uint64_t i = 0; i < 6000; i++)
        seen[counter_random_below(&stream, i, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 1000 - 150, 1000 + 150); // 5 standard deviations
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_auroc_of_lesions),
        cmocka_unit_test(test_design_effect),
        cmocka_unit_test(test_auroc),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_null_of_calibration),
        cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_counter_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
