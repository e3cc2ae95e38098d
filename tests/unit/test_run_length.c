// test_run_length.c: published run lengths, and those of statistics.md's tables. Bernoulli: to 5e-4, as the
// table was made on a grid.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/numeric.h"
#include "common/statistics/run_length.h"
#include "common/statistics/special.h"
#include "tests/support/near.h"

static void bernoulli(void **state)
{
    (void)state;
    static const double p[] = {0.10, 0.15, 0.20, 0.30};
    static const struct {
        double limit, run[4];
    } rows[] = {
        {2, {184.882, 60.745, 32.097, 15.678}},     {3, {638.892, 121.352, 53.467, 23.787}},
        {3.5, {1084.569, 156.552, 63.835, 27.481}}, {4, {1862.044, 197.729, 74.937, 31.332}},
        {4.5, {3185.809, 243.312, 86.316, 35.649}}, {5, {5295.164, 291.739, 97.317, 39.388}},
    };
    struct bernoulli_cusum cusum = bernoulli_cusum_for(0.10, 0.20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int j = 0; j < 4; j++)
            near("run length", bernoulli_cusum_run_length(&cusum, rows[i].limit, p[j]), rows[i].run[j], 5e-4);
}

// Scores of +1 and -1: a random walk that stays at 0 rather than falls. By hand, with e(s) the steps from s
// to s + 1: e(0) = 1 / p, e(s) = (1 + q e(s - 1)) / p.
static void bernoulli_by_hand(void **state)
{
    (void)state;
    const struct bernoulli_cusum walk = {1, -1};
    double p = 0.3, step = 1 / p, run = 0;
    for (int s = 0; s < 5; s++) {
        run += step;
        step = (1 + (1 - p) * step) / p;
    }
    near("walk to 5", bernoulli_cusum_run_length(&walk, 5, p), run, 1e-12);
    near("walk to 4.2", bernoulli_cusum_run_length(&walk, 4.2, p), run, 1e-12);
    const struct bernoulli_cusum other_way = {-1, 1};
    near("the other way", bernoulli_cusum_run_length(&other_way, 5, 1 - p), run, 1e-12);
}

static void bernoulli_limits(void **state)
{
    (void)state;
    static const double pairs[][2] = {{0.10, 0.20}, {0.075, 0.05}, {0.03, 0.06}, {0.01, 0.02}, {0.5, 0.6}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct bernoulli_cusum cusum = bernoulli_cusum_for(pairs[i][0], pairs[i][1]);
        double limit = bernoulli_cusum_limit(&cusum, pairs[i][0], 3000);
        double run = bernoulli_cusum_run_length(&cusum, limit, pairs[i][0]);
        if (!(run >= 3000 && run < 3300))
            fail_msg("%g to %g: limit %g runs %g", pairs[i][0], pairs[i][1], limit, run);
    }
    struct bernoulli_cusum rare = bernoulli_cusum_for(1e-6, 2e-6);
    assert_true(isnan(bernoulli_cusum_run_length(&rare, 4, 1e-6)));
    assert_true(isnan(bernoulli_cusum_limit(&rare, 1e-6, 1e7)));
}

// Run lengths: NumPy, 200 nodes.
static void normal_cusum(void **state)
{
    (void)state;
    near("limit 4", normal_cusum_run_length(0.5, 4, 0), 335.36757762744, 1e-9);
    near("limit 4, change 1", normal_cusum_run_length(0.5, 4, 1), 8.38320212975, 1e-9);
    near("limit 5", normal_cusum_run_length(0.5, 5, 0), 930.887012066, 1e-9);
    near("limit 5, change 1", normal_cusum_run_length(0.5, 5, 1), 10.3759753002, 1e-9);
    static const double limits[][2] = {{100, 2.849}, {370, 4.096}, {500, 4.389}, {1000, 5.071}};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        double limit = normal_cusum_limit(0.5, limits[i][0]);
        assert_true(fabs(limit - limits[i][1]) < 6e-4);
        near("run length of the limit", normal_cusum_run_length(0.5, limit, 0), limits[i][0], 1e-6);
    }
    assert_true(isnan(normal_cusum_limit(2, 1e300)));
    assert_true(isinf(normal_cusum_run_length(1, 30, 0))); // about exp(60)
    near("a steep chart", normal_cusum_run_length(2, normal_cusum_limit(2, 1000), 0), 1000, 1e-6);
    near("both sides", run_length_of_both(335.36, 335.36), 167.68, 1e-12);
}

static void numeric(void **state)
{
    (void)state;
    double matrix[] = {0, 2, 1, 1, 1, 0, 2, 0, 3}, right[] = {7, 3, 11}; // x = 1, 2, 3
    assert_true(numeric_solve(matrix, right, 3));
    for (int i = 0; i < 3; i++)
        near("solution", right[i], i + 1, 1e-14);
    double singular[] = {1, 2, 2, 4}, none[] = {1, 2};
    assert_false(numeric_solve(singular, none, 2));
    struct quadrature_node nodes[5];
    double sum = 0;
    numeric_quadrature(-1, 3, nodes, 5); // x^9 from -1 to 3: (3^10 - 1) / 10
    for (int i = 0; i < 5; i++)
        sum += nodes[i].weight * pow(nodes[i].at, 9);
    near("quadrature", sum, 5904.8, 1e-13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bernoulli),        cmocka_unit_test(bernoulli_by_hand),
        cmocka_unit_test(bernoulli_limits), cmocka_unit_test(normal_cusum),
        cmocka_unit_test(numeric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
