// sampler.h: which images an epoch trains on, in which order. A function of seed and epoch: nothing to store,
// so a run that is resumed in the middle of an epoch goes on in the same order. Pure functions.
#ifndef SKINSIGHT_TRAINER_SAMPLER_H
#define SKINSIGHT_TRAINER_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

enum sampler_kind {
    SAMPLER_WEIGHTED,   // as many draws as images, with replacement: each class equally often on average
    SAMPLER_SHUFFLE,    // each image once
    SAMPLER_SEQUENTIAL, // each image once, in order
};

struct sampler {
    enum sampler_kind kind;
    uint64_t seed;
    const int *labels; // (count)
    size_t count;      // of images, > 0
};

// order: (count) numbers of images, 0 .. count - 1.
void sampler_epoch(const struct sampler *sampler, int epoch, size_t *order);

#endif
