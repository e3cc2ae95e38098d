// quantise.h: makes a calibrated model directory from another one: weights that int8 rounds less
// (smoothing.h), and how well each precision of this machine agrees with fp32 (agreement.h): every second
// image of a folder decides the weights, the others are judged. fp32 and bf16 answer with the same bits as
// before.
#ifndef SKINSIGHT_TRAINER_QUANTISE_H
#define SKINSIGHT_TRAINER_QUANTISE_H

#include "common/base/status.h"
#include "common/program/config.h"
#include "common/program/progress.h"
#include "kernels/model/agreement.h"

enum { QUANTISE_LEAST_IMAGES = 32, QUANTISE_MOST_IMAGES = 10000 };

struct quantise_options {
    const char *model;                                     // directory
    const char *images;                                    // folder of JPEGs
    const char *directory;                                 // to make; may exist, but not as a model
    const char *backend;                                   // to measure on: "cpu" or "cuda"
    int most_images;                                       // taken evenly from the folder's sorted names
    int threads;                                           // 0: every core
    struct progress *progress;                             // drawn as the work goes on; NULL: none
    void (*complain)(void *context, const char *sentence); // of an image that can't be read
    void *complain_context;
};

// REJECTED: an image is missing or too few can be read, or there is nothing to quantise; nothing is written
// then.
enum status quantise_model(const struct quantise_options *options, struct calibration *result,
                           struct error *err) MUST_CHECK;

// The subcommand `quantise`.
extern const struct option quantise_flags[];
enum status quantise_command(struct config *config, struct error *err) MUST_CHECK;

#endif
