// random_draws.h: random numbers of the usual distributions, one after another from a stream that can be
// drawn again (common/base/counter_random.h). The caller owns the struct; one thread at a time.
#ifndef SKINSIGHT_COMMON_STATISTICS_RANDOM_DRAWS_H
#define SKINSIGHT_COMMON_STATISTICS_RANDOM_DRAWS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/counter_random.h"

struct random_draws {
    struct random_stream stream;
    uint64_t next; // index in the stream
};

double random_draws_uniform(struct random_draws *draws); // in (0, 1), neither end
double random_draws_normal(struct random_draws *draws);  // standardised
// Events among n, n >= 0, that have probability p each.
int64_t random_draws_binomial(struct random_draws *draws, int64_t n, double p);
// n in classes of these shares, whose sum is 1.
void random_draws_multinomial(struct random_draws *draws, int64_t n, const double *shares, size_t classes,
                              int64_t *counts);

#endif
