// charts.c: the steps.
#include "monitor/drift/charts.h"

#include <math.h>
#include <string.h>

#include "common/statistics/chi_square.h"
#include "common/statistics/control_chart.h"
#include "common/statistics/numeric.h"
#include "monitor/drift/compare.h"

#define MEAN_SLACK 0.5
#define ODDS_RATIO 1.5

#define PLAIN_SD            2.0
#define PLAIN_CONFIDENCE    0.3
#define PLAIN_MELANOMA_LOW  0.03
#define PLAIN_MELANOMA_HIGH 0.15
#define PLAIN_URGENT_LOW    0.05
#define PLAIN_URGENT_HIGH   0.10

// ---- the baseline ----

void drift_baseline_of(const struct drift_output *output, struct drift_baseline *baseline)
{
    double n = (double)output->n;
    *baseline = (struct drift_baseline){.n = n};
    for (int i = 0; i < LESION_CLASSES; i++)
        baseline->shares[i] = ((double)output->classes[i] + 0.5) / (n + 0.5 * LESION_CLASSES);
    for (int i = 0; i < DRIFT_MEANS; i++) {
        baseline->means[i] = output->sums[i] / n;
        baseline->sds[i] = sqrt(fmax(0, output->squares[i] / n - pow(baseline->means[i], 2)));
    }
    for (int i = 0; i < DRIFT_RATES; i++) {
        baseline->rate_trials[i] = (double)output->trials[i];
        baseline->rates[i] = ((double)output->events[i] + 0.5) / ((double)output->trials[i] + 1);
    }
}

// ---- class mix ----

static double class_mix_next(struct drift_chart *chart, const struct drift_baseline *baseline)
{
    int64_t counts[LESION_CLASSES] = {0};
    if (chart->days < DRIFT_WEEK || baseline->n < DRIFT_LEAST)
        return NAN;
    for (int day = 0; day < DRIFT_WEEK; day++)
        for (int i = 0; i < LESION_CLASSES; i++)
            counts[i] += chart->week[day][i];
    int64_t n = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        n += counts[i];
    return n < DRIFT_LEAST_OF_RATES ? NAN
                                    : chi_square_fit(counts, baseline->shares, LESION_CLASSES, 5).statistic;
}

// ---- CUSUM ----

static double mean_next(struct drift_chart *chart, const struct drift_baseline *baseline,
                        const struct drift_output *day, enum drift_mean mean)
{
    double n = (double)day->n;
    if (baseline->n < DRIFT_LEAST || !(baseline->sds[mean] > 0))
        return NAN;
    if (n > 0) {
        double z = (day->sums[mean] / n - baseline->means[mean]) / baseline->sds[mean] * sqrt(n);
        chart->up = cusum_next(chart->up, z - MEAN_SLACK);
        chart->down = cusum_next(chart->down, -z - MEAN_SLACK);
    }
    return fmax(chart->up, chart->down);
}

static double times_odds(double p, double ratio)
{
    double odds = p / (1 - p) * ratio;
    return odds / (1 + odds);
}

static double rate_next(struct drift_chart *chart, const struct drift_baseline *baseline,
                        const struct drift_output *day, enum drift_rate rate)
{
    double p0 = baseline->rates[rate];
    if (baseline->rate_trials[rate] < DRIFT_LEAST_OF_RATES)
        return NAN;
    struct bernoulli_cusum more = bernoulli_cusum_for(p0, times_odds(p0, ODDS_RATIO));
    struct bernoulli_cusum fewer = bernoulli_cusum_for(p0, times_odds(p0, 1 / ODDS_RATIO));
    chart->up = cusum_next(chart->up, bernoulli_cusum_score(&more, day->events[rate], day->trials[rate]));
    chart->down =
        cusum_next(chart->down, bernoulli_cusum_score(&fewer, day->events[rate], day->trials[rate]));
    return fmax(chart->up, chart->down);
}

double drift_chart_next(struct drift_chart *chart, enum drift_chart_kind kind,
                        const struct drift_baseline *baseline, const struct drift_output *day)
{
    memcpy(chart->week[chart->days++ % DRIFT_WEEK], day->classes, sizeof day->classes);
    switch (kind) {
    case CHART_CLASS_MIX:
        return class_mix_next(chart, baseline);
    case CHART_ENTROPY:
        return mean_next(chart, baseline, day, MEAN_ENTROPY);
    case CHART_CONFIDENCE:
        return mean_next(chart, baseline, day, MEAN_CONFIDENCE);
    case CHART_URGENT:
        return rate_next(chart, baseline, day, RATE_URGENT);
    case CHART_LOW_CONFIDENCE:
        return rate_next(chart, baseline, day, RATE_LOW_CONFIDENCE);
    case CHART_FAR:
        return rate_next(chart, baseline, day, RATE_FAR);
    default:
        return NAN;
    }
}

