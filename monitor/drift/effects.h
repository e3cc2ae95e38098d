// effects.h: how many times more the counts and sums of what the model says vary than if each answer were
// drawn on its own (design effect), for each chart on daily output.
//
// By visit (a subject's images of one day are alike) the figure is precise, but blind to what else days have
// in common, as a day of the week for moles. By day it sees everything, but of 56 days it is right to a fifth
// only. So it is taken by visit, unless days vary more than that explains. Pure; any thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_EFFECTS_H
#define SKINSIGHT_MONITOR_DRIFT_EFFECTS_H

#include "monitor/drift/features.h"
#include "monitor/drift/limits.h"

// Groups of the answers of `all`, which is borrowed: its visits, or its days.
struct drift_groups {
    const struct drift_output *all;
    double squares[DRIFT_CHARTS]; // of distances from what is expected, over the variance of one answer
    double by_size[DRIFT_CHARTS]; // the same, each over its group's size
    int64_t counts[DRIFT_CHARTS]; // of groups with something to say
};
void drift_groups_add(struct drift_groups *groups, const struct drift_output *group);

// effects: at least 1; 1 also where nothing varies.
void drift_effects_find(const struct drift_groups *visits, const struct drift_groups *days,
                        double effects[DRIFT_CHARTS]);

#endif
