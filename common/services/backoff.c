// backoff.c: doubling bounds, splitmix64 jitter.
#include "common/services/backoff.h"

void backoff_init(struct backoff *backoff, int64_t base_ms, int64_t limit_ms, uint64_t seed)
{
    *backoff = (struct backoff){.base_ms = base_ms, .limit_ms = limit_ms, .random = seed};
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int64_t backoff_next_ms(struct backoff *backoff)
{
    int64_t bound = backoff->base_ms;
    for (unsigned i = 0; i < backoff->tries && bound < backoff->limit_ms; i++)
        bound *= 2;
    if (bound > backoff->limit_ms)
        bound = backoff->limit_ms;
    backoff->tries++;
    int64_t half = bound / 2;
    return half + (int64_t)(next_random(&backoff->random) % (uint64_t)(bound - half + 1));
}
