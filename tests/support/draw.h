// draw.h: numbers for tests of kernels: pseudo-random ones, and bfloat16 by its definition. Static, as the
// rest of this folder: each program draws the same series from its start.
#ifndef SKINSIGHT_TESTS_SUPPORT_DRAW_H
#define SKINSIGHT_TESTS_SUPPORT_DRAW_H

#include <stdint.h>
#include <string.h>

// Uniform in [-1, 1).
static inline float draw(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(int32_t)state * 0x1p-31f;
}

// Rounded to the nearest, halves to even.
static inline uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
