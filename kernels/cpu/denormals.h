// denormals.h: makes the calling thread take numbers too small for a normal float (below 2^-126) for zero,
// given or found. The processor computes with them a hundred times slower, and an answer must not depend on
// which thread did a part of it: every thread that computes for a backend does so (team.c, plain_plan.c).
#ifndef SKINSIGHT_KERNELS_CPU_DENORMALS_H
#define SKINSIGHT_KERNELS_CPU_DENORMALS_H

#include <pmmintrin.h>

// Returns the thread's control register as it was, for denormals_restore.
static inline unsigned denormals_to_zero(void)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    return before;
}

static inline void denormals_restore(unsigned before)
{
    _mm_setcsr(before);
}

#endif
