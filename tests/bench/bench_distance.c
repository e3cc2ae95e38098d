// bench_distance.c: what it costs to tell how far an embedding lies from what a model has learnt.
//
//     bench_distance
//
// Prints microseconds of processor time for a distance and its quantile by the width of the embedding, with a
// triangle for W as skinsight-trainer makes it: the best of 9 times 100.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/memory.h"
#include "kernels/model/ood.h"
#include "kernels/model/random_weights.h"

enum { REPEATS = 100, ROUNDS = 9 };

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static float number(uint64_t index)
{
    return (float)(random_weights_bits(1, "distance", index) >> 40) * 0x1p-23f - 1;
}

static void time_width(int width)
{
    struct ood_reference *reference = ood_reference_new(width);
    float *embedding = memory_alloc((size_t)width * sizeof *embedding), sum = 0;
    double best_us = INFINITY;
    for (int i = 0; i < width; i++) {
        embedding[i] = number((uint64_t)i);
        for (int j = i; j < width; j++)
            reference->whitening[i * width + j] = number((uint64_t)(i * width + j));
    }
    for (int i = 0; i < LESION_CLASSES; i++)
        reference->counts[i] = 1;
    for (int i = 0; i < OOD_QUANTILES; i++)
        reference->distances[i] = (float)i;
    ood_reference_finish(reference);
    for (int round = 0; round < ROUNDS; round++) {
        double begun_us = now_us();
        for (int i = 0; i < REPEATS; i++)
            sum += ood_quantile(reference, ood_distance(reference, embedding));
        best_us = fmin(best_us, (now_us() - begun_us) / REPEATS);
    }
    printf("%d numbers: %.1f us (quantile %.3g)\n", width, best_us, (double)sum / (REPEATS * ROUNDS));
    free(embedding);
    ood_reference_free(reference);
}

int main(void)
{
    static const int widths[] = {192, 384, 768, 1792};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        time_width(widths[i]);
    return 0;
}
