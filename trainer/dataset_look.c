// dataset_look.c: reads and decodes every file once, on all threads, and finds what is wrong with the whole.
//
// A picture that was saved anew or scaled is found by 256 bits, 16 x 16 comparisons of neighbours in its
// reduction to 17 x 17 points, and by the colours there. On HAM10000, copies at a third of the size differ in
// up to 16 bits and 0.5 grey levels, other pictures of the same lesion in 1.4 levels and more, and of 36
// million pairs of different lesions that agree in 228 bits none differs by less than 5.1 levels.
// dataset_look runs on a team of threads, each unit writes its own sample; dataset_judge on the main thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/processors.h"
#include "kernels/cpu/team.h"
#include "kernels/image/resize.h"
#include "trainer/dataset_private.h"

enum {
    SIDE = SAMPLE_REDUCED_SIDE,
    NEAR_BITS = 28,
    NEAR_LEVELS = 3,
    MOST_TOLD = 5,
    UNITS_AT_ONCE = 64,
    COMPARED_AT_ONCE = 256
};

struct looker {
    struct dataset *dataset;
    size_t first;
    char (*complaints)[sizeof((struct error *)0)->message]; // (UNITS_AT_ONCE): empty where it is readable
};

static int grey_at(const uint8_t *view, int y, int x)
{
    const uint8_t *pixel = view + 3 * (y * SIDE + x);
    return 299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2];
}

static enum status find_look(const struct image *image, struct sample *sample, struct error *err)
{
    const uint8_t *view = sample->reduced;
    enum status status = resize_crop(resize_kernels_best(), image, SIDE, SIDE, sample->reduced, err);
    if (status != STATUS_OK)
        return status;
    for (int y = 0; y < SIDE - 1; y++)
        for (int x = 0; x < SIDE - 1; x++)
            if (grey_at(view, y, x) < grey_at(view, y, x + 1)) {
                int bit = y * (SIDE - 1) + x;
                sample->look[bit / 64] |= (uint64_t)1 << bit % 64;
            }
    return STATUS_OK;
}

