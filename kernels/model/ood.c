// ood.c: see ood.h.
#include "kernels/model/ood.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

struct ood_reference *ood_reference_new(int width)
{
    assert(width >= 1 && width <= OOD_WIDTH_MOST);
    size_t values = (size_t)width;
    struct ood_reference *reference = memory_alloc(sizeof *reference);
    reference->width = width;
    reference->whitening = memory_alloc(values * values * sizeof *reference->whitening);
    reference->class_means = memory_alloc(LESION_CLASSES * values * sizeof *reference->class_means);
    reference->first_columns = memory_alloc(values * sizeof *reference->first_columns);
    reference->whitened_means = memory_alloc(LESION_CLASSES * values * sizeof *reference->whitened_means);
    return reference;
}

void ood_reference_free(struct ood_reference *reference)
{
    if (!reference)
        return;
    free(reference->whitening);
    free(reference->class_means);
    free(reference->first_columns);
    free(reference->whitened_means);
    free(reference);
}

// W^T values. Row by row of W, as it lies in memory.
static void whiten(const struct ood_reference *reference, const float *values, double *whitened)
{
    int width = reference->width;
    for (int i = 0; i < width; i++)
        whitened[i] = 0;
    for (int i = 0; i < width; i++) {
        const float *row = reference->whitening + (size_t)i * (size_t)width;
        double value = (double)values[i];
        for (int j = reference->first_columns[i]; j < width; j++)
            whitened[j] += value * (double)row[j];
    }
}

void ood_reference_finish(struct ood_reference *reference)
{
    for (int i = 0; i < reference->width; i++) {
        const float *row = reference->whitening + (size_t)i * (size_t)reference->width;
        int first = 0;
        while (first < reference->width && row[first] == 0)
            first++;
        reference->first_columns[i] = first;
    }
    for (int class = 0; class < LESION_CLASSES; class ++) {
        size_t first = (size_t) class * (size_t)reference->width;
        whiten(reference, reference->class_means + first, reference->whitened_means + first);
    }
}

float ood_energy(const float logits[LESION_CLASSES])
{
    double largest = logits[0], sum = 0;
    for (int i = 1; i < LESION_CLASSES; i++)
        largest = fmax(largest, logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += exp(logits[i] - largest);
    return (float)-(largest + log(sum));
}

float ood_distance(const struct ood_reference *reference, const float *embedding)
{
    double whitened[OOD_WIDTH_MOST], nearest = INFINITY;
    whiten(reference, embedding, whitened);
    for (int class = 0; class < LESION_CLASSES; class ++) {
        const double *mean = reference->whitened_means + (size_t) class * (size_t)reference->width;
        double sum = 0;
        for (int i = 0; i < reference->width; i++)
            sum += (whitened[i] - mean[i]) * (whitened[i] - mean[i]);
        if (reference->counts[class] > 0)
            nearest = fmin(nearest, sum);
    }
    return (float)fmin(sqrt(nearest), (double)FLT_MAX); // a record holds no infinity
}

float ood_quantile(const struct ood_reference *reference, float distance)
{
    const float *distances = reference->distances;
    int last = OOD_QUANTILES - 1, below = last;
    while (below >= 0 && distances[below] > distance)
        below--;
    if (below < 0)
        return 0;
    if (below == last)
        return 1;
    double share = ((double)distance - distances[below]) / ((double)distances[below + 1] - distances[below]);
    return (float)((below + share) / last);
}
