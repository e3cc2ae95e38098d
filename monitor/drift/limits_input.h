// limits_input.h: the limits of the charts of input: looks at visits that are drawn, whole, from those of
// the reference.
#ifndef SKINSIGHT_MONITOR_DRIFT_LIMITS_INPUT_H
#define SKINSIGHT_MONITOR_DRIFT_LIMITS_INPUT_H

#include "monitor/drift/charts.h"
#include "monitor/drift/reference_build.h"

// Fills the limits of CHART_INPUT, of each stratum's input and of PLAIN_KL, by the reference's own budget and
// seed.
void drift_limits_find_input(struct drift_reference *reference, const struct drift_rows *rows);

// ---- its parts, which tests look at ----

// Each stream draws its visits from a truth of its own: as many of the rows' as there are, with repetition.
struct drift_look_plan {
    const struct drift_reference *reference;
    const struct drift_rows *rows;
    uint64_t seed;
    int streams, looks, pictures; // pictures of a look
    bool shifted;                 // every tenth visit's from a device that nobody has seen
};
// least_p, and greatest_kl unless NULL: (streams * looks), a stream's one after another.
void drift_simulate_looks(const struct drift_look_plan *plan, double *least_p, double *greatest_kl);
// Alarms over all streams, whose charts begin anew after each.
int64_t drift_count_alarms(const struct drift_look_plan *plan, const double *least_p, double limit);

// What a look of a stratum is in the mean, by the volumes of the days of the week. A stratum of at least
// DRIFT_LEAST pictures has looks.
struct drift_look_size {
    double days, pictures;
};
void drift_look_size(const struct drift_reference *reference, const struct drift_stratum *stratum,
                     struct drift_look_size *size);

#endif
