// features.c: brightness, contrast, sharpness and histograms of a view, from sums over its pixels.
#include "worker/stages/features.h"

#include <math.h>

#include "kernels/image/view_sums.h"

_Static_assert((int)VIEW_SUMS_BINS == (int)FEATURES_BINS, "the bins that are counted are those of a record");

static double moments_mean(const struct view_moments *moments)
{
    return moments->count ? (double)moments->sum / (double)moments->count / VIEW_SUMS_LUMA_ONE : 0.0;
}

static double moments_variance(const struct view_moments *moments)
{
    if (moments->count == 0)
        return 0.0;
    // count * sum_of_squares - sum^2 without rounding, so equal pixels give exactly 0.
    __int128 spread =
        (__int128)moments->count * moments->sum_of_squares - (__int128)moments->sum * moments->sum;
    double count = (double)moments->count;
    return (double)spread / (count * count) / ((double)VIEW_SUMS_LUMA_ONE * VIEW_SUMS_LUMA_ONE);
}

void features_of_view(const uint8_t *view, int size, struct features *features)
{
    struct view_sums sums;
    view_sums_best()(view, size, &sums);
    *features = (struct features){
        .brightness = (float)moments_mean(&sums.light),
        .contrast = (float)sqrt(moments_variance(&sums.light)),
        .sharpness = (float)moments_variance(&sums.edges),
    };
    for (int i = 0; i < FEATURES_BINS; i++) {
        features->histogram_r[i] = (float)((double)sums.bins[0][i] / (double)sums.light.count);
        features->histogram_g[i] = (float)((double)sums.bins[1][i] / (double)sums.light.count);
        features->histogram_b[i] = (float)((double)sums.bins[2][i] / (double)sums.light.count);
    }
}
