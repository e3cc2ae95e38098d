// checkpoint.h: a training that can be left at any moment and gone on with, bit for bit.
//
// The folder holds blocks of floats and, written last, checkpoint.json, which names them with their digests
// ("skinsight.checkpoint.v1"). A crash leaves the old checkpoint or the new one: blocks have the number of
// steps in their names, and those that the new file doesn't name are removed after it is there. Numbers that
// the training goes on with stand in it as C's hexadecimal floats, exact.
//
// A block's file: "SSBLOCK1", the count of floats as 8 bytes, the floats; all little-endian.
// Main thread.
#ifndef SKINSIGHT_TRAINER_CHECKPOINT_H
#define SKINSIGHT_TRAINER_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "trainer/history.h"

enum {
    CHECKPOINT_MOST_BYTES = 8 << 20, // of checkpoint.json
    CHECKPOINT_NAME_SIZE = 64,
    CHECKPOINT_RECIPE_SIZE = 4096,
};

enum checkpoint_part {
    CHECKPOINT_PARAMETERS,
    CHECKPOINT_FIRST,
    CHECKPOINT_SECOND,
    CHECKPOINT_BEST,
    CHECKPOINT_AVERAGE, // where the training keeps one
    CHECKPOINT_PARTS
};

struct checkpoint {
    // What the training is; it is gone on with only as that.
    char build[CHECKPOINT_NAME_SIZE], architecture[CHECKPOINT_NAME_SIZE];
    int image_size;
    struct digest data;
    char recipe[CHECKPOINT_RECIPE_SIZE]; // lines "name=value" of what decides the result
    // Where it stands: the next batch.
    int epoch;
    int64_t batch, steps;
    double loss_sum; // of the epoch's images so far
    double seconds;  // that the epoch has taken so far
    int waiting;     // epochs without a better one
    struct {
        char file[CHECKPOINT_NAME_SIZE]; // empty: none
        struct digest sha256;
    } parts[CHECKPOINT_PARTS];
    int64_t values; // of each block
    struct history history;
};

// One block as a file of the folder, named for the part and checkpoint->steps; fills in its row of parts.
// FATAL: it can't be written.
enum status checkpoint_write_block(const char *folder, struct checkpoint *checkpoint,
                                   enum checkpoint_part part, const float *values,
                                   struct error *err) MUST_CHECK;
// The file that makes the blocks a checkpoint; then removes what it doesn't name. FATAL: the one before still
// holds.
enum status checkpoint_write(const char *folder, const struct checkpoint *checkpoint,
                             struct error *err) MUST_CHECK;

// Whether there is one.
bool checkpoint_exists(const char *folder);
// REJECTED names the file and what is wrong; FATAL: it can't be read.
enum status checkpoint_read(const char *folder, struct checkpoint *checkpoint, struct error *err) MUST_CHECK;
enum status checkpoint_parse(struct bytes json, struct checkpoint *checkpoint, struct error *err) MUST_CHECK;
// values: checkpoint->values floats. REJECTED: the file is damaged.
enum status checkpoint_read_block(const char *folder, const struct checkpoint *checkpoint,
                                  enum checkpoint_part part, float *values, struct error *err) MUST_CHECK;

// REJECTED where the checkpoint is of another training than `wanted` (build, architecture, image_size, data
// and recipe are read); the sentence says what differs and the way out.
enum status checkpoint_check(const struct checkpoint *checkpoint, const struct checkpoint *wanted,
                             bool any_build, struct error *err) MUST_CHECK;

#endif
