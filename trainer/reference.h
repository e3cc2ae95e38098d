// reference.h: what a model has learnt (kernels/model/ood.h), from labelled images: the class means and the
// covariance from those of its training part, the distances from the validation part. Made at the end of
// `train`, and by the subcommand `reference` for a model that has none. Main thread; the backend has a team
// of its own.
#ifndef SKINSIGHT_TRAINER_REFERENCE_H
#define SKINSIGHT_TRAINER_REFERENCE_H

#include "common/program/config.h"
#include "kernels/backend.h"
#include "kernels/model/model.h"
#include "trainer/dataset.h"

// Fewer validation images say nothing of a 99th percentile. Of a larger part no more are taken: they are
// enough for any covariance, and their embeddings stay below half a gigabyte.
enum { REFERENCE_LEAST_IMAGES = 50, REFERENCE_MOST_IMAGES = 65536 };

struct reference_source {
    struct backend *backend;
    const struct network *network;
    const struct weights *weights;
    const struct preprocessing *preprocessing;
    const struct dataset *dataset;
    size_t most_images;        // of a part, taken evenly; at most REFERENCE_MOST_IMAGES
    struct progress *progress; // NULL: none
    bool (*stop)(void);        // asked between batches; NULL: never
};

struct reference_result {
    struct ood_reference *reference; // the caller's; NULL: stopped
    size_t images[DATASET_PARTS];    // that were taken; of the test part none
    double shrinkage;                // reference_fit.h
};

// REJECTED: too few images, or none of a class that the training part has; one that can't be read, or
// embeddings that do not differ. FATAL: no memory, the device is lost.
enum status reference_from_data(const struct reference_source *source, struct reference_result *result,
                                struct error *err) MUST_CHECK;

// The subcommand `reference`.
extern const struct option reference_flags[];
enum status reference_command(struct config *config, struct error *err) MUST_CHECK;

#endif
