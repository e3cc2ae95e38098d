// view_sums.c: picks the sums for this CPU, and holds those for every x86-64.
#include "kernels/image/view_sums.h"

#include <stddef.h>

#include "common/base/cpu_features.h"

#define VIEW_LANES 16
#include "kernels/image/view_sums_loops.h"

void view_sums_plain(const uint8_t *view, int size, struct view_sums *sums)
{
    sum_view(view, size, sums);
}

view_sums_function *view_sums_at(int index)
{
    view_sums_function *known[3] = {view_sums_plain};
    int count = 1;
    struct cpu_features features = cpu_features_get();
    if (features.avx2)
        known[count++] = view_sums_avx2;
    if (features.avx512)
        known[count++] = view_sums_avx512;
    return index < count ? known[index] : NULL;
}

view_sums_function *view_sums_best(void)
{
    int last = 0;
    while (view_sums_at(last + 1))
        last++;
    return view_sums_at(last);
}
