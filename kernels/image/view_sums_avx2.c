// view_sums_avx2.c: the sums of view_sums.h with 256-bit vectors; called only where the CPU has AVX2.
#define VIEW_LANES 32
#include "kernels/image/view_sums_loops.h"

void view_sums_avx2(const uint8_t *view, int size, struct view_sums *sums)
{
    sum_view(view, size, sums);
}
