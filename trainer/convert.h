// convert.h: makes a model directory of half the size from another one: weights in bfloat16, rounded to
// nearest. What was measured of the old weights (temperature, operating point, calibration, reference) does
// not hold for the new ones, and is left out; how they were trained stays.
//
// A model that saw each image as often as any other favours the common classes. With logit_adjustment t the
// answer is as of classes whose frequencies are those of the training part to the power 1 - t: t * log(share
// of a class) is taken from its logit (Menon et al. 2021, post-hoc logit adjustment).
#ifndef SKINSIGHT_TRAINER_CONVERT_H
#define SKINSIGHT_TRAINER_CONVERT_H

#include "common/base/status.h"
#include "common/program/config.h"

struct convert_options {
    const char *model;       // directory, which stays as it is
    const char *directory;   // to make; may exist, but not as a model
    const char *licence;     // of the new directory; empty: as it was
    double logit_adjustment; // 0 to 1; 0: answers as they were
};

// REJECTED: model is none, or directory holds one already; with logit_adjustment, model is adjusted already,
// has no reference to count the classes by, or its network ends without a bias. FATAL: it can't be written.
enum status convert_model(const struct convert_options *options, struct error *err) MUST_CHECK;

// The subcommand `convert`.
extern const struct option convert_flags[];
enum status convert_check(const struct config *config, struct error *err) MUST_CHECK;
enum status convert_command(struct config *config, struct error *err) MUST_CHECK;

#endif