static enum status look_at(struct sample *sample, struct error *err)
{
    struct buffer file;
    struct image image = {0};
    buffer_init(&file, DATASET_MOST_FILE_BYTES);
    enum status status = file_read(sample->path, &file, err);
    if (status == STATUS_OK) {
        sample->sha256 = digest_of(file.data, file.size);
        status = jpeg_decode(buffer_bytes(&file), DATASET_MOST_PIXELS, &image, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", sample->path);
    }
    if (status == STATUS_OK)
        status = find_look(&image, sample, err);
    if (status == STATUS_OK) {
        sample->width = image.width;
        sample->height = image.height;
        sample->readable = true;
    }
    image_release(&image);
    buffer_release(&file);
    return status;
}

static void look_unit(void *context, int unit, int thread)
{
    struct looker *looker = context;
    struct error err = {""};
    (void)thread;
    if (look_at(&looker->dataset->samples[looker->first + (size_t)unit], &err) != STATUS_OK)
        strcpy(looker->complaints[unit], err.message);
}

// Tells of the first ones; counts all.
static size_t tell_unreadable(const struct looker *looker, const struct dataset_options *options, int units,
                              size_t before)
{
    for (int i = 0; i < units; i++)
        if (looker->complaints[i][0] && before++ < MOST_TOLD)
            dataset_tell(options, "%s", looker->complaints[i]);
    return before;
}

enum status dataset_look(struct dataset *dataset, const struct dataset_options *options, struct error *err)
{
    struct team *team = NULL;
    struct looker looker = {.dataset = dataset};
    size_t bad = 0;
    looker.complaints = memory_alloc(UNITS_AT_ONCE * sizeof *looker.complaints);
    enum status status = team_new(&team, options->threads ? options->threads : processors_usable(), err);
    if (options->progress)
        options->progress->total = dataset->count;
    for (; status == STATUS_OK && looker.first < dataset->count; looker.first += UNITS_AT_ONCE) {
        size_t left = dataset->count - looker.first;
        int units = left < UNITS_AT_ONCE ? (int)left : UNITS_AT_ONCE;
        memset(looker.complaints, 0, UNITS_AT_ONCE * sizeof *looker.complaints);
        team_run(team, look_unit, &looker, units);
        bad = tell_unreadable(&looker, options, units, bad);
        if (options->progress) {
            options->progress->sent = options->progress->done = looker.first + (size_t)units;
            progress_update(options->progress, clock_monotonic_us());
        }
    }
    team_free(team);
    free(looker.complaints);
    if (status == STATUS_OK && bad > 0 && !options->skip_bad)
        return error_set(err, STATUS_REJECTED,
                         "%zu of %zu files can't be decoded; mend or remove them, say with --images where "
                         "they are, or leave them out with --skip-bad",
                         bad, dataset->count);
    if (status == STATUS_OK && bad > 0)
        dataset_tell(options, "%zu of %zu files can't be decoded and are left out", bad, dataset->count);
    return status;
}

static int by_digest(const void *a, const void *b)
{
    const struct sample *const *one = a, *const *other = b;
    int order = memcmp((*one)->sha256.value, (*other)->sha256.value, DIGEST_SIZE);
    return order ? order : (*one > *other) - (*one < *other);
}

static int by_lesion(const void *a, const void *b)
{
    const struct sample *const *one = a, *const *other = b;
    int order = strcmp((*one)->lesion, (*other)->lesion);
    return order ? order : (*one > *other) - (*one < *other);
}

// Copies of one file: with one label they only count twice; with two of them one is wrong.
static void judge_copies(struct dataset *dataset, const struct dataset_options *options,
                         struct sample **sorted)
{
    size_t told = 0, across = 0, contradictions = 0;
    qsort(sorted, dataset->count, sizeof *sorted, by_digest);
    for (size_t i = 1; i < dataset->count; i++) {
        const struct sample *first = sorted[i - 1], *second = sorted[i];
        if (memcmp(first->sha256.value, second->sha256.value, DIGEST_SIZE) != 0)
            continue;
        dataset->copies++;
        across += first->part != second->part;
        contradictions += first->label != second->label;
        if ((first->part != second->part || first->label != second->label) && told++ < MOST_TOLD)
            dataset_tell(options, "%s (%s, %s) and %s (%s, %s) are the same file", first->file,
                         lesion_codes[first->label], dataset_part_names[first->part], second->file,
                         lesion_codes[second->label], dataset_part_names[second->part]);
    }
    if (dataset->copies > 0)
        dataset_tell(
            options,
            "%zu files are copies of another one, %zu of them in another part, %zu with another label",
            dataset->copies, across, contradictions);
}

// sorted: by lesion, those without one first. Where some have one, the others should.
static void tell_nameless(const struct dataset *dataset, const struct dataset_options *options,
                          struct sample **sorted)
{
    size_t nameless = 0;
    while (nameless < dataset->count && !sorted[nameless]->lesion[0])
        nameless++;
    if (nameless > 0 && nameless < dataset->count)
        dataset_tell(options, "%zu of %zu images have no lesion_id and may show one lesion unseen", nameless,
                     dataset->count);
}

static void judge_lesions(struct dataset *dataset, const struct dataset_options *options,
                          struct sample **sorted)
{
    size_t labels = 0;
    bool divided = false, contradicts = false;
    qsort(sorted, dataset->count, sizeof *sorted, by_lesion);
    tell_nameless(dataset, options, sorted);
    for (size_t i = 1; i < dataset->count; i++) {
        const struct sample *first = sorted[i - 1], *second = sorted[i];
        if (!second->lesion[0] || strcmp(first->lesion, second->lesion) != 0) {
            divided = contradicts = false;
            continue;
        }
        if (first->part != second->part && !divided && dataset->divided_lesions++ < MOST_TOLD)
            dataset_tell(options, "%s (%s) and %s (%s) show one lesion", first->file,
                         dataset_part_names[first->part], second->file, dataset_part_names[second->part]);
        divided = divided || first->part != second->part;
        labels += first->label != second->label && !contradicts;
        contradicts = contradicts || first->label != second->label;
    }
    if (dataset->divided_lesions > 0)
        dataset_tell(
            options,
            "%zu lesions have images in more than one part: what is measured will look better than it "
            "is; leave the column split out, or put each lesion into one part",
            dataset->divided_lesions);
    if (labels > 0)
        dataset_tell(options, "%zu lesions have images with different labels", labels);
}

static int by_patient(const void *a, const void *b)
{
    const struct sample *const *one = a, *const *other = b;
    int order = strcmp((*one)->patient, (*other)->patient);
    return order ? order : (*one > *other) - (*one < *other);
}

// A lesion goes before a patient, so a patient with several of them may be in several parts. Not told by
// name.
static void judge_patients(struct dataset *dataset, const struct dataset_options *options,
                           struct sample **sorted)
{
    bool divided = false;
    qsort(sorted, dataset->count, sizeof *sorted, by_patient);
    for (size_t i = 1; i < dataset->count; i++) {
        const struct sample *first = sorted[i - 1], *second = sorted[i];
        bool same = second->patient[0] && strcmp(first->patient, second->patient) == 0;
        dataset->divided_patients += same && !divided && first->part != second->part;
        divided = same && (divided || first->part != second->part);
    }
    if (dataset->divided_patients > 0)
        dataset_tell(
            options,
            "%zu patients have images in more than one part: what is measured may look better than it "
            "is; leave the column lesion_id out to split by patient",
            dataset->divided_patients);
}

static int bits_apart(const struct sample *a, const struct sample *b)
{
    int bits = 0;
    for (int i = 0; i < 4; i++)
        bits += __builtin_popcountll(a->look[i] ^ b->look[i]);
    return bits;
}

static bool look_alike(const struct sample *a, const struct sample *b)
{
    if (bits_apart(a, b) > NEAR_BITS)
        return false;
    int levels = 0;
    for (size_t i = 0; i < sizeof a->reduced; i++)
        levels += abs(a->reduced[i] - b->reduced[i]);
    return levels <= NEAR_LEVELS * (int)sizeof a->reduced;
}

struct lit_sample {
    const struct sample *sample;
    int light; // sum of the reduced picture's values
};

static int by_light(const void *a, const void *b)
{
    const struct lit_sample *one = a, *other = b;
    return one->light != other->light ? one->light - other->light
                                      : (one->sample > other->sample) - (one->sample < other->sample);
}

static struct lit_sample *sorted_by_light(const struct dataset *dataset)
{
    struct lit_sample *sorted = memory_alloc((dataset->count + 1) * sizeof *sorted);
    for (size_t i = 0; i < dataset->count; i++) {
        const struct sample *sample = &dataset->samples[i];
        sorted[i] = (struct lit_sample){sample, 0};
        for (size_t k = 0; k < sizeof sample->reduced; k++)
            sorted[i].light += sample->reduced[k];
    }
    qsort(sorted, dataset->count, sizeof *sorted, by_light);
    return sorted;
}

static void tell_near_copy(struct dataset *dataset, const struct dataset_options *options,
                           const struct sample *a, const struct sample *b)
{
    const struct sample *first = a < b ? a : b, *second = a < b ? b : a;
    if (dataset->near_copies++ < MOST_TOLD)
        dataset_tell(options, "%s (%s) and %s (%s) look nearly alike", first->file,
                     dataset_part_names[first->part], second->file, dataset_part_names[second->part]);
}

static void show_compared(struct progress *progress, size_t compared, size_t all)
{
    int64_t now_us = clock_monotonic_us();
    if (!progress)
        return;
    if (compared == 0)
        progress->start_us = now_us;
    progress->verb = "compared";
    progress->total = all;
    progress->sent = progress->done = compared;
    progress_update(progress, now_us);
}

// Pairs of different parts. Pictures that differ by so many levels on average differ by no more in their
// mean, so each is compared with those of nearly its light alone: of HAM10000's pairs one in 11.
static void judge_near_copies(struct dataset *dataset, const struct dataset_options *options)
{
    const int most = NEAR_LEVELS * (int)sizeof dataset->samples->reduced;
    struct lit_sample *sorted = sorted_by_light(dataset);
    for (size_t i = 0; i < dataset->count; i++) {
        const struct sample *a = sorted[i].sample;
        for (size_t k = i + 1; k < dataset->count && sorted[k].light - sorted[i].light <= most; k++) {
            const struct sample *b = sorted[k].sample;
            if (a->part != b->part && look_alike(a, b) &&
                memcmp(a->sha256.value, b->sha256.value, DIGEST_SIZE) != 0)
                tell_near_copy(dataset, options, a, b);
        }
        if (i % COMPARED_AT_ONCE == 0)
            show_compared(options->progress, i, dataset->count);
    }
    free(sorted);
    if (dataset->near_copies > 0)
        dataset_tell(
            options,
            "%zu pairs in different parts look nearly alike: give them one lesion_id where they show "
            "one lesion",
            dataset->near_copies);
}

static void judge_classes(const struct dataset *dataset, const struct dataset_options *options)
{
    for (int part = 0; part < DATASET_PARTS; part++) {
        size_t counts[LESION_CLASSES], sum = 0;
        char missing[64] = "";
        dataset_count(dataset, (enum dataset_part)part, counts);
        for (int i = 0; i < LESION_CLASSES; i++) {
            sum += counts[i];
            if (counts[i] == 0)
                snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s",
                         missing[0] ? ", " : "", lesion_codes[i]);
        }
        if (missing[0] && sum > 0)
            dataset_tell(options, "no example of %s in the part %s", missing, dataset_part_names[part]);
    }
}

void dataset_judge(struct dataset *dataset, const struct dataset_options *options)
{
    struct sample **sorted = memory_alloc(dataset->count * sizeof *sorted);
    for (size_t i = 0; i < dataset->count; i++)
        sorted[i] = &dataset->samples[i];
    judge_copies(dataset, options, sorted);
    judge_lesions(dataset, options, sorted);
    judge_patients(dataset, options, sorted);
    judge_near_copies(dataset, options);
    judge_classes(dataset, options);
    free(sorted);
}
