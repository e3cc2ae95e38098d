// test_power.c: values that R computed (power.prop.test, power.t.test, t.test), and of sizes known from
// tables.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/means.h"
#include "common/statistics/power.h"
#include "tests/support/near.h"

static void sizes_for_shares(void **state)
{
    (void)state;
    struct comparison_plan plan = {.alpha = 0.05, .power = 0.80, .ratio = 1};
    near(".90 to .95", size_for_shares(&plan, .95, .90), 342.084025, 1e-8);
    near(".90 to .93", size_for_shares(&plan, .93, .90), 1067.505139, 1e-8);
    near("not lower by .05", ceil(size_for_non_inferiority(&plan, .90, .90, .05)), 446, 0);
    plan.ratio = 9;
    double size = size_for_shares(&plan, .95, .90);
    near("9 to 1, a", ceil(size), 202, 0);
    near("9 to 1, b", ceil(9 * size), 1816, 0);
    size = size_for_non_inferiority(&plan, .90, .90, .05);
    near("9 to 1, not lower, a", ceil(size), 248, 0);
    near("9 to 1, not lower, b", ceil(9 * size), 2226, 0);
    assert_true(isinf(size_for_non_inferiority(&plan, .80, .90, .05)));
    plan = (struct comparison_plan){.alpha = 0.05, .power = 0.90, .two_sided = true, .ratio = 1};
    near(".50 to .75", size_for_shares(&plan, .75, .50), 76.7069301141, 1e-6);
}

static void means(void **state)
{
    (void)state;
    struct comparison_plan plan = {.alpha = 0.05, .power = 0.80, .two_sided = true, .ratio = 1};
    near("power", power_for_means(20, 1, 1, 0.05, true), 0.868952802, 1e-8);
    near("size", size_for_means(&plan, 0.5, 2), 252.128116, 1e-8);
    near("size, falling", size_for_means(&plan, -0.5, 2), 252.128116, 1e-8);
}

static void mcnemar(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        double worse, better, power;
    } rows[] = {
        {108, .01, .06, 0.488}, {108, .01, .11, 0.921}, {200, .01, .06, 0.828}, {250, .01, .06, 0.911}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double found = mcnemar_power(rows[i].n, rows[i].worse, rows[i].better, 0.05);
        if (fabs(found - rows[i].power) > 6e-4)
            fail_msg("%d pairs: power %g, expected %g", (int)rows[i].n, found, rows[i].power);
    }
    // Five pairs that all differ, all better: 1/32 is below 0.05, four of five are not.
    near("by hand", mcnemar_power(5, 0.2, 0.8, 0.05), pow(0.8, 5), 1e-12);
    assert_true(mcnemar_power(100, 0, 0, 0.05) == 0);
}

static void welch(void **state)
{
    (void)state;
    static const double one[] = {0.7, -1.6, -0.2, -1.2, -0.1,
                                 3.4, 3.7,  0.8,  0.0,  2.0}; // R's data set "sleep"
    static const double two[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
    struct moments a = moments_of(one, NULL, 10), b = moments_of(two, NULL, 10);
    struct welch test = welch_test(&a, &b, 0.95);
    near("t", test.t, -1.86081346749, 1e-9);
    near("degrees of freedom", test.df, 17.7764735162, 1e-9);
    near("p", test.p, 0.0793941401874, 1e-9);
    near("p, b greater", 1 - test.p_greater, 0.0396970700937, 1e-9);
    near("low", test.interval.low, -3.36548323071, 1e-9);
    near("high", test.interval.high, 0.205483230712, 1e-9);
    near("difference", test.difference, 0.75 - 2.33, 1e-12);

    static const double before[] = {142, 150, 139, 161, 155, 148, 152, 147};
    static const double after[] = {151, 160, 149, 171, 166, 158, 163, 155};
    a = moments_of(after, NULL, 8);
    b = moments_of(before, NULL, 8);
    test = welch_test(&a, &b, 0.95);
    near("t", test.t, 2.72691861015, 1e-9);
    near("p", test.p, 0.0164188418043, 1e-9);

    a = moments_of(one, NULL, 1);
    assert_true(isnan(welch_test(&a, &b, 0.95).p));
    a = b = moments_of((double[]){3, 3, 3}, NULL, 3);
    assert_true(isnan(welch_test(&a, &b, 0.95).p));
    assert_true(isnan(moments_of(NULL, NULL, 0).mean));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes_for_shares), cmocka_unit_test(means),
                                       cmocka_unit_test(mcnemar), cmocka_unit_test(welch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
