// dropout.c: see dropout.h.
#include "kernels/dropout.h"

#include <assert.h>
#include <math.h>

#include "common/base/counter_random.h"

enum { NUMBERS = 65536 };

struct dropout dropout_of(uint64_t seed, int operation, double share)
{
    uint32_t threshold = (uint32_t)lround(share * NUMBERS);
    threshold = threshold < NUMBERS ? threshold : NUMBERS - 1;
    return (struct dropout){seed, (uint32_t)operation, threshold,
                            (float)((double)NUMBERS / (NUMBERS - threshold))};
}

void dropout_draw(const struct dropout *dropout, uint64_t counter, uint32_t group,
                  uint16_t numbers[DROPOUT_GROUP])
{
    const uint32_t at[4] = {group, dropout->operation, (uint32_t)counter, (uint32_t)(counter >> 32)};
    const uint32_t key[2] = {(uint32_t)dropout->seed, (uint32_t)(dropout->seed >> 32)};
    uint32_t block[4];
    counter_random_block(at, key, block);
    for (int i = 0; i < DROPOUT_GROUP; i++)
        numbers[i] = (uint16_t)(block[i / 2] >> 16 * (i % 2));
}

void dropout_factors(const struct dropout *dropout, uint64_t counter, uint32_t first, int count,
                     float *factors)
{
    uint16_t numbers[DROPOUT_GROUP];
    assert(first % DROPOUT_GROUP == 0);
    for (int i = 0; i < count; i++) {
        if (i % DROPOUT_GROUP == 0)
            dropout_draw(dropout, counter, (first + (uint32_t)i) / DROPOUT_GROUP, numbers);
        factors[i] = numbers[i % DROPOUT_GROUP] < dropout->threshold ? 0 : dropout->factor;
    }
}
