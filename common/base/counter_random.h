// counter_random.h: random numbers that are a function of a counter, with no state to keep: any draw can be
// made again, in any order and on any thread. Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", 2011).
//
// A stream is (seed, purpose); a draw is its index in the stream. Equal arguments give equal numbers on every
// machine.
#ifndef SKINSIGHT_COMMON_BASE_COUNTER_RANDOM_H
#define SKINSIGHT_COMMON_BASE_COUNTER_RANDOM_H

#include <stdint.h>

struct random_stream {
    uint64_t seed;
    uint64_t purpose; // tells streams of one seed apart
};

// The block cipher itself: 10 rounds on counter under key.
void counter_random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4]);

uint64_t counter_random_bits(const struct random_stream *stream, uint64_t index);
// Uniform in [0, 1): 53 bits.
double counter_random_uniform(const struct random_stream *stream, uint64_t index);
// Uniform in 0 .. limit - 1, limit > 0: the high half of a 64 x 64 bit product, off by less than limit /
// 2^64.
uint64_t counter_random_below(const struct random_stream *stream, uint64_t index, uint64_t limit);

#endif
