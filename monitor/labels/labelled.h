// labelled.h: what is kept of a walk for the figures that need every analysis again: those whose lesion is
// known by now, as numbers without texts, in the order of the walk. One thread.
#ifndef SKINSIGHT_MONITOR_LABELS_LABELLED_H
#define SKINSIGHT_MONITOR_LABELS_LABELLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/records/feedback.h"
#include "monitor/archive/analysis.h"

enum {
    LABELLED_MOST = 300000, // analyses: six years of labels, and 120 MB with what figures need
    LABELLED_VALUES = 52,   // of site or device that are told apart; those behind them are "other"
};

// Values of one text, numbered as they come.
struct labelled_values {
    char *texts[LABELLED_VALUES];
    size_t count;
};

struct labelled {
    int64_t at, reviewed_at; // Unix ms
    uint64_t subject;        // begins the digest of who it is of, or of the request where that isn't known
    float probabilities[LESION_CLASSES];
    uint8_t truth; // enum lesion_class, or FEEDBACK_OTHER
    uint8_t said;  // enum lesion_class
    uint8_t action;
    bool atypical;
    int8_t fitzpatrick_type, age_decade; // -1: unknown
    uint8_t site, device;                // places in the values
};

struct labelled_list {
    struct labelled *rows;
    size_t count, capacity;
    struct labelled_values sites, devices;
};

// Whether somebody has said what the lesion is: no conflict, and no picture that nobody can judge.
bool analysis_is_labelled(const struct analysis *analysis);
// Anything but "monitor": somebody looks at the lesion.
bool action_is_referral(int action);

// Zeros are an empty list. Takes a labelled analysis. REJECTED: there are more than LABELLED_MOST.
enum status labelled_add(struct labelled_list *list, const struct analysis *analysis,
                         struct error *err) MUST_CHECK;
void labelled_release(struct labelled_list *list);

// The beginning of a text's digest. Of an analysis: its subject's or, without one, its
// image's or its request's.
uint64_t text_number(const char *text);
uint64_t analysis_subject(const struct analysis *analysis);

// clusters: (count), numbers 0 .. of the subjects, in no order that matters. Returns how many there are.
size_t clusters_of(const struct labelled *rows, size_t count, uint32_t *clusters);

#endif
