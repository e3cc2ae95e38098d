// clustered.h: shares of trials that come in clusters, as images of one lesion do: they say less than as many
// independent ones. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_CLUSTERED_H
#define SKINSIGHT_COMMON_STATISTICS_CLUSTERED_H

#include <stddef.h>

#include "common/statistics/interval.h"

// How many times greater the share's variance is than that of as many independent trials (Kish):
// 1 + (m - 1) r, where m is the mean size of the cluster that a trial is in, sum of sizes^2 / trials, and r
// the correlation within clusters by the analysis of variance (Donner 1986), from 0 to 1. Where all trials
// end alike, or all are in one cluster, nothing tells r, and it counts as 1. Clusters without a trial do not
// count. Exactly 1 where each cluster has one trial.
double design_effect(const struct share *clusters, size_t count);

// Wilson's interval with trials / design_effect trials: interval_wilson's own where each cluster has one.
struct interval interval_wilson_clustered(const struct share *clusters, size_t count, double level);

#endif
