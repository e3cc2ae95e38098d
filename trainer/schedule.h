// schedule.h: the learning rate of an epoch: a linear warm-up from a hundredth, then half a cosine to
// nothing. Pure functions.
#ifndef SKINSIGHT_TRAINER_SCHEDULE_H
#define SKINSIGHT_TRAINER_SCHEDULE_H

struct schedule {
    double rate;               // the greatest
    int epochs, warmup_epochs; // 0 <= warm-up < epochs
};

// Of epoch 0 .. epochs - 1, constant within it: warm-up: rate * (0.01 + 0.99 * epoch / warmup_epochs); then
// rate / 2 * (1 + cos(pi * (epoch - warmup_epochs) / (epochs - warmup_epochs))).
double schedule_rate(const struct schedule *schedule, int epoch);

#endif
