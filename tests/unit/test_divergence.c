// test_divergence.c: values that R and SciPy computed, and what follows from the definitions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/divergence.h"
#include "common/statistics/multiple_tests.h"
#include "tests/support/near.h"

static const double P[] = {0.1, 0.2, 0.3, 0.4}, UNIFORM[] = {0.25, 0.25, 0.25, 0.25};

static void distances_of_shares(void **state)
{
    (void)state;
    near("KL", divergence_kl(P, UNIFORM, 4), 0.106440135286, 1e-9);
    near("KL the other way", divergence_kl(UNIFORM, P, 4), 0.121777274287, 1e-9);
    near("JS", divergence_js(P, UNIFORM, 4), 0.200503322531, 1e-9);
    near("PSI", divergence_psi(P, UNIFORM, 4), 0.228217409574, 1e-9);
    near("total variation", divergence_total_variation(P, UNIFORM, 4), 0.2, 1e-9);
    near("Hellinger", divergence_hellinger(P, UNIFORM, 4), 0.167899596403, 1e-9);
    near("greatest", divergence_greatest(P, UNIFORM, 4), 0.15, 1e-9);
    assert_true(divergence_kl(P, P, 4) == 0);
    assert_true(divergence_js(P, P, 4) == 0);
    const double apart[2][2] = {{1, 0}, {0, 1}};
    assert_true(divergence_js(apart[0], apart[1], 2) == 1);
    assert_true(divergence_hellinger(apart[0], apart[1], 2) == 1);
    assert_true(isinf(divergence_psi(apart[0], apart[1], 2)));
    const double unknown[] = {NAN, NAN};
    assert_true(isnan(divergence_js(unknown, apart[0], 2)));
}

static void priors(void **state)
{
    (void)state;
    static const int64_t reference[] = {5000, 3000, 1500, 500, 0}, current[] = {40, 35, 20, 4, 1};
    static const struct {
        double prior, kl, psi, js;
    } rows[] = {{0, INFINITY, INFINITY, 0.115719508496},
                {DIVERGENCE_PRIOR, 0.0917099261679, 0.129327639918, 0.124364092407},
                {1, 0.104523584489, 0.146713384593, 0.132739072671}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double p[5], q[5];
        divergence_shares(current, 5, rows[i].prior, p);
        divergence_shares(reference, 5, rows[i].prior, q);
        if (rows[i].prior > 0) {
            near("KL", divergence_kl(p, q, 5), rows[i].kl, 1e-9);
            near("PSI", divergence_psi(p, q, 5), rows[i].psi, 1e-9);
        } else {
            assert_true(isinf(divergence_kl(p, q, 5)));
            assert_true(isinf(divergence_psi(p, q, 5)));
        }
        near("JS", divergence_js(p, q, 5), rows[i].js, 1e-9);
    }
}

static void entropies(void **state)
{
    (void)state;
    static const double p[] = {0.7, 0.1, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01};
    static const double sure[] = {0, 1, 0};
    double even[8];
    for (int i = 0; i < 8; i++)
        even[i] = 1.0 / 8;
    near("entropy", divergence_entropy(p, 8), 1.137748129295, 1e-9);
    near("entropy", divergence_entropy(even, 8), 2.079441541680, 1e-9);
    assert_true(divergence_entropy(sure, 3) == 0);
}

static void wasserstein(void **state)
{
    (void)state;
    static const double a[] = {0, 1, 3}, b[] = {5, 6, 8}, ends[] = {0, 1}, some[] = {3, 1}, even[] = {2, 2};
    static const double none[] = {0, 0};
    near("samples",
         divergence_wasserstein(&(struct weighted_values){a, NULL, 3}, &(struct weighted_values){b, NULL, 3}),
         5, 1e-12);
    near("weights",
         divergence_wasserstein(&(struct weighted_values){ends, some, 2},
                                &(struct weighted_values){ends, even, 2}),
         0.25, 1e-12);
    // A half of {0, 1, 3} at each of 0 and 3: what is at 1 goes half to either end.
    static const double outer[] = {0, 3};
    near("unequal sizes",
         divergence_wasserstein(&(struct weighted_values){a, NULL, 3},
                                &(struct weighted_values){outer, NULL, 2}),
         (1.0 + 2.0) / 6, 1e-12);
    assert_true(isnan(divergence_wasserstein(&(struct weighted_values){ends, none, 2},
                                             &(struct weighted_values){ends, even, 2})));
    assert_true(isnan(divergence_wasserstein(&(struct weighted_values){NULL, NULL, 0},
                                             &(struct weighted_values){ends, even, 2})));
}

// Two samples: G of R's chi-square with the likelihood ratio, here from its definition in plain logarithms:
// {30, 10} and {20, 20} of 80: 2 (30 ln(30/25) + 10 ln(10/15) + 20 ln(20/25) + 20 ln(20/15)).
static void g_tests(void **state)
{
    (void)state;
    static const double q[] = {.178, .508, .131, .034, .104, .009, .010, .026};
    static const int64_t seen[] = {60, 240, 66, 15, 70, 6, 4, 19};
    struct g_test known = divergence_g_known(seen, q, 8);
    near("G", known.g, 19.612101072931, 1e-9);
    near("degrees of freedom", known.df, 7, 0);
    near("p", known.p, 0.00647139086231, 1e-9);

    static const int64_t a[] = {30, 0, 10}, b[] = {20, 0, 20}, nothing[] = {0, 0, 0};
    struct g_test two = divergence_g_two_samples(a, b, 3);
    near("G", two.g, 2 * (30 * log(30 / 25.) + 10 * log(10 / 15.) + 20 * log(20 / 25.) + 20 * log(20 / 15.)),
         1e-12);
    near("degrees of freedom", two.df, 1, 0);
    near("p", two.p, erfc(sqrt(two.g / 2)), 1e-9); // one degree of freedom: the normal tails
    assert_true(divergence_g_two_samples(a, nothing, 3).p == 1);
    assert_true(divergence_g_known(nothing, q, 3).p == 1);
    assert_true(divergence_g_known(a, (double[]){1}, 1).p == 1);
}

static void adjusted(void **state)
{
    (void)state;
    static const double p[] = {.074, .001, .039, .205, .041, .042, .008, .06};
    static const double discoveries[] = {.0845714285714, .008, .0672, .205, .0672, .0672, .032, .08};
    static const double holm[] = {.234, .008, .234, .234, .234, .234, .056, .234};
    double found[8];
    adjust_false_discovery_rate(p, 8, found);
    for (int i = 0; i < 8; i++)
        near("Benjamini and Hochberg", found[i], discoveries[i], 1e-9);
    adjust_holm(p, 8, found);
    for (int i = 0; i < 8; i++)
        near("Holm", found[i], holm[i], 1e-9);
    adjust_holm(NULL, 0, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_of_shares), cmocka_unit_test(priors),  cmocka_unit_test(entropies),
        cmocka_unit_test(wasserstein),         cmocka_unit_test(g_tests), cmocka_unit_test(adjusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
