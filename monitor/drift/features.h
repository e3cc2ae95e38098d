// features.h: what drift is looked for in: numbers of a picture, categories that the clinic entered, and the
// histograms of the channels, each a row of a table. And the counts of analyses in the bins of a reference,
// which everything else about drift is computed from.
//
// The pixels of one picture are not independent, so a histogram's divergence has no p-value; the mean of its
// channel is a number of its own, whose bins count pictures.
//
// Pure functions; any thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_FEATURES_H
#define SKINSIGHT_MONITOR_DRIFT_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/archive/analysis.h"

enum { DRIFT_NUMBERS = 8, DRIFT_CATEGORIES = 5, DRIFT_HISTOGRAMS = 3 };
enum {
    DRIFT_COUNTED = DRIFT_NUMBERS + DRIFT_CATEGORIES, // features whose bins count pictures
    DRIFT_FEATURES = DRIFT_COUNTED + DRIFT_HISTOGRAMS,
};
extern const char *const drift_features[DRIFT_FEATURES]; // numbers, then categories, then histograms

// NaN: absent.
double drift_number(int number, const struct analysis *analysis);
enum { DRIFT_NAME_SIZE = 65 };
// Longer names are cut; "unknown": absent.
void drift_category(int category, const struct analysis *analysis, char name[DRIFT_NAME_SIZE]);

// ---- bins ----

enum {
    DRIFT_EDGES = 11,                    // least, nine deciles and greatest of the reference
    DRIFT_NUMBER_BINS = DRIFT_EDGES + 1, // the first and last are guards: beyond all that the reference has
    DRIFT_NAMES_MOST = 50,
    DRIFT_CATEGORY_BINS = DRIFT_NAMES_MOST + 1, // the guard stands behind the last name
};

struct drift_bins {
    double edges[DRIFT_NUMBERS][DRIFT_EDGES]; // ascending; NaN: the reference does not have this number
    int name_counts[DRIFT_CATEGORIES];
    char names[DRIFT_CATEGORIES][DRIFT_NAMES_MOST][DRIFT_NAME_SIZE];
    // The reference had no other names: what the guard counts later has never been seen before.
    bool complete[DRIFT_CATEGORIES];
    // Pictures of one visit are alike: how many times greater than of single pictures the variance of the
    // counts is (Rao and Scott 1981), at least 1.
    double effects[DRIFT_COUNTED];
};

// How many bins a counted feature has, guards included.
int drift_bin_count(const struct drift_bins *bins, int feature);

enum { DRIFT_ABSENT = 255 };
// The bin of each counted feature, or DRIFT_ABSENT.
void drift_places(const struct drift_bins *bins, const struct analysis *analysis,
                  uint8_t places[DRIFT_COUNTED]);

// ---- counts ----

enum drift_rate { RATE_URGENT, RATE_LOW_CONFIDENCE, RATE_FAR, DRIFT_RATES };
extern const char *const drift_rates[DRIFT_RATES]; // "urgent_referral"

#define DRIFT_LOW_CONFIDENCE 0.5  // the answer's probability is below it
#define DRIFT_FAR            0.99 // quantile of the distance from what the model has learnt: above it

enum drift_mean { MEAN_ENTROPY, MEAN_CONFIDENCE, DRIFT_MEANS };

// What the model said.
struct drift_output {
    int64_t n, classes[LESION_CLASSES];
    int64_t abstained;                              // without a chart: a reference's file does not hold it
    double sums[DRIFT_MEANS], squares[DRIFT_MEANS]; // of the entropy in nats, and of the confidence
    int64_t events[DRIFT_RATES], trials[DRIFT_RATES];
    int64_t said[ACTION_COUNT][LESION_CLASSES]; // the classes by the action that was advised with them
};
void drift_output_add(struct drift_output *output, const struct analysis *analysis);
void drift_output_merge(struct drift_output *into, const struct drift_output *from);

struct drift_tally {
    int32_t counts[DRIFT_COUNTED][DRIFT_CATEGORY_BINS];
    double sums[DRIFT_NUMBERS][DRIFT_NUMBER_BINS], squares[DRIFT_NUMBERS];
    double histograms[DRIFT_HISTOGRAMS][FEATURES_BINS]; // sums of shares
    struct drift_output output;
};
// analysis: a prediction, no error.
void drift_tally_add(struct drift_tally *tally, const struct drift_bins *bins,
                     const struct analysis *analysis);
void drift_tally_merge(struct drift_tally *into, const struct drift_tally *from);

#endif
