// dataset_split.c: which part each image belongs to, where the data don't say it. Main thread.
//
// Images that belong together make a group: one lesion (else one patient, else one image_id, else one file),
// and what shares an image_id or a file's bytes with it. A group's place from 0 to 1 is a digest of the seed
// and its least key, and the shares of the split cut there: a group's part depends on nothing else in the
// data, so two selections of rows agree on it. Only where a class, that of the group's first image, would
// have no group in a part, the nearest one goes there.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "trainer/dataset_private.h"

struct member {
    char *key;           // what it belongs to
    size_t group;        // index of a member, after find_group
    struct digest place; // of its group
};

char *sample_group(const struct sample *sample)
{
    if (sample->lesion[0])
        return memory_format("lesion %s", sample->lesion);
    if (sample->patient[0])
        return memory_format("patient %s", sample->patient);
    if (sample->image_id[0])
        return memory_format("image %s", sample->image_id);
    return memory_format("file %s", sample->file);
}

// The first of a group stands for it; paths are halved on the way.
static size_t find_group(struct member *members, size_t index)
{
    while (members[index].group != index) {
        members[index].group = members[members[index].group].group;
        index = members[index].group;
    }
    return index;
}

static void join(struct member *members, size_t a, size_t b)
{
    a = find_group(members, a);
    b = find_group(members, b);
    if (a < b)
        members[b].group = a;
    else
        members[a].group = b;
}

struct sorting {
    const struct dataset *dataset;
    const struct member *members;
};

static int by_key(const void *a, const void *b, void *context)
{
    const struct sorting *sorting = context;
    return strcmp(sorting->members[*(const size_t *)a].key, sorting->members[*(const size_t *)b].key);
}

// Those that have none lie together, and belong to nobody.
static int by_image(const void *a, const void *b, void *context)
{
    const struct sample *samples = ((const struct sorting *)context)->dataset->samples;
    return strcmp(samples[*(const size_t *)a].image_id, samples[*(const size_t *)b].image_id);
}

static int by_file(const void *a, const void *b, void *context)
{
    const struct sample *samples = ((const struct sorting *)context)->dataset->samples;
    return memcmp(samples[*(const size_t *)a].sha256.value, samples[*(const size_t *)b].sha256.value,
                  DIGEST_SIZE);
}

// First by class, then by place.
static int by_place(const void *a, const void *b, void *context)
{
    const struct sorting *sorting = context;
    size_t one = *(const size_t *)a, other = *(const size_t *)b;
    int order = sorting->dataset->samples[one].label - sorting->dataset->samples[other].label;
    if (order)
        return order;
    order = memcmp(sorting->members[one].place.value, sorting->members[other].place.value, DIGEST_SIZE);
    return order ? order : (one > other) - (one < other);
}

static void join_equal(struct sorting *sorting, struct member *members, size_t *order,
                       int (*compare)(const void *, const void *, void *))
{
    size_t count = sorting->dataset->count;
    const struct sample *samples = sorting->dataset->samples;
    qsort_r(order, count, sizeof *order, compare, sorting);
    for (size_t i = 1; i < count; i++)
        if (compare(&order[i - 1], &order[i], sorting) == 0 &&
            (compare != by_image || samples[order[i]].image_id[0]))
            join(members, order[i - 1], order[i]);
}

// The place of a group: of the least of its keys.
static void find_places(struct sorting *sorting, struct member *members, size_t *order, uint64_t seed)
{
    size_t count = sorting->dataset->count;
    bool *seen = memory_alloc(count);
    qsort_r(order, count, sizeof *order, by_key, sorting);
    for (size_t i = 0; i < count; i++) {
        size_t group = find_group(members, order[i]);
        if (seen[group])
            continue;
        char *text = memory_format("%llu %s", (unsigned long long)seed, members[order[i]].key);
        members[group].place = digest_of(text, strlen(text));
        seen[group] = true;
        free(text);
    }
    free(seen);
}

// From 0 to below 1: the first 53 bits.
static double place_of(const struct digest *digest)
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | digest->value[i];
    return (double)(bits >> 11) * 0x1p-53;
}

// How many of the first groups have a place below the end, at least one where the share is above 0.
static size_t count_below(const struct sorting *sorting, const size_t *heads, size_t count, double share,
                          double end)
{
    size_t below = 0;
    while (below < count && place_of(&sorting->members[heads[below]].place) < end)
        below++;
    return below == 0 && share > 0 && count > 0 ? 1 : below;
}

// Cuts the groups of one class, heads[0 .. count - 1] in the order of their places: the first ones for the
// test, the next for validation, the rest, at least one, for training.
static void cut_class(struct dataset *dataset, const struct sorting *sorting, const size_t *heads,
                      size_t count, const double split[DATASET_PARTS])
{
    double test_end = split[PART_TEST];
    size_t test = count_below(sorting, heads, count, test_end, test_end);
    size_t validation = count_below(sorting, heads + test, count - test, split[PART_VALIDATION],
                                    test_end + split[PART_VALIDATION]);
    while (count > 0 && test + validation >= count) {
        bool last_test = validation == 0 || (validation == 1 && test > 1);
        test -= last_test;
        validation -= !last_test;
    }
    for (size_t i = 0; i < count; i++)
        dataset->samples[heads[i]].part = i < test                ? PART_TEST
                                          : i < test + validation ? PART_VALIDATION
                                                                  : PART_TRAIN;
}

static enum status cut_classes(struct dataset *dataset, const struct sorting *sorting,
                               const struct dataset_options *options, const size_t *heads, size_t count,
                               struct error *err)
{
    for (size_t first = 0, last; first < count; first = last) {
        int label = dataset->samples[heads[first]].label;
        for (last = first; last < count && dataset->samples[heads[last]].label == label;)
            last++;
        bool lone = last - first == 1 && options->split[PART_TRAIN] < 1;
        if (lone && !options->lone_lesions)
            return error_set(
                err, STATUS_REJECTED,
                "%s has one lesion, which can't be in two parts: add lesions, leave the class out with "
                "--where, or say with a column split where it goes",
                lesion_codes[label]);
        if (lone)
            dataset_tell(options, "%s has one lesion, too few to train and test with", lesion_codes[label]);
        cut_class(dataset, sorting, heads + first, last - first, options->split);
    }
    return STATUS_OK;
}

enum status dataset_split(struct dataset *dataset, const struct dataset_options *options, struct error *err)
{
    struct member *members = memory_alloc(dataset->count * sizeof *members);
    size_t *order = memory_alloc(dataset->count * sizeof *order), heads = 0;
    struct sorting sorting = {dataset, members};
    for (size_t i = 0; i < dataset->count; i++) {
        members[i] = (struct member){.key = sample_group(&dataset->samples[i]), .group = i};
        order[i] = i;
    }
    join_equal(&sorting, members, order, by_key);
    join_equal(&sorting, members, order, by_image);
    join_equal(&sorting, members, order, by_file);
    find_places(&sorting, members, order, options->split_seed);
    for (size_t i = 0; i < dataset->count; i++)
        if (find_group(members, i) == i)
            order[heads++] = i;
    qsort_r(order, heads, sizeof *order, by_place, &sorting);
    enum status status = cut_classes(dataset, &sorting, options, order, heads, err);
    for (size_t i = 0; i < dataset->count; i++) {
        dataset->samples[i].part = dataset->samples[find_group(members, i)].part;
        free(members[i].key);
    }
    free(members);
    free(order);
    return status;
}
