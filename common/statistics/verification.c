// verification.c: Begg and Greenes' correction: the share of diseased among the verified of each group stands
// for the whole group. Specificity is the sensitivity of the opposite answer for being healthy.
#include "common/statistics/verification.h"

#include <math.h>

#include "common/statistics/special.h"

// A group seen for one outcome: those verified with it, all verified, all.
struct group {
    double with, verified, all;
};

static struct group group_of(struct verified_group group, double with)
{
    double verified = (double)(group.diseased + group.healthy);
    return (struct group){with, verified, verified + (double)group.unverified};
}

// The share with the outcome; of a group without patients any share is right.
static double share(struct group group)
{
    return group.all == 0 ? 0 : group.with / group.verified;
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

// By the delta method: the split into both groups and the share of each are independent estimates.
static struct interval interval_of(struct group found, struct group missed, double corrected, double level)
{
    double of_found = share(found), of_missed = share(missed);
    double variance = 1 / found.all + 1 / missed.all + (1 - of_found) / (of_found * found.verified) +
                      (1 - of_missed) / (of_missed * missed.verified);
    if (!(corrected > 0 && corrected < 1) || !isfinite(variance))
        return (struct interval){0, 1};
    double centre = log(corrected / (1 - corrected));
    double half = special_normal_quantile((1 + level) / 2) * sqrt(variance);
    return (struct interval){logistic(centre - half), logistic(centre + half)};
}

// found: the group that the outcome should be in, missed: the other one.
static struct verified_share share_of(struct group found, struct group missed, double level)
{
    double in_found = found.all * share(found), in_missed = missed.all * share(missed);
    struct verified_share of = {.naive = found.with / (found.with + missed.with),
                                .corrected = in_found / (in_found + in_missed)};
    of.interval = interval_of(found, missed, of.corrected, level);
    return of;
}

struct verification verification_correct(struct verified_group positive, struct verified_group negative,
                                         double level)
{
    struct group diseased = group_of(positive, (double)positive.diseased);
    struct group missed = group_of(negative, (double)negative.diseased);
    struct group alarmed = group_of(positive, (double)positive.healthy);
    struct group healthy = group_of(negative, (double)negative.healthy);
    struct verification of = {share_of(diseased, missed, level), share_of(healthy, alarmed, level)};
    double found = diseased.all * share(diseased), unverified = (double)negative.unverified;
    of.sensitivity.bounds =
        (struct interval){found / (found + missed.with + unverified), found / (found + missed.with)};
    double alarms = alarmed.all * share(alarmed);
    of.specificity.bounds =
        (struct interval){healthy.with / (healthy.with + alarms),
                          (healthy.with + unverified) / (healthy.with + unverified + alarms)};
    return of;
}
