// bench_stages.h: what one image costs in each stage of its way from JPEG bytes to logits.
#ifndef SKINSIGHT_WORKER_COMMANDS_BENCH_STAGES_H
#define SKINSIGHT_WORKER_COMMANDS_BENCH_STAGES_H

#include "common/base/status.h"
#include "common/program/config.h"
#include "worker/device/engine.h"

enum bench_stage { BENCH_DECODE, BENCH_RESIZE, BENCH_EMBED, BENCH_BLOCKS, BENCH_HEAD, BENCH_STAGE_COUNT };
extern const char *const bench_stage_names[BENCH_STAGE_COUNT];

struct bench_stages {
    double ms[BENCH_STAGE_COUNT]; // the median of several runs; below 0: this backend doesn't tell
    int width, height;            // of the picture decoded
    size_t jpeg_size;
};

// Decodes and resizes the option image on one core (empty: a made picture of 600 x 450), and runs the
// engine's plan on one image.
enum status bench_stages_measure(struct bench_stages *stages, const struct config *config,
                                 const struct engine *engine, struct error *err) MUST_CHECK;

// Ascending, for medians and percentiles.
void bench_sort(double *values, size_t count);

#endif
