// explore.h: what a data set holds, before anybody trains on it: explore.html for people, explore.json
// ("skinsight.exploration.v1", docs/FORMATS.md) for programs.
#ifndef SKINSIGHT_TRAINER_EXPLORE_H
#define SKINSIGHT_TRAINER_EXPLORE_H

#include "common/program/config.h"
#include "trainer/dataset.h"

enum { EXPLORE_SAMPLES = 8, EXPLORE_MOST_SIZES = 12, EXPLORE_DECADES = 11, EXPLORE_MOST_COMPLAINTS = 200 };

struct exploration {
    size_t images[DATASET_PARTS][LESION_CLASSES];
    size_t class_images[LESION_CLASSES], class_lesions[LESION_CLASSES];
    size_t lesions;   // different lesion_ids; images without one count each
    double imbalance; // images of the largest class over those of the smallest that has any
    struct {
        int width, height;
        size_t count;
    } sizes[EXPLORE_MOST_SIZES];     // the most frequent first
    size_t other_sizes;              // images of other sizes
    size_t ages[EXPLORE_DECADES][2]; // 0-9 ... 100 and more; others, malignant
    size_t ages_unknown;
};

void explore_dataset(const struct dataset *dataset, struct exploration *exploration);

// The subcommand `explore`.
extern const struct option explore_flags[];
enum status explore_command(struct config *config, struct error *err) MUST_CHECK;

#endif
