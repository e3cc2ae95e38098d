// verdict.h: what the labels of one image say together. Pure; the order in which they are added changes
// nothing.
//
// The strongest certainty wins, then the latest review. Labels that tie there and differ are a conflict,
// which nobody learns from. Of labels that tie and agree the one with the least feedback_id speaks.
#ifndef SKINSIGHT_COMMON_RECORDS_VERDICT_H
#define SKINSIGHT_COMMON_RECORDS_VERDICT_H

#include <stdbool.h>

#include "common/records/feedback.h"

// One label that holds: neither withdrawn nor in doubt for another reason.
struct opinion {
    char feedback_id[JOB_REQUEST_ID_SIZE];
    int label;     // enum lesion_class or enum feedback_label
    int certainty; // enum certainty
    int64_t reviewed_at;
};

struct verdict {
    struct opinion best; // of those added so far
    unsigned labels;     // bits of the labels that tie with it; 0: none was added
};

void verdict_init(struct verdict *verdict);
// True: the opinion speaks for the image now, until another one takes its place.
bool verdict_add(struct verdict *verdict, const struct opinion *opinion);
bool verdict_is_conflict(const struct verdict *verdict);

#endif
