// test_chi_square.c: values that R and SciPy computed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/chi_square.h"
#include "tests/support/near.h"

static void sample_ratio(void **state)
{
    (void)state;
    static const double nine_to_one[] = {0.9, 0.1}, even[] = {0.5, 0.5};
    struct chi_square_test test = chi_square_fit((int64_t[]){9100, 900}, nine_to_one, 2, 0);
    near("statistic", test.statistic, 11.1111111111, 1e-9);
    near("p", test.p, 0.000858120666394, 1e-9);
    test = chi_square_fit((int64_t[]){8950, 1050}, nine_to_one, 2, 0);
    near("statistic", test.statistic, 2.77777777778, 1e-9);
    near("p", test.p, 0.0955807045456, 1e-9);
    near("p", chi_square_fit((int64_t[]){5100, 4900}, even, 2, 0).p, 0.0455002638964, 1e-9);
}

static const double SHARES[] = {.178, .508, .131, .034, .104, .009, .010, .026};
static const int64_t SEEN[] = {60, 240, 66, 15, 70, 6, 4, 19};

static void eight_classes(void **state)
{
    (void)state;
    static const double expected[] = {-3.0356, -0.3506, 0.4221, -0.3324, 3.0024, 0.8120, -0.3670, 1.8701};
    struct chi_square_test test = chi_square_fit(SEEN, SHARES, 8, 0);
    near("statistic", test.statistic, 20.1668777678, 1e-9);
    near("p", test.p, 0.00522028775662, 1e-9);
    assert_int_equal(test.merged, 0);
    double residuals[8];
    chi_square_fit_residuals(SEEN, SHARES, 8, residuals);
    for (int i = 0; i < 8; i++)
        if (fabs(residuals[i] - expected[i]) > 6e-5)
            fail_msg("residual %d: %g, expected %g", i, residuals[i], expected[i]);
}

// Of 480 analyses, .009 and .010 expect 4.32 and 4.8: together 9.12 with 10 seen. The other six are as
// before.
static void small_classes_are_merged(void **state)
{
    (void)state;
    struct chi_square_test test = chi_square_fit(SEEN, SHARES, 8, 5),
                           all = chi_square_fit(SEEN, SHARES, 8, 0);
    double apart = all.statistic - (6 - 4.32) * (6 - 4.32) / 4.32 - (4 - 4.8) * (4 - 4.8) / 4.8;
    near("statistic", test.statistic, apart + (10 - 9.12) * (10 - 9.12) / 9.12, 1e-12);
    near("degrees of freedom", test.df, 6, 0);
    assert_int_equal(test.merged, 2);
    // 1 expected alone: it takes the smallest of the others, which expects 9, so that 10 and 10 are left.
    static const double shares[] = {0.05, 0.5, 0.45};
    test = chi_square_fit((int64_t[]){4, 8, 8}, shares, 3, 5);
    near("statistic", test.statistic, 2 * 2 / 10. + 2 * 2 / 10., 1e-12);
    assert_int_equal(test.merged, 2);
    assert_true(chi_square_fit((int64_t[]){1, 2}, (double[]){0.5, 0.5}, 2, 5).p == 1); // all in one
}

static void what_expects_nothing(void **state)
{
    (void)state;
    static const double shares[] = {0, 0.5, 0.5};
    near("an empty class", chi_square_fit((int64_t[]){0, 5, 7}, shares, 3, 0).df, 1, 0);
    struct chi_square_test test = chi_square_fit((int64_t[]){1, 5, 7}, shares, 3, 0);
    assert_true(isinf(test.statistic) && test.p == 0);
    assert_true(chi_square_fit((int64_t[]){0, 0, 0}, shares, 3, 5).p == 1);
    double residuals[3];
    chi_square_fit_residuals((int64_t[]){0, 0, 0}, shares, 3, residuals);
    assert_true(residuals[0] == 0 && residuals[1] == 0);
}

static void independence(void **state)
{
    (void)state;
    const struct contingency table = {(int64_t[]){10, 0, 20, 30, 0, 40, 0, 0, 0}, 3, 3};
    struct chi_square_test test = chi_square_independence(&table);
    // Rows 30, 70; columns 40, 60: n (ad - bc)^2 / product of the sums.
    near("statistic", test.statistic, 100. * (10 * 40 - 20 * 30) * (10 * 40 - 20 * 30) / (30. * 70 * 40 * 60),
         1e-12);
    near("degrees of freedom", test.df, 1, 0);
    near("p", test.p, erfc(sqrt(test.statistic / 2)), 1e-9);
    // In a two by two table each residual squared is the statistic.
    near("residual", chi_square_residual(&table, 0, 0), -sqrt(test.statistic), 1e-12);
    near("residual", chi_square_residual(&table, 0, 2), sqrt(test.statistic), 1e-12);
    assert_true(chi_square_residual(&table, 2, 1) == 0);
    const struct contingency row = {(int64_t[]){3, 4}, 1, 2};
    assert_true(chi_square_independence(&row).p == 1);
    const struct contingency nothing = {(int64_t[]){0, 0, 0, 0}, 2, 2};
    assert_true(chi_square_independence(&nothing).p == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_ratio),
        cmocka_unit_test(eight_classes),
        cmocka_unit_test(small_classes_are_merged),
        cmocka_unit_test(what_expects_nothing),
        cmocka_unit_test(independence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
