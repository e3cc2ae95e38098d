// history.h: what each epoch of a training came to: history.csv for programs, history.html with its curves
// for people. Both are written anew after each epoch.
#ifndef SKINSIGHT_TRAINER_HISTORY_H
#define SKINSIGHT_TRAINER_HISTORY_H

#include "common/base/status.h"

enum { HISTORY_MOST_EPOCHS = 10000 };

struct history_row {
    double train_loss;                                    // mean over the epoch's images
    double validation_loss, validation_balanced_accuracy; // NaN: there is no validation part
    double rate;
    double images_per_s; // of training alone
};

struct history {
    struct history_row rows[HISTORY_MOST_EPOCHS];
    int epochs; // rows that are there
    int best;   // the row of the model that is kept; -1: none yet
};

// The files in the folder. FATAL.
enum status history_write(const struct history *history, const char *folder, const char *title,
                          struct error *err) MUST_CHECK;

#endif
