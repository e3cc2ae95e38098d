// two_by_two.c: Fisher's test from the weights of the hypergeometric distribution, which follow from each
// other by ratios, so that nothing is lost in differences of logarithms. The other tests and the power are
// sums over the tables that a test rejects: for each number of successes in a, those with fewer than so many
// in b.
#include "common/statistics/two_by_two.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/special.h"

static const double TIE = 1e-7; // relative: probabilities this near to each other are equal but for rounding

// Successes in a, low .. high, where all successes and the trials are given; weights are relative to the
// likeliest.
struct hypergeometric {
    int64_t low, high;
    double *weights; // [k - low]
};

static struct hypergeometric hypergeometric_of(struct share a, struct share b)
{
    int64_t all = a.successes + b.successes;
    struct hypergeometric of = {all > b.trials ? all - b.trials : 0, all < a.trials ? all : a.trials, NULL};
    of.weights = memory_alloc((size_t)(of.high - of.low + 1) * sizeof *of.weights);
    int64_t mode = (int64_t)((double)(all + 1) * (double)(a.trials + 1) / (double)(a.trials + b.trials + 2));
    mode = mode < of.low ? of.low : mode > of.high ? of.high : mode;
    of.weights[mode - of.low] = 1;
    for (int64_t k = mode; k < of.high; k++)
        of.weights[k + 1 - of.low] = of.weights[k - of.low] * ((double)(a.trials - k) * (double)(all - k)) /
                                     ((double)(k + 1) * (double)(b.trials - all + k + 1));
    for (int64_t k = mode; k > of.low; k--)
        of.weights[k - 1 - of.low] = of.weights[k - of.low] * ((double)k * (double)(b.trials - all + k)) /
                                     ((double)(a.trials - k + 1) * (double)(all - k + 1));
    return of;
}

double fisher_p(struct share a, struct share b, enum alternative alternative)
{
    struct hypergeometric of = hypergeometric_of(a, b);
    double total = 0, chosen = 0, most = of.weights[a.successes - of.low] * (1 + TIE);
    for (int64_t k = of.low; k <= of.high; k++) {
        double weight = of.weights[k - of.low];
        total += weight;
        if (alternative == ALTERNATIVE_GREATER ? k >= a.successes
            : alternative == ALTERNATIVE_LESS  ? k <= a.successes
                                               : weight <= most)
            chosen += weight;
    }
    free(of.weights);
    return chosen / total;
}

// The mean number of successes in a where the odds are exp(log_odds) times as great as in b.
static double mean_at(const struct hypergeometric *of, double log_odds)
{
    double total = 0, sum = 0, greatest = -INFINITY;
    for (int64_t k = of->low; k <= of->high; k++)
        greatest = fmax(greatest, log(of->weights[k - of->low]) + (double)k * log_odds);
    for (int64_t k = of->low; k <= of->high; k++) {
        double weight = exp(log(of->weights[k - of->low]) + (double)k * log_odds - greatest);
        total += weight;
        sum += weight * (double)k;
    }
    return sum / total;
}

double fisher_odds_ratio(struct share a, struct share b)
{
    struct hypergeometric of = hypergeometric_of(a, b);
    double low = -50, high = 50; // of its logarithm
    if (of.low == of.high)
        low = high = NAN;
    else if (a.successes == of.low)
        low = high = -INFINITY;
    else if (a.successes == of.high)
        low = high = INFINITY;
    while (high - low > 1e-13) {
        double middle = (low + high) / 2;
        if (mean_at(&of, middle) < (double)a.successes)
            low = middle;
        else
            high = middle;
    }
    free(of.weights);
    return exp(high);
}

// Tables of this many trials that a test rejects: those with fewer than below[x] successes in b where a has
// x. below never falls.
struct rejected {
    int64_t a, b; // trials
    int64_t *below;
};

// How much a table speaks for a: the less, the more.
typedef double evidence(struct share a, struct share b);

static double fisher_evidence(struct share a, struct share b)
{
    return fisher_p(a, b, ALTERNATIVE_GREATER);
}

static double pooled_evidence(struct share a, struct share b)
{
    double n = (double)a.trials, m = (double)b.trials, all = (double)(a.successes + b.successes) / (n + m);
    double apart = (double)b.successes / m - (double)a.successes / n;
    return apart == 0 ? 0 : apart / sqrt(all * (1 - all) * (1 / n + 1 / m));
}

