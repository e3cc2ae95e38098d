// test_sequential.c: limits that R's ldbounds and gsDesign have, closed forms of the e-process, and how often
// it rejects what is true.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/random_draws.h"
#include "common/statistics/sequential.h"
#include "common/statistics/special.h"
#include "tests/support/near.h"

static void evidence(void **state)
{
    (void)state;
    near("(8, 1)", exp(e_process_log(8, 1)), 11.2556, 1e-5);
    near("(12, 2)", exp(e_process_log(12, 2)), 23.9172, 1e-5);
    near("(15, 3)", exp(e_process_log(15, 3)), 33.7415, 1e-5);
    near("two-sided", exp(e_process_log_two_sided(12, 2)), 16384. / 1365, 1e-12);
    near("nothing seen", exp(e_process_log(0, 0)), 1, 1e-12);
    // One improved: the mean of 2 p over (1/2, 1); one worsened: of 2 (1 - p).
    near("one improved", exp(e_process_log(1, 0)), 1.5, 1e-12);
    near("one worsened", exp(e_process_log(0, 1)), 0.5, 1e-12);
    assert_true(isfinite(e_process_log(1000000, 10)) && isfinite(e_process_log(10, 1000)));
}

enum { RUNS = 10000, PAIRS = 1000 };

// The share of runs that reject at level 0.05 after any of their pairs. critical: (PAIRS), the fewest better
// ones with which to reject.
static double reject_share(const int *critical, double improved)
{
    int rejected = 0;
    for (uint64_t run = 0; run < RUNS; run++) {
        struct random_draws draws = {{5, run}, 0};
        int better = 0;
        for (int pairs = 1; pairs <= PAIRS; pairs++) {
            better += random_draws_uniform(&draws) < improved;
            if (better >= critical[pairs - 1]) {
                rejected++;
                break;
            }
        }
    }
    return (double)rejected / RUNS;
}

static void evidence_under_the_null_hypothesis(void **state)
{
    (void)state;
    int critical[PAIRS], better = 0;
    for (int pairs = 1; pairs <= PAIRS; pairs++) {
        while (better <= pairs && e_process_log(better, pairs - better) < log(20))
            better++;
        critical[pairs - 1] = better;
    }
    double share = reject_share(critical, 0.5);
    if (!(share <= 0.05 && share > 0.025)) // 0.029 in 60 pairs, as published
        fail_msg("%g of the runs reject", share);
    assert_true(reject_share(critical, 0.6) > 0.99);
}

static void check_limits(const struct sequential_plan *plan, const double *expected)
{
    double limits[SEQUENTIAL_MOST_LOOKS];
    sequential_limits(plan, limits);
    for (int i = 0; i < plan->looks; i++)
        if (!(fabs(limits[i] - expected[i]) <= 6e-5))
            fail_msg("look %d: %.6f, expected %.4f", i + 1, limits[i], expected[i]);
}

static void limits(void **state)
{
    (void)state;
    static const double quarters[] = {0.25, 0.5, 0.75, 1}, thirds[] = {1. / 3, 2. / 3, 1}, whole[] = {1};
    check_limits(&(struct sequential_plan){SPENDING_OBRIEN_FLEMING, 0.05, false, quarters, 4},
                 (double[]){3.7496, 2.5399, 2.0161, 1.7202});
    check_limits(&(struct sequential_plan){SPENDING_OBRIEN_FLEMING, 0.025, false, quarters, 4},
                 (double[]){4.3326, 2.9631, 2.3590, 2.0141});
    check_limits(&(struct sequential_plan){SPENDING_OBRIEN_FLEMING, 0.05, false, thirds, 3},
                 (double[]){3.2001, 2.1408, 1.6948});
    check_limits(&(struct sequential_plan){SPENDING_POCOCK, 0.05, true, quarters, 4},
                 (double[]){2.3683, 2.3675, 2.3582, 2.3500});
    double limit;
    sequential_limits(&(struct sequential_plan){SPENDING_POCOCK, 0.05, true, whole, 1}, &limit);
    near("one look", limit, special_normal_quantile(0.975), 1e-9);
}

