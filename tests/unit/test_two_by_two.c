// test_two_by_two.c: values that R and SciPy computed, and tables that can be counted by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/two_by_two.h"
#include "tests/support/near.h"

static void fisher(void **state)
{
    (void)state;
    static const struct {
        struct share a, b;
        enum alternative alternative;
        double p, tolerance;
    } rows[] = {
        {{3, 4}, {1, 4}, ALTERNATIVE_GREATER, 17. / 70, 1e-12}, // the lady tasting tea
        {{8, 10}, {1, 6}, ALTERNATIVE_TWO_SIDED, 0.034965034965, 1e-9},
        {{8, 10}, {1, 6}, ALTERNATIVE_GREATER, 0.0244755244755, 1e-9},
        {{2, 17}, {10, 13}, ALTERNATIVE_LESS, 0.000465180943363, 1e-9},
        {{2, 17}, {10, 13}, ALTERNATIVE_TWO_SIDED, 0.000536724119143, 1e-9},
        {{12, 12}, {72, 96}, ALTERNATIVE_GREATER, 0.04051915, 1e-6},
        {{12, 12}, {73, 96}, ALTERNATIVE_GREATER, 0.047179827139, 1e-9},
        {{12, 12}, {76, 96}, ALTERNATIVE_GREATER, 0.0736, 1e-3},
        {{12, 12}, {80, 96}, ALTERNATIVE_GREATER, 0.1301096401, 1e-9},
        {{12, 12}, {88, 96}, ALTERNATIVE_GREATER, 0.3767, 1e-3},
        {{12, 12}, {86, 96}, ALTERNATIVE_GREATER, 0.291299204984, 1e-9},
        {{11, 12}, {86, 96}, ALTERNATIVE_GREATER, 0.647992109045, 1e-9},
        {{5, 5}, {7, 7}, ALTERNATIVE_GREATER, 1, 0}, // no other table is possible
        {{0, 0}, {3, 7}, ALTERNATIVE_TWO_SIDED, 1, 0},
        {{0, 0}, {0, 0}, ALTERNATIVE_LESS, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        near("Fisher", fisher_p(rows[i].a, rows[i].b, rows[i].alternative), rows[i].p, rows[i].tolerance);
    // 300 of 300 against none of 300: one table of C(600, 300), whose logarithm is in reach of lgamma.
    near("far out", log(fisher_p((struct share){300, 300}, (struct share){0, 300}, ALTERNATIVE_GREATER)),
         2 * lgamma(301) - lgamma(601), 1e-12);
}

static void odds_ratio(void **state)
{
    (void)state;
    near("convictions", fisher_odds_ratio((struct share){2, 17}, (struct share){10, 13}), 0.0469366088277,
         1e-6);
    assert_true(isinf(fisher_odds_ratio((struct share){12, 12}, (struct share){80, 96})));
    assert_true(fisher_odds_ratio((struct share){0, 12}, (struct share){80, 96}) == 0);
    assert_true(isnan(fisher_odds_ratio((struct share){0, 12}, (struct share){0, 96})));
}

static void unconditional(void **state)
{
    (void)state;
    near("Boschloo", boschloo_p((struct share){74, 117}, (struct share){31, 63}, ALTERNATIVE_GREATER),
         0.035564063, 1e-6);
    near("Boschloo", boschloo_p((struct share){12, 12}, (struct share){80, 96}, ALTERNATIVE_GREATER),
         0.0826878550, 1e-6);
    near("the other way", boschloo_p((struct share){80, 96}, (struct share){12, 12}, ALTERNATIVE_LESS),
         0.0826878550, 1e-6);
    near("two-sided", boschloo_p((struct share){80, 96}, (struct share){12, 12}, ALTERNATIVE_TWO_SIDED),
         2 * 0.0826878550, 1e-6);
    // SciPy says 0.0340767164: rounding leaves 3 of 15 against 8 of 15 out, whose score is the same. This is
    // the greatest of 20,001 shares, summed in NumPy with it.
    near("Barnard", barnard_p((struct share){7, 15}, (struct share){12, 15}, ALTERNATIVE_LESS), 0.0341091547,
         1e-6);
    near("Barnard", barnard_p((struct share){7, 15}, (struct share){11, 14}, ALTERNATIVE_LESS),
         0.047588241383778734, 1e-6);
    // One against none in one trial each: p (1 - p), 1/4 at worst.
    near("by hand", boschloo_p((struct share){1, 1}, (struct share){0, 1}, ALTERNATIVE_GREATER), 0.25, 1e-9);
    near("by hand", barnard_p((struct share){1, 1}, (struct share){0, 1}, ALTERNATIVE_TWO_SIDED), 0.5, 1e-9);
    near("nothing", boschloo_p((struct share){0, 0}, (struct share){0, 9}, ALTERNATIVE_TWO_SIDED), 1, 0);
    assert_true(isnan(boschloo_p((struct share){1, 10000}, (struct share){5, 10001}, ALTERNATIVE_GREATER)));
}

static void power(void **state)
{
    (void)state;
    static const double rows[][3] = {{.90, .95, 0.0000}, {.85, .95, 0.0075}, {.80, .95, 0.1069},
                                     {.75, .95, 0.3441}, {.70, .95, 0.5337}, {.60, .95, 0.8244},
                                     {.50, .95, 0.9649}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double found =
            fisher_power((struct true_share){12, rows[i][1]}, (struct true_share){96, rows[i][0]}, 0.05);
        if (fabs(found - rows[i][2]) > 6e-5)
            fail_msg("%g to %g: power %g, expected %g", rows[i][0], rows[i][1], found, rows[i][2]);
    }
    // Three of three against none of three has p 1/20, and alone is rejected.
    near("at the level", fisher_power((struct true_share){3, 0.9}, (struct true_share){3, 0.2}, 0.05),
         pow(0.9, 3) * pow(0.8, 3), 1e-12);
    near("equal arms", fisher_power((struct true_share){381, 0.95}, (struct true_share){381, 0.90}, 0.05),
         0.807857, 1e-6);
    near("9 to 1", fisher_power((struct true_share){210, 0.95}, (struct true_share){1890, 0.90}, 0.05),
         0.796264, 1e-6);
    near("9 to 1", fisher_power((struct true_share){220, 0.95}, (struct true_share){1980, 0.90}, 0.05),
         0.814768, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fisher), cmocka_unit_test(odds_ratio),
                                       cmocka_unit_test(unconditional), cmocka_unit_test(power)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
