// divergence.c: distances of distributions. A term with p = 0 is 0, its limit.
#include "common/statistics/divergence.h"

#include <math.h>
#include <stdbool.h>

#include "common/statistics/special.h"

static double sum_of(const int64_t *counts, size_t bins)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++)
        sum += (double)counts[i];
    return sum;
}

void divergence_shares(const int64_t *counts, size_t bins, double prior, double *shares)
{
    double all = sum_of(counts, bins) + (double)bins * prior;
    for (size_t i = 0; i < bins; i++)
        shares[i] = ((double)counts[i] + prior) / all;
}

// p ln(p / q)
static double relative(double p, double q)
{
    return p == 0 ? 0 : p * log(p / q);
}

double divergence_kl(const double *p, const double *q, size_t bins)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++)
        sum += relative(p[i], q[i]);
    return sum;
}

double divergence_js(const double *p, const double *q, size_t bins)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++) {
        double middle = (p[i] + q[i]) / 2;
        sum += relative(p[i], middle) + relative(q[i], middle);
    }
    if (sum < 0) // rounding, where p and q are all but equal
        sum = 0;
    return sqrt(sum / 2 / log(2));
}

double divergence_psi(const double *p, const double *q, size_t bins)
{
    return divergence_kl(p, q, bins) + divergence_kl(q, p, bins);
}

double divergence_total_variation(const double *p, const double *q, size_t bins)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++)
        sum += fabs(p[i] - q[i]);
    return sum / 2;
}

double divergence_greatest(const double *p, const double *q, size_t bins)
{
    double greatest = 0;
    for (size_t i = 0; i < bins; i++)
        greatest = fmax(greatest, fabs(p[i] - q[i]));
    return greatest;
}

double divergence_hellinger(const double *p, const double *q, size_t bins)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++) {
        double apart = sqrt(p[i]) - sqrt(q[i]);
        sum += apart * apart;
    }
    return sqrt(sum / 2);
}

double divergence_entropy(const double *p, size_t bins)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++)
        sum -= relative(p[i], 1);
    return sum;
}

static double weight_of(const struct weighted_values *of, size_t i)
{
    return of->weights ? of->weights[i] : 1;
}

static double total_weight(const struct weighted_values *of)
{
    double sum = 0;
    for (size_t i = 0; i < of->count; i++)
        sum += weight_of(of, i);
    return sum;
}

// The area between both distribution functions, which are steps: from each value to the next of either.
double divergence_wasserstein(const struct weighted_values *p, const struct weighted_values *q)
{
    double all_p = total_weight(p), all_q = total_weight(q);
    if (!(all_p > 0 && all_q > 0))
        return NAN;
    double below_p = 0, below_q = 0, area = 0, last = fmin(p->values[0], q->values[0]);
    for (size_t i = 0, j = 0; i < p->count || j < q->count;) {
        bool from_p = j == q->count || (i < p->count && p->values[i] <= q->values[j]);
        double value = from_p ? p->values[i] : q->values[j];
        area += (value - last) * fabs(below_p / all_p - below_q / all_q);
        last = value;
        if (from_p)
            below_p += weight_of(p, i++);
        else
            below_q += weight_of(q, j++);
    }
    return area;
}

static struct g_test g_test_of(double g, double cells)
{
    struct g_test test = {fmax(0, g), fmax(0, cells - 1), 1};
    if (test.df > 0)
        test.p = special_chi_square_tail(test.g, test.df);
    return test;
}

struct g_test divergence_g_known(const int64_t *counts, const double *q, size_t bins)
{
    double n = sum_of(counts, bins), g = 0;
    for (size_t i = 0; i < bins; i++)
        g += 2 * relative((double)counts[i], n * q[i]);
    return g_test_of(g, (double)bins);
}

struct g_test divergence_g_two_samples(const int64_t *counts, const int64_t *reference, size_t bins)
{
    double of_counts = sum_of(counts, bins), of_reference = sum_of(reference, bins);
    double g = 0, cells = 0;
    if (of_counts == 0 || of_reference == 0)
        return g_test_of(0, 0);
    for (size_t i = 0; i < bins; i++) {
        double both = (double)(counts[i] + reference[i]) / (of_counts + of_reference);
        g += 2 * (relative((double)counts[i], of_counts * both) +
                  relative((double)reference[i], of_reference * both));
        cells += both > 0;
    }
    return g_test_of(g, cells);
}
