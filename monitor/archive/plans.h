// plans.h: comparisons of two models as they were planned, before they began. A plan is a row that the
// database lets nobody change. It has a place of its own among what reports may know (archive_as_of), so that
// a report that is made again knows the plans that it knew, and no later one. Retention leaves plans alone.
// One thread at a time, the archive's.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_PLANS_H
#define SKINSIGHT_MONITOR_ARCHIVE_PLANS_H

#include "monitor/archive/archive.h"

enum { ARCHIVE_PLAN_ID_SIZE = 33 };

struct archive_plan {
    char name[JOB_TOKEN_SIZE]; // of no other plan
    char model_a[JOB_TOKEN_SIZE], model_b[JOB_TOKEN_SIZE];
    char id[ARCHIVE_PLAN_ID_SIZE]; // begins the digest of all that was planned
    int64_t registered_at;         // Unix ms
    bool paired;                   // the same images; else each patient is one model's
    double share_b;                // of the patients that b gets; of pairs 0
    double p0, p1;                 // sensitivities to melanoma
    double worse;                  // of pairs: share of the melanomas that a alone finds; else 0
    double margin, alpha, power_wanted, power;
    int64_t n_a, n_b; // melanomas; of pairs: n_a alone
    int64_t looks;    // of pairs 0: at any time
    int64_t number;   // of the plans for these two models, from 1; archive_find_plan fills it
};

// REJECTED: there is a plan of that name.
enum status archive_add_plan(struct archive *archive, const struct archive_plan *plan,
                             struct error *err) MUST_CHECK;
// The newest plan for these two models that may be known. as_of NULL: everything there is.
enum status archive_find_plan(struct archive *archive, const char *model_a, const char *model_b,
                              const struct archive_as_of *as_of, struct archive_plan *plan, bool *found,
                              struct error *err) MUST_CHECK;

// Of the pairs of models that were planned last, the newest plan of each, at most `most` (number is 0).
enum status archive_newest_plans(struct archive *archive, struct archive_plan *plans, size_t most,
                                 size_t *count, struct error *err) MUST_CHECK;

#endif