static struct rejected rejected_tables(evidence *of, int64_t a, int64_t b, double limit)
{
    limit +=
        fabs(limit) * 1e-10; // tables with just as much evidence are rejected too, whatever rounding says
    struct rejected rejected = {a, b, memory_alloc((size_t)(a + 1) * sizeof *rejected.below)};
    int64_t below = 0;
    for (int64_t x = 0; x <= a; x++) {
        while (below <= b && of((struct share){x, a}, (struct share){below, b}) <= limit)
            below++;
        rejected.below[x] = below;
    }
    return rejected;
}

// Numbers of events among n that matter: beyond, all together have less than 1e-30.
struct range {
    int64_t low, high;
};

static struct range likely(int64_t n, double p)
{
    double mean = (double)n * p, reach = 12 * sqrt(mean * (1 - p)) + 40;
    return (struct range){(int64_t)fmax(0, mean - reach), (int64_t)fmin((double)n, mean + reach)};
}

static double probability_rejected(const struct rejected *rejected, double share_a, double share_b)
{
    struct range in_a = likely(rejected->a, share_a), in_b = likely(rejected->b, share_b);
    double sum = 0, of_b = 0;
    int64_t k = in_b.low;
    for (int64_t x = in_a.low; x <= in_a.high; x++) {
        for (; k < rejected->below[x] && k <= in_b.high; k++)
            of_b += special_binomial_pmf((double)k, (double)rejected->b, share_b);
        if (of_b > 0)
            sum += special_binomial_pmf((double)x, (double)rejected->a, share_a) * of_b;
    }
    return sum;
}

// On the scale where a share's spread is the same everywhere, 0 to pi.
static double rejected_at(const struct rejected *rejected, double angle)
{
    double share = (1 - cos(angle)) / 2;
    return probability_rejected(rejected, share, share);
}

static double greatest_between(const struct rejected *rejected, double low, double high)
{
    const double golden = (sqrt(5) - 1) / 2;
    double left = high - golden * (high - low), right = low + golden * (high - low);
    double at_left = rejected_at(rejected, left), at_right = rejected_at(rejected, right);
    while (high - low > 1e-7) {
        if (at_left >= at_right) {
            high = right;
            right = left;
            at_right = at_left;
            at_left = rejected_at(rejected, left = high - golden * (high - low));
        } else {
            low = left;
            left = right;
            at_left = at_right;
            at_right = rejected_at(rejected, right = low + golden * (high - low));
        }
    }
    return fmax(at_left, at_right);
}

// Each hill of the grid that may hold the greatest is climbed. Hills are as wide as a share's spread.
static double worst_share(const struct rejected *rejected)
{
    enum { MOST_POINTS = 1536 };
    double values[MOST_POINTS + 2] = {0}, greatest = 0, found = 0;
    int points = (int)fmin(MOST_POINTS, 128 + 8 * sqrt((double)(rejected->a + rejected->b)));
    double step = M_PI / (points + 1);
    for (int i = 1; i <= points; i++)
        greatest = fmax(greatest, values[i] = rejected_at(rejected, i * step));
    for (int i = 1; i <= points; i++)
        if (values[i] >= 0.98 * greatest && values[i] >= values[i - 1] && values[i] >= values[i + 1])
            found = fmax(found, greatest_between(rejected, (i - 1) * step, (i + 1) * step));
    return fmin(1, found);
}

static double greater_p(evidence *of, struct share a, struct share b)
{
    struct rejected rejected = rejected_tables(of, a.trials, b.trials, of(a, b));
    double p = worst_share(&rejected);
    free(rejected.below);
    return p;
}

static double unconditional_p(evidence *of, struct share a, struct share b, enum alternative alternative)
{
    if (a.trials == 0 || b.trials == 0)
        return 1;
    if (a.trials + b.trials > TWO_BY_TWO_MOST_TRIALS)
        return NAN;
    if (alternative == ALTERNATIVE_GREATER)
        return greater_p(of, a, b);
    if (alternative == ALTERNATIVE_LESS)
        return greater_p(of, b, a);
    return fmin(1, 2 * fmin(greater_p(of, a, b), greater_p(of, b, a)));
}

double boschloo_p(struct share a, struct share b, enum alternative alternative)
{
    return unconditional_p(fisher_evidence, a, b, alternative);
}

double barnard_p(struct share a, struct share b, enum alternative alternative)
{
    return unconditional_p(pooled_evidence, a, b, alternative);
}

double fisher_power(struct true_share a, struct true_share b, double alpha)
{
    if (a.trials + b.trials > TWO_BY_TWO_MOST_TRIALS)
        return NAN;
    struct rejected rejected = rejected_tables(fisher_evidence, a.trials, b.trials, alpha);
    double power = probability_rejected(&rejected, a.share, b.share);
    free(rejected.below);
    return power;
}
