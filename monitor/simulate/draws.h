// draws.h: random variates of the simulator, the same bits on every machine.
//
// Only operations that IEEE 754 fixes are used (+ - * / and square root), and the exact frexp and ldexp: the
// C library's exp and log may differ in the last bit from one processor to the next. A draws is the numbers
// of one thing (an image, a visit): what is drawn for one never moves another one's, so that two runs which
// differ in one option have the same patients. Any thread, one user at a time.
#ifndef SKINSIGHT_MONITOR_SIMULATE_DRAWS_H
#define SKINSIGHT_MONITOR_SIMULATE_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/counter_random.h"

struct draws {
    struct random_stream stream;
    uint64_t next, end;
    double spare; // normals come in pairs
    bool has_spare;
};

enum { DRAWS_MOST = 1024 }; // of one thing; more asserts

// The draws of thing number `number` (below 2^54) of the kind `purpose`.
void draws_begin(struct draws *draws, uint64_t seed, uint64_t purpose, uint64_t number);

uint64_t draws_bits(struct draws *draws);
double draws_uniform(struct draws *draws);     // [0, 1)
double draws_normal(struct draws *draws);      // mean 0, sd 1
double draws_exponential(struct draws *draws); // mean 1
bool draws_happens(struct draws *draws, double probability);
// An index of shares[count], which sum to 1 but for rounding.
int draws_index(struct draws *draws, const double *shares, int count);

// To 4e-16 of the result. exp: |x| <= 700; ln: x normal and > 0.
double draws_exp(double x);
double draws_ln(double x);

#endif
