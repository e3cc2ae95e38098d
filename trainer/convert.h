// convert.h: makes a model directory of half the size from another one: weights in bfloat16, rounded to
// nearest. What was measured of the old weights (temperature, operating point, calibration, reference) does
// not hold for the new ones, and is left out; how they were trained stays.
#ifndef SKINSIGHT_TRAINER_CONVERT_H
#define SKINSIGHT_TRAINER_CONVERT_H

#include "common/base/status.h"
#include "common/program/config.h"

struct convert_options {
    const char *model;     // directory, which stays as it is
    const char *directory; // to make; may exist, but not as a model
    const char *licence;   // of the new directory; empty: as it was
};

// REJECTED: model is none, or directory holds one already. FATAL: it can't be written.
enum status convert_model(const struct convert_options *options, struct error *err) MUST_CHECK;

// The subcommand `convert`.
extern const struct option convert_flags[];
enum status convert_check(const struct config *config, struct error *err) MUST_CHECK;
enum status convert_command(struct config *config, struct error *err) MUST_CHECK;

#endif