// ---- looks ----

double drift_looks_next(struct drift_looks *looks, double least_p)
{
    double hits[DRIFT_LOOKS];
    looks->p[looks->count++ % DRIFT_LOOKS] = least_p;
    int count = looks->count < DRIFT_LOOKS ? looks->count : DRIFT_LOOKS;
    if (count < DRIFT_HITS)
        return NAN;
    for (int i = 0; i < count; i++) { // sorted as they come, the least first
        int place = i;
        for (; place > 0 && hits[place - 1] > looks->p[i]; place--)
            hits[place] = hits[place - 1];
        hits[place] = looks->p[i];
    }
    return -log10(fmax(hits[DRIFT_HITS - 1], 1e-300));
}

double drift_looks_run_length(double hit)
{
    // A state is which of the last four looks hit: with two of them, the next hit is the alarm. The lengths
    // obey length(s) = 1 + (1 - hit) length(s with a miss) + hit length(s with a hit), 0 in alarm.
    enum { STATES = 1 << (DRIFT_LOOKS - 1) };
    double matrix[STATES * STATES] = {0}, length[STATES];
    if (!(hit > 0))
        return INFINITY;
    for (int state = 0; state < STATES; state++) {
        int missed = (state << 1) & (STATES - 1), found = missed | 1;
        matrix[state * STATES + state] += 1;
        matrix[state * STATES + missed] -= 1 - hit;
        if (__builtin_popcount((unsigned)state) + 1 < DRIFT_HITS)
            matrix[state * STATES + found] -= hit;
        length[state] = 1;
    }
    return numeric_solve(matrix, length, STATES) ? length[0] : INFINITY;
}

// ---- plain rules ----

static bool outside(double events, double n, double low, double high, double *value, double *limit)
{
    if (n < DRIFT_LEAST_OF_RATES)
        return false;
    *value = events / n;
    *limit = *value < low ? low : high;
    return *value < low || *value > high;
}

// The greatest distance of a class's share of the week from the baseline, in standard deviations.
static bool two_sd(const struct drift_baseline *baseline, const struct drift_plain_day *day, double *value,
                   double *limit)
{
    double n = 0, greatest = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        n += (double)day->week[i];
    if (!day->full || n < DRIFT_LEAST_OF_RATES || baseline->n < DRIFT_LEAST)
        return false;
    for (int i = 0; i < LESION_CLASSES; i++) {
        double share = baseline->shares[i];
        greatest = fmax(greatest, fabs((double)day->week[i] / n - share) / sqrt(share * (1 - share) / n));
    }
    *value = greatest;
    *limit = PLAIN_SD;
    return greatest > PLAIN_SD;
}

bool drift_plain_judge(enum drift_plain_rule rule, const struct drift_baseline *baseline,
                       const struct drift_plain_day *day, double *value, double *limit)
{
    double n = (double)day->day->n;
    *value = *limit = NAN;
    switch (rule) {
    case PLAIN_KL:
        *value = n < DRIFT_LEAST || baseline->n < DRIFT_LEAST ? NAN : day->greatest_kl;
        *limit = DRIFT_PLAIN_KL;
        return *value > DRIFT_PLAIN_KL;
    case PLAIN_TWO_SD:
        return two_sd(baseline, day, value, limit);
    case PLAIN_MELANOMA:
        return outside((double)day->day->classes[LESION_MEL], n, PLAIN_MELANOMA_LOW, PLAIN_MELANOMA_HIGH,
                       value, limit);
    case PLAIN_LOW_CONFIDENCE:
        return outside((double)day->day->events[RATE_LOW_CONFIDENCE], n, 0, PLAIN_CONFIDENCE, value, limit);
    case PLAIN_URGENT:
        return outside((double)day->day->events[RATE_URGENT], n, PLAIN_URGENT_LOW, PLAIN_URGENT_HIGH, value,
                       limit);
    default:
        return false;
    }
}
