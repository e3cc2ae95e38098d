// backoff.h: exponential waiting with equal jitter between tries of the same call.
// Source of "equal jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#ifndef SKINSIGHT_COMMON_SERVICES_BACKOFF_H
#define SKINSIGHT_COMMON_SERVICES_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ms;  // bound of the first wait
    int64_t limit_ms; // bound of every wait
    unsigned tries;   // waits handed out so far
    uint64_t random;  // state of the jitter
};

void backoff_init(struct backoff *backoff, int64_t base_ms, int64_t limit_ms, uint64_t seed);
int64_t backoff_next_ms(struct backoff *backoff); // how long to wait now, between bound / 2 and bound

#endif
