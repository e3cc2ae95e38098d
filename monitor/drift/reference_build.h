// reference_build.h: makes a reference from analyses, which pass twice: the first time decides the bins, the
// second time counts in them.
//
//     drift_builder_new -> drift_builder_learn ... -> drift_builder_bins -> drift_builder_count ...
//         -> drift_builder_finish
//
// Keeps the numbers of each analysis until the bins are known, then its bins: simulations draw visits
// from them, so that features and pictures which go together stay together. One thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_REFERENCE_BUILD_H
#define SKINSIGHT_MONITOR_DRIFT_REFERENCE_BUILD_H

#include "monitor/drift/reference.h"

enum { DRIFT_REFERENCE_MOST = 1000000 }; // analyses of one reference
enum { DRIFT_REFERENCE_DAYS_MOST = 3660 };

struct drift_builder;

// from, to: midnights of UTC, at most DRIFT_REFERENCE_DAYS_MOST apart.
struct drift_builder *drift_builder_new(int64_t from, int64_t to);
void drift_builder_free(struct drift_builder *builder); // NULL is allowed

// REJECTED: more than DRIFT_REFERENCE_MOST. Failed analyses count as nothing.
enum status drift_builder_learn(struct drift_builder *builder, const struct analysis *analysis,
                                struct error *err) MUST_CHECK;
void drift_builder_bins(struct drift_builder *builder);
// Of the analyses that were learnt, in any order; others of the time count too, up to the same number.
enum status drift_builder_count(struct drift_builder *builder, const struct analysis *analysis,
                                struct error *err) MUST_CHECK;

// The bins of each analysis, those of one visit (a subject's of one day) together. Both are the builder's.
struct drift_rows {
    size_t count;
    const uint8_t (*places)[DRIFT_COUNTED];
    size_t visit_count;
    const size_t *visits; // where each begins, and the count behind the last
};
// Fills all of the reference but its id, model version, digest and limits. REJECTED: fewer analyses than
// DRIFT_LEAST.
enum status drift_builder_finish(struct drift_builder *builder, struct drift_reference *reference,
                                 struct drift_rows *rows, struct error *err) MUST_CHECK;

#endif
