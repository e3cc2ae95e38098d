// compare.c: divergences and tests of each feature.
#include "monitor/drift/compare.h"

#include <math.h>
#include <string.h>

#include "common/statistics/divergence.h"
#include "common/statistics/multiple_tests.h"
#include "common/statistics/special.h"

static int64_t widen(const int32_t *counts, int bins, int64_t wide[DRIFT_CATEGORY_BINS])
{
    int64_t sum = 0;
    for (int i = 0; i < bins; i++)
        sum += wide[i] = counts[i];
    return sum;
}

static void distances(const double *p, const double *q, int bins, struct drift_difference *difference)
{
    difference->kl = divergence_kl(p, q, (size_t)bins);
    difference->js = divergence_js(p, q, (size_t)bins);
    difference->psi = divergence_psi(p, q, (size_t)bins);
}

// ---- Wasserstein's distance of numbers ----

// The bins that are not empty, each at its mean; returns how many.
static size_t bin_means(const struct drift_tally *tally, int number, double *values, double *weights)
{
    size_t count = 0;
    for (int i = 0; i < DRIFT_NUMBER_BINS; i++)
        if (tally->counts[number][i] > 0) {
            values[count] = tally->sums[number][i] / tally->counts[number][i];
            weights[count++] = tally->counts[number][i];
        }
    return count;
}

static double standard_deviation(const struct drift_tally *tally, int number)
{
    double n = 0, sum = 0;
    for (int i = 0; i < DRIFT_NUMBER_BINS; i++) {
        n += tally->counts[number][i];
        sum += tally->sums[number][i];
    }
    return sqrt(fmax(0, tally->squares[number] / n - (sum / n) * (sum / n)));
}

static double moved(const struct drift_tally *window, const struct drift_tally *reference, int number)
{
    double p[2][DRIFT_NUMBER_BINS], q[2][DRIFT_NUMBER_BINS];
    struct weighted_values now = {p[0], p[1], bin_means(window, number, p[0], p[1])};
    struct weighted_values then = {q[0], q[1], bin_means(reference, number, q[0], q[1])};
    double spread = standard_deviation(reference, number);
    return spread > 0 ? divergence_wasserstein(&now, &then) / spread : NAN;
}

// ---- features ----

static const struct drift_difference nothing = {.kl = NAN,
                                                .js = NAN,
                                                .psi = NAN,
                                                .w1 = NAN,
                                                .tvd = NAN,
                                                .greatest = NAN,
                                                .g = NAN,
                                                .p = NAN,
                                                .adjusted = NAN};

static int64_t unseen_of(const struct drift_bins *bins, int feature, const int64_t *counts)
{
    int count = drift_bin_count(bins, feature);
    if (feature < DRIFT_NUMBERS)
        return counts[0] + counts[count - 1];
    return bins->complete[feature - DRIFT_NUMBERS] ? counts[count - 1] : 0;
}

// Bins in which the window can be expected to have fewer than five are one bin: the law of chi-square, which
// p is read from, does not hold below. Returns how many are left.
static size_t pool(int64_t *now, int64_t *then, int bins, int64_t n, int64_t known)
{
    size_t kept = 1; // the first is the pool
    int64_t pooled_now = 0, pooled_then = 0, left_now[DRIFT_CATEGORY_BINS + 1],
            left_then[DRIFT_CATEGORY_BINS + 1];
    for (int i = 0; i < bins; i++)
        if ((double)(now[i] + then[i]) * (double)n < 5.0 * (double)(n + known)) {
            pooled_now += now[i];
            pooled_then += then[i];
        } else {
            left_now[kept] = now[i];
            left_then[kept++] = then[i];
        }
    left_now[0] = pooled_now;
    left_then[0] = pooled_then;
    memcpy(now, left_now, kept * sizeof *now);
    memcpy(then, left_then, kept * sizeof *then);
    return kept;
}

// The test alone: what the many looks of a simulation need.
static struct drift_difference tested(const struct drift_tally *window, const struct drift_tally *reference,
                                      const struct drift_bins *bins, int feature)
{
    int64_t now[DRIFT_CATEGORY_BINS + 1], then[DRIFT_CATEGORY_BINS + 1];
    int count = drift_bin_count(bins, feature);
    struct drift_difference difference = nothing;
    difference.n = widen(window->counts[feature], count, now);
    int64_t known = widen(reference->counts[feature], count, then);
    difference.unseen = unseen_of(bins, feature, now);
    difference.insufficient = difference.n < DRIFT_LEAST || known < DRIFT_LEAST;
    if (difference.insufficient)
        return difference;
    size_t left = pool(now, then, count, difference.n, known);
    struct g_test test = divergence_g_two_samples(now, then, left);
    difference.g = test.g / bins->effects[feature];
    difference.p = test.df > 0 ? special_chi_square_tail(difference.g, test.df) : 1;
    return difference;
}

