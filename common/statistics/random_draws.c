// random_draws.c: normal ones by the inverse of the distribution; binomial ones by inversion where few are
// expected, otherwise by transformed rejection (Hoermann 1993, BTRS), which takes two uniform ones as a rule.
#include "common/statistics/random_draws.h"

#include <math.h>

#include "common/statistics/special.h"

double random_draws_uniform(struct random_draws *draws)
{
    // 52 bits and a half: with 53 the greatest would be rounded to 1.
    return ((double)(counter_random_bits(&draws->stream, draws->next++) >> 12) + 0.5) * 0x1p-52;
}

double random_draws_normal(struct random_draws *draws)
{
    return special_normal_quantile(random_draws_uniform(draws));
}

// Walks up the distribution. n p is small.
static double by_inversion(struct random_draws *draws, double n, double p)
{
    double u = random_draws_uniform(draws), k = 0, odds = p / (1 - p), mass = pow(1 - p, n);
    while (u > mass && k < n) {
        u -= mass;
        k++;
        mass *= odds * (n - k + 1) / k;
    }
    return k;
}

static double log_factorial(double k)
{
    int sign;
    return lgamma_r(k + 1, &sign);
}

// p <= 1/2 and n p >= 10. The constants are Hoermann's.
static double by_rejection(struct random_draws *draws, double n, double p)
{
    double sd = sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * sd, a = -0.0873 + 0.0248 * b + 0.01 * p;
    double mode = floor((n + 1) * p), log_odds = log(p / (1 - p));
    for (;;) {
        double u = random_draws_uniform(draws) - 0.5, v = random_draws_uniform(draws);
        double from_edge = 0.5 - fabs(u), k = floor((2 * a / from_edge + b) * u + n * p + 0.5);
        if (from_edge >= 0.07 && v <= 0.92 - 4.2 / b)
            return k;
        if (k < 0 || k > n)
            continue;
        v = log(v * (2.83 + 5.1 / b) * sd / (a / (from_edge * from_edge) + b));
        if (v <= log_factorial(mode) + log_factorial(n - mode) - log_factorial(k) - log_factorial(n - k) +
                     (k - mode) * log_odds)
            return k;
    }
}

int64_t random_draws_binomial(struct random_draws *draws, int64_t n, double p)
{
    if (n == 0 || p <= 0)
        return 0;
    if (p > 0.5)
        return n - random_draws_binomial(draws, n, 1 - p);
    double of = (double)n;
    return (int64_t)(of * p < 10 ? by_inversion(draws, of, p) : by_rejection(draws, of, p));
}

void random_draws_multinomial(struct random_draws *draws, int64_t n, const double *shares, size_t classes,
                              int64_t *counts)
{
    double rest = 1;
    for (size_t i = 0; i < classes; i++) {
        double of_rest = i + 1 == classes || shares[i] >= rest ? 1 : shares[i] / rest;
        counts[i] = random_draws_binomial(draws, n, of_rest);
        n -= counts[i];
        rest -= shares[i];
    }
}
