// effects.c: sums of squares over groups, and which of the two figures holds.
#include "monitor/drift/effects.h"

#include <math.h>

#include "common/statistics/special.h"

#define ROUNDING 1e-9

#define SURE 0.01 // of days that vary as visits explain, this share is taken for days that vary more

// A squared distance from what a group of this size is expected to have, over the variance of one answer; a
// class mix is the mean of its `degrees`.
struct distance {
    double square, size, degrees;
};

static struct distance of_classes(const struct drift_output *all, const struct drift_output *group)
{
    struct distance distance = {.size = (double)group->n};
    for (int i = 0; i < LESION_CLASSES; i++) {
        double share = (double)all->classes[i] / (double)all->n;
        if (share > 0) {
            distance.square += pow((double)group->classes[i] - distance.size * share, 2) / share;
            distance.degrees++;
        }
    }
    distance.square /= --distance.degrees;
    return distance;
}

static struct distance of_mean(const struct drift_output *all, const struct drift_output *group,
                               enum drift_mean mean)
{
    double n = (double)all->n, expected = all->sums[mean] / n, size = (double)group->n;
    double variance = all->squares[mean] / n - expected * expected;
    if (variance < ROUNDING * expected * expected)
        variance = NAN; // it is always the same
    return (struct distance){pow(group->sums[mean] - size * expected, 2) / variance, size, 1};
}

static struct distance of_rate(const struct drift_output *all, const struct drift_output *group,
                               enum drift_rate rate)
{
    double share = (double)all->events[rate] / (double)all->trials[rate], size = (double)group->trials[rate];
    double square = pow((double)group->events[rate] - size * share, 2) / (share * (1 - share));
    return (struct distance){square, size, 1};
}

static struct distance distance_of(const struct drift_output *all, const struct drift_output *group,
                                   enum drift_chart_kind kind)
{
    switch (kind) {
    case CHART_CLASS_MIX:
        return of_classes(all, group);
    case CHART_ENTROPY:
        return of_mean(all, group, MEAN_ENTROPY);
    case CHART_CONFIDENCE:
        return of_mean(all, group, MEAN_CONFIDENCE);
    default:
        return of_rate(all, group, (enum drift_rate)(kind - CHART_URGENT));
    }
}

void drift_groups_add(struct drift_groups *groups, const struct drift_output *group)
{
    for (int i = 0; i < DRIFT_CHARTS; i++) {
        struct distance distance = distance_of(groups->all, group, (enum drift_chart_kind)i);
        if (distance.size > 0) {
            groups->squares[i] += distance.square;
            groups->by_size[i] += distance.square / distance.size;
            groups->counts[i]++;
        }
    }
}

void drift_effects_find(const struct drift_groups *visits, const struct drift_groups *days,
                        double effects[DRIFT_CHARTS])
{
    for (int i = 0; i < DRIFT_CHARTS; i++) {
        struct distance all = distance_of(visits->all, visits->all, (enum drift_chart_kind)i);
        double by_visit = fmax(1, visits->squares[i] / all.size), free = (double)days->counts[i] - 1;
        effects[i] = isfinite(by_visit) ? by_visit : 1; // else nothing varies
        double chi_square = all.degrees * days->by_size[i] / effects[i];
        if (free > 0 && special_chi_square_tail(chi_square, all.degrees * free) < SURE)
            effects[i] = days->by_size[i] / free;
    }
}
