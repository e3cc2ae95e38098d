// explore.c: counts of a data set. Pure functions.
#include "trainer/explore.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

static int by_lesion(const void *a, const void *b)
{
    const struct sample *one = *(const struct sample *const *)a, *other = *(const struct sample *const *)b;
    if (one->label != other->label)
        return one->label - other->label;
    return strcmp(one->lesion, other->lesion);
}

static void count_lesions(const struct dataset *dataset, struct exploration *exploration)
{
    const struct sample **sorted = memory_alloc((dataset->count + 1) * sizeof *sorted);
    for (size_t i = 0; i < dataset->count; i++)
        sorted[i] = &dataset->samples[i];
    qsort(sorted, dataset->count, sizeof *sorted, by_lesion);
    for (size_t i = 0; i < dataset->count; i++)
        if (i == 0 || !sorted[i]->lesion[0] || by_lesion(&sorted[i - 1], &sorted[i]) != 0) {
            exploration->class_lesions[sorted[i]->label]++;
            exploration->lesions++;
        }
    free(sorted);
}

struct size {
    int width, height;
    size_t count;
};

static int by_size(const void *a, const void *b)
{
    const struct size *one = a, *other = b;
    return one->width != other->width ? one->width - other->width : one->height - other->height;
}

static int by_count(const void *a, const void *b)
{
    const struct size *one = a, *other = b;
    int order = (one->count < other->count) - (one->count > other->count);
    return order ? order : by_size(a, b);
}

static void count_sizes(const struct dataset *dataset, struct exploration *exploration)
{
    struct size *sizes = memory_alloc((dataset->count + 1) * sizeof *sizes);
    size_t kinds = 0;
    for (size_t i = 0; i < dataset->count; i++)
        sizes[i] = (struct size){dataset->samples[i].width, dataset->samples[i].height, 1};
    qsort(sizes, dataset->count, sizeof *sizes, by_size);
    for (size_t i = 0; i < dataset->count; i++) {
        if (kinds > 0 && by_size(&sizes[kinds - 1], &sizes[i]) == 0)
            sizes[kinds - 1].count++;
        else
            sizes[kinds++] = sizes[i];
    }
    qsort(sizes, kinds, sizeof *sizes, by_count);
    for (size_t i = 0; i < kinds; i++) {
        if (i < EXPLORE_MOST_SIZES) {
            exploration->sizes[i].width = sizes[i].width;
            exploration->sizes[i].height = sizes[i].height;
            exploration->sizes[i].count = sizes[i].count;
        } else {
            exploration->other_sizes += sizes[i].count;
        }
    }
    free(sizes);
}

static void count_ages(const struct dataset *dataset, struct exploration *exploration)
{
    for (size_t i = 0; i < dataset->count; i++) {
        const struct sample *sample = &dataset->samples[i];
        if (!(sample->age >= 0)) { // NaN too
            exploration->ages_unknown++;
            continue;
        }
        double decade = fmin(floor(sample->age / 10), EXPLORE_DECADES - 1);
        exploration->ages[(int)decade][lesion_is_malignant(sample->label)]++;
    }
}

void explore_dataset(const struct dataset *dataset, struct exploration *exploration)
{
    *exploration = (struct exploration){0};
    size_t most = 0, least = SIZE_MAX;
    for (int part = 0; part < DATASET_PARTS; part++)
        dataset_count(dataset, (enum dataset_part)part, exploration->images[part]);
    for (int i = 0; i < LESION_CLASSES; i++) {
        size_t count = 0;
        for (int part = 0; part < DATASET_PARTS; part++)
            count += exploration->images[part][i];
        exploration->class_images[i] = count;
        most = count > most ? count : most;
        least = count > 0 && count < least ? count : least;
    }
    exploration->imbalance = most > 0 ? (double)most / (double)least : 0;
    count_lesions(dataset, exploration);
    count_sizes(dataset, exploration);
    count_ages(dataset, exploration);
}
