// view_sums_avx512.c: the sums of view_sums.h for AVX-512; called only where the CPU has it. Its vectors are
// as long as those of AVX2, which GCC prefers, but it has more of them and what turns bytes around.
#define VIEW_LANES 32
#include "kernels/image/view_sums_loops.h"

void view_sums_avx512(const uint8_t *view, int size, struct view_sums *sums)
{
    sum_view(view, size, sums);
}