// 50 looks: what is spent in all is alpha, by simulation.
static void many_looks(void **state)
{
    (void)state;
    enum { LOOKS = 50, STREAMS = 20000 };
    double information[LOOKS], limits[LOOKS];
    for (int i = 0; i < LOOKS; i++)
        information[i] = (i + 1.) / LOOKS;
    const struct sequential_plan plan = {SPENDING_OBRIEN_FLEMING, 0.05, true, information, LOOKS};
    sequential_limits(&plan, limits);
    int stopped = 0;
    for (uint64_t run = 0; run < STREAMS; run++) {
        struct random_draws draws = {{6, run}, 0};
        double sum = 0;
        for (int i = 0; i < LOOKS; i++) {
            sum += random_draws_normal(&draws) / sqrt(LOOKS);
            if (fabs(sum / sqrt(information[i])) >= limits[i]) {
                stopped++;
                break;
            }
        }
    }
    assert_true(fabs((double)stopped / STREAMS - 0.05) < 4 * sqrt(0.05 * 0.95 / STREAMS));
}

static void what_is_no_plan(void **state)
{
    (void)state;
    static const double falls[] = {0.5, 0.4}, beyond[] = {0.5, 1.1}, early[] = {0.01, 1};
    double limits[2];
    sequential_limits(&(struct sequential_plan){SPENDING_POCOCK, 0.05, true, falls, 2}, limits);
    assert_true(isnan(limits[0]) && isnan(limits[1]));
    sequential_limits(&(struct sequential_plan){SPENDING_POCOCK, 0.05, true, beyond, 2}, limits);
    assert_true(isnan(limits[0]));
    sequential_limits(&(struct sequential_plan){SPENDING_OBRIEN_FLEMING, 1e-4, true, early, 2}, limits);
    assert_true(limits[0] > 30 && isfinite(limits[1]));
}

static void conditional(void **state)
{
    (void)state;
    // Half way and at 0 without a drift: the other half must bring 1.96.
    near("at 0", conditional_power(0, 0.5, 1.96, 0), special_normal_tail(1.96 / sqrt(0.5)), 1e-12);
    // As seen so far: z 1 half way goes on to 2 sqrt(1/2).
    near("as seen", conditional_power(1, 0.5, 2 * sqrt(0.5), 1 / sqrt(0.5)), 0.5, 1e-12);
    near("all but over", conditional_power(3, 0.999999, 1.96, 0), 1, 1e-9);
}

static void always_valid(void **state)
{
    (void)state;
    static const double rows[][2] = {
        {500, 3.855054635}, {1000, 3.363887726}, {5000, 3.035208990}, {20000, 3.127114144}};
    const struct confidence_sequence sequence = {0.05, 5000};
    for (size_t i = 0; i < 4; i++)
        near("half width", confidence_sequence_at(&sequence, 0, 1, rows[i][0]).high, rows[i][1], 1e-9);
    // 1,396 of 3,000 against 2,422 of 3,461, relative: the case of GrowthBook's own tests.
    double a = 1396. / 3000, b = 2422. / 3461, lift = b / a - 1;
    double error = sqrt(b * (1 - b) / 3461 / (a * a) + a * (1 - a) / 3000 * b * b / pow(a, 4));
    struct interval interval = confidence_sequence_at(&sequence, lift, error, 6461);
    near("low", interval.low, 0.400978497, 1e-8);
    near("high", interval.high, 0.606748207, 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence),        cmocka_unit_test(evidence_under_the_null_hypothesis),
        cmocka_unit_test(limits),          cmocka_unit_test(many_looks),
        cmocka_unit_test(what_is_no_plan), cmocka_unit_test(conditional),
        cmocka_unit_test(always_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
