// training.h: a training run on a version of the data set: this program itself as another process,
//
//     skinsight-trainer train --data DATASET/000003/labels.csv --images DATASET/images
//         --out DATASET/models/000003 RECIPE...
//
// Where --out holds a checkpoint of a run that was stopped it goes on (--resume). The process ends with
// SIGTERM, which saves, when this one ends in whatever way. One at a time. Main thread.
#ifndef SKINSIGHT_TRAINER_LISTEN_TRAINING_H
#define SKINSIGHT_TRAINER_LISTEN_TRAINING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/status.h"

// Zeroed: none runs.
struct training {
    pid_t process;
};

struct training_recipe {
    const char *const *arguments; // of train, but for --data, --images, --out and --resume
    size_t count;
    int lock; // an open descriptor that the process keeps: the data set stays taken until it has ended
};

// What models/VERSION of a training that was begun holds. ended: its model. Where it holds neither a model
// nor a checkpoint it is removed, for `train` takes no folder with something else in it. RETRY: that failed.
enum status training_tidy(const char *dataset, const char *version, bool *ended,
                          struct error *err) MUST_CHECK;
// Whether it can be gone on with.
bool training_has_checkpoint(const char *dataset, const char *version);

// FATAL: no process can be made.
enum status training_start(struct training *training, const char *dataset, const char *version,
                           const struct training_recipe *recipe, struct error *err) MUST_CHECK;
bool training_runs(const struct training *training);
// Whether it has ended by now; code is its exit code, or 128 and the signal.
bool training_ended(struct training *training, int *code);
// Asks it to save and end, and waits until it has. Where none runs it does nothing.
void training_stop(struct training *training);

#endif