static struct drift_difference counted(const struct drift_tally *window, const struct drift_tally *reference,
                                       const struct drift_bins *bins, int feature)
{
    int64_t now[DRIFT_CATEGORY_BINS], then[DRIFT_CATEGORY_BINS];
    double p[DRIFT_CATEGORY_BINS], q[DRIFT_CATEGORY_BINS];
    int count = drift_bin_count(bins, feature);
    struct drift_difference difference = tested(window, reference, bins, feature);
    if (difference.insufficient)
        return difference;
    widen(window->counts[feature], count, now);
    widen(reference->counts[feature], count, then);
    divergence_shares(now, (size_t)count, DIVERGENCE_PRIOR, p);
    divergence_shares(then, (size_t)count, DIVERGENCE_PRIOR, q);
    distances(p, q, count, &difference);
    if (feature < DRIFT_NUMBERS) {
        difference.w1 = moved(window, reference, feature);
    } else {
        difference.tvd = divergence_total_variation(p, q, (size_t)count);
        difference.greatest = divergence_greatest(p, q, (size_t)count);
    }
    return difference;
}

// How many pictures have this histogram, as the shares of each sum to 1.
static double pictures_of(const struct drift_tally *tally, int channel)
{
    double sum = 0;
    for (int i = 0; i < FEATURES_BINS; i++)
        sum += tally->histograms[channel][i];
    return round(sum);
}

static struct drift_difference histogram(const struct drift_tally *window,
                                         const struct drift_tally *reference, int channel)
{
    struct drift_difference difference = nothing;
    double p[FEATURES_BINS], q[FEATURES_BINS];
    double n = pictures_of(window, channel), known = pictures_of(reference, channel);
    double half = FEATURES_BINS * DIVERGENCE_PRIOR;
    difference.n = (int64_t)n;
    difference.insufficient = n < DRIFT_LEAST || known < DRIFT_LEAST;
    if (difference.insufficient)
        return difference;
    for (int i = 0; i < FEATURES_BINS; i++) {
        p[i] = (window->histograms[channel][i] + DIVERGENCE_PRIOR) / (n + half);
        q[i] = (reference->histograms[channel][i] + DIVERGENCE_PRIOR) / (known + half);
    }
    distances(p, q, FEATURES_BINS, &difference);
    return difference;
}

// Over those that have a p; others stay NaN.
static void adjust(struct drift_difference differences[DRIFT_COUNTED])
{
    double p[DRIFT_COUNTED];
    size_t count = 0;
    for (int i = 0; i < DRIFT_COUNTED; i++)
        if (!isnan(differences[i].p))
            p[count++] = differences[i].p;
    adjust_false_discovery_rate(p, count, p);
    count = 0;
    for (int i = 0; i < DRIFT_COUNTED; i++)
        if (!isnan(differences[i].p))
            differences[i].adjusted = p[count++];
}

void drift_compare(const struct drift_tally *window, const struct drift_tally *reference,
                   const struct drift_bins *bins, struct drift_difference differences[DRIFT_FEATURES])
{
    for (int i = 0; i < DRIFT_COUNTED; i++)
        differences[i] = counted(window, reference, bins, i);
    for (int i = 0; i < DRIFT_HISTOGRAMS; i++)
        differences[DRIFT_COUNTED + i] = histogram(window, reference, i);
    adjust(differences);
}

double drift_number_kl(const struct drift_tally *window, const struct drift_tally *reference, int number)
{
    int64_t now[DRIFT_CATEGORY_BINS], then[DRIFT_CATEGORY_BINS];
    double p[DRIFT_NUMBER_BINS], q[DRIFT_NUMBER_BINS];
    if (widen(window->counts[number], DRIFT_NUMBER_BINS, now) == 0 ||
        widen(reference->counts[number], DRIFT_NUMBER_BINS, then) == 0)
        return NAN;
    divergence_shares(now, DRIFT_NUMBER_BINS, DIVERGENCE_PRIOR, p);
    divergence_shares(then, DRIFT_NUMBER_BINS, DIVERGENCE_PRIOR, q);
    return divergence_kl(p, q, DRIFT_NUMBER_BINS);
}

double drift_least_p(const struct drift_tally *window, const struct drift_tally *reference,
                     const struct drift_bins *bins)
{
    struct drift_difference differences[DRIFT_COUNTED];
    double least = NAN;
    for (int i = 0; i < DRIFT_COUNTED; i++)
        differences[i] = tested(window, reference, bins, i);
    adjust(differences);
    for (int i = 0; i < DRIFT_COUNTED; i++)
        least = fmin(least, differences[i].adjusted); // fmin leaves NaN out
    return least;
}
