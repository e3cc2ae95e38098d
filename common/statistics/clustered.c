// clustered.c: Kish's design effect with the correlation of an analysis of variance.
#include "common/statistics/clustered.h"

#include <math.h>

static double square(double value)
{
    return value * value;
}

// Sums over the clusters that have trials.
struct sums {
    double trials, successes, clusters, squares; // squares: of the clusters' trials
};

static struct sums sum_up(const struct share *clusters, size_t count)
{
    struct sums sums = {0};
    for (size_t i = 0; i < count; i++) {
        double trials = (double)clusters[i].trials;
        sums.trials += trials;
        sums.successes += (double)clusters[i].successes;
        sums.clusters += trials > 0;
        sums.squares += square(trials);
    }
    return sums;
}

// Mean squares between and within the clusters; the size that stands for all of them in their expectations.
static double correlation_within(const struct share *clusters, size_t count, const struct sums *sums)
{
    double between = 0, within = 0, all = sums->successes / sums->trials;
    if (sums->clusters < 2 || sums->successes == 0 || sums->successes == sums->trials)
        return 1;
    for (size_t i = 0; i < count; i++) {
        double trials = (double)clusters[i].trials, successes = (double)clusters[i].successes;
        if (trials == 0)
            continue;
        between += trials * square(successes / trials - all);
        within += successes * (trials - successes) / trials;
    }
    between /= sums->clusters - 1;
    within /= sums->trials - sums->clusters;
    double size = (sums->trials - sums->squares / sums->trials) / (sums->clusters - 1);
    return fmin(1, fmax(0, (between - within) / (between + (size - 1) * within)));
}

double design_effect(const struct share *clusters, size_t count)
{
    struct sums sums = sum_up(clusters, count);
    if (sums.trials == sums.clusters) // also where there is none
        return 1;
    return 1 + (sums.squares / sums.trials - 1) * correlation_within(clusters, count, &sums);
}

struct interval interval_wilson_clustered(const struct share *clusters, size_t count, double level)
{
    struct sums sums = sum_up(clusters, count);
    double effect = design_effect(clusters, count);
    return interval_wilson_of(sums.successes / effect, sums.trials / effect, level);
}
