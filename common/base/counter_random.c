// counter_random.c: Philox4x32-10; the stream's seed is the key, purpose and index are the counter.
#include "common/base/counter_random.h"

enum { ROUNDS = 10 };

static uint32_t multiply(uint32_t a, uint32_t b, uint32_t *high)
{
    uint64_t product = (uint64_t)a * b;
    *high = (uint32_t)(product >> 32);
    return (uint32_t)product;
}

void counter_random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4])
{
    uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t high0, high1;
        uint32_t low0 = multiply(0xd2511f53, x[0], &high0), low1 = multiply(0xcd9e8d57, x[2], &high1);
        x[0] = high1 ^ x[1] ^ k[0];
        x[2] = high0 ^ x[3] ^ k[1];
        x[1] = low1;
        x[3] = low0;
        k[0] += 0x9e3779b9;
        k[1] += 0xbb67ae85;
    }
    for (int i = 0; i < 4; i++)
        block[i] = x[i];
}

uint64_t counter_random_bits(const struct random_stream *stream, uint64_t index)
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream->purpose,
                                 (uint32_t)(stream->purpose >> 32)};
    const uint32_t key[2] = {(uint32_t)stream->seed, (uint32_t)(stream->seed >> 32)};
    uint32_t block[4];
    counter_random_block(counter, key, block);
    return (uint64_t)block[1] << 32 | block[0];
}

double counter_random_uniform(const struct random_stream *stream, uint64_t index)
{
    return (double)(counter_random_bits(stream, index) >> 11) * 0x1p-53;
}

uint64_t counter_random_below(const struct random_stream *stream, uint64_t index, uint64_t limit)
{
    return (uint64_t)((unsigned __int128)counter_random_bits(stream, index) * limit >> 64);
}
