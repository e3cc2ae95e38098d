// streams.h: purposes of the trainer's streams of random numbers, so that no two of one seed are the same.
#ifndef SKINSIGHT_TRAINER_STREAMS_H
#define SKINSIGHT_TRAINER_STREAMS_H

#include <stddef.h>
#include <stdint.h>

enum trainer_stream {
    STREAM_SAMPLER = 0x5a01,
    STREAM_AUGMENTATION = 0x5a02,
    STREAM_INITIAL_WEIGHTS = 0x5a03,
};

// The number of the image at a place of an epoch among all that a training sees.
static inline uint64_t image_counter(int epoch, size_t place)
{
    return (uint64_t)epoch << 32 | (uint64_t)place;
}

#endif
