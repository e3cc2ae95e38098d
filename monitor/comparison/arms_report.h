// arms_report.h: the part of a report that compares two models, and what it decides: "b" where the new model
// (b) is not worse overall, better on the lesions that matter, and breaks no guardrail; "a" where b is worse
// or breaks one; "none" where it is neither, and the evidence that was planned is in; else "not_enough". One
// thread.
#ifndef SKINSIGHT_MONITOR_COMPARISON_ARMS_REPORT_H
#define SKINSIGHT_MONITOR_COMPARISON_ARMS_REPORT_H

#include "monitor/archive/plans.h"
#include "monitor/comparison/guardrails.h"
#include "monitor/comparison/paired_arms.h"
#include "monitor/comparison/split_arms.h"
#include "monitor/report/report.h"

enum { GUARDRAILS = 2, ARMS_ATYPICAL_LEAST = 10 };

struct arms_comparison {
    bool is_paired;
    struct arm_pairs pairs;
    struct paired_arms paired; // where it is
    struct split_arms split;   // the latency of paired arms too
    struct guardrail guardrails[GUARDRAILS];
    const char *decision, *reason;
    int64_t began; // Unix ms of b's first answer; -1: it gave none
};
// plan: as registered; NULL: none is.
void arms_compare(const struct arms *arms, const struct archive_plan *plan,
                  struct arms_comparison *comparison);
void arms_comparison_release(struct arms_comparison *comparison);

// Adds "comparison", the chart of the evidence (pairs) or the alarm of the split. a, b: the versions.
enum status arms_comparison_write(const struct arms_comparison *comparison, const char *a, const char *b,
                                  const struct archive_plan *plan, cJSON *document,
                                  struct error *err) MUST_CHECK;

// The part itself (struct report_part).
enum status arms_report(struct archive *archive, const struct report_request *request, cJSON *document,
                        struct error *err) MUST_CHECK;

#endif
