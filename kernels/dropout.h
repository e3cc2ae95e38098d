// dropout.h: which values dropout keeps: a function of (seed, operation, image's counter, element), so that
// backward makes the mask of forward again, on any thread and device.
//
// Philox (counter_random.h) under the key `seed` on the counter {element / 8, operation, image's counter low,
// high}: its four words are eight 16-bit numbers, low half first; element i takes number i % 8. A number
// below the threshold, round(share * 65536), is dropped; what is kept is multiplied by 65536 / (65536 -
// threshold). Elements are counted along the rows of the image's tensor. Any thread.
#ifndef SKINSIGHT_KERNELS_DROPOUT_H
#define SKINSIGHT_KERNELS_DROPOUT_H

#include <stdbool.h>
#include <stdint.h>

enum { DROPOUT_GROUP = 8 }; // elements of one draw

struct dropout {
    uint64_t seed;
    uint32_t operation; // its index in the network
    uint32_t threshold; // 0 .. 65535; 0: everything is kept
    float factor;       // of what is kept
};

struct dropout dropout_of(uint64_t seed, int operation, double share);
// The eight numbers of elements 8 * group and on.
void dropout_draw(const struct dropout *dropout, uint64_t counter, uint32_t group,
                  uint16_t numbers[DROPOUT_GROUP]);
// The factors, 0 or dropout->factor, of `count` elements from `first` on; first is a multiple of 8.
void dropout_factors(const struct dropout *dropout, uint64_t counter, uint32_t first, int count,
                     float *factors);

#endif
