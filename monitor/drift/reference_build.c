// reference_build.c: quantiles, names, and the two passes.
#include "monitor/drift/reference_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/drift/compare.h"
#include "monitor/drift/effects.h"

enum { NAMES_LEARNT = 1024 };

// Names as they come; those beyond NAMES_LEARNT are not told apart.
struct names {
    size_t count;
    bool overflowed;
    struct name {
        char name[DRIFT_NAME_SIZE];
        int64_t count;
    } names[NAMES_LEARNT];
};

struct numbers {
    float *values;
    size_t count, room;
};

struct row {
    uint64_t visit; // a hash: visits that share one are taken for one
    uint8_t places[DRIFT_COUNTED];
    uint8_t class, events; // events: a bit for each rate, and behind them one for each rate's trial
    float means[DRIFT_MEANS];
};

struct drift_builder {
    size_t learnt;
    struct numbers numbers[DRIFT_NUMBERS];
    struct names categories[DRIFT_CATEGORIES];
    struct drift_reference *reference;
    struct row *rows;
    size_t row_count, room;
    uint8_t (*places)[DRIFT_COUNTED]; // of the rows, by visit
    size_t *visits, visit_count;
    struct drift_output *days;
    size_t day_count;
};

struct drift_builder *drift_builder_new(int64_t from, int64_t to)
{
    struct drift_builder *builder = memory_alloc(sizeof *builder);
    builder->reference = drift_reference_new();
    builder->reference->from = from;
    builder->reference->to = to;
    builder->day_count = (size_t)((to - from) / DRIFT_DAY_MS);
    builder->days = memory_alloc(builder->day_count * sizeof *builder->days);
    return builder;
}

void drift_builder_free(struct drift_builder *builder)
{
    if (!builder)
        return;
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        free(builder->numbers[i].values);
    drift_reference_free(builder->reference);
    free(builder->rows);
    free(builder->places);
    free(builder->visits);
    free(builder->days);
    free(builder);
}

static enum status too_many(struct error *err)
{
    return error_set(err, STATUS_REJECTED, "a reference takes at most %d analyses; choose a shorter time",
                     DRIFT_REFERENCE_MOST);
}

// ---- the first pass ----

static void learn_number(struct numbers *numbers, double value)
{
    if (!isfinite(value))
        return;
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room ? 2 * numbers->room : 1024;
        numbers->values = memory_realloc(numbers->values, numbers->room * sizeof *numbers->values);
    }
    numbers->values[numbers->count++] = (float)value;
}

static void learn_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i].name, name) == 0) {
            names->names[i].count++;
            return;
        }
    if (names->count == NAMES_LEARNT) {
        names->overflowed = true;
        return;
    }
    strcpy(names->names[names->count].name, name);
    names->names[names->count++].count = 1;
}

enum status drift_builder_learn(struct drift_builder *builder, const struct analysis *analysis,
                                struct error *err)
{
    if (analysis->error_code[0])
        return STATUS_OK;
    if (builder->learnt == DRIFT_REFERENCE_MOST)
        return too_many(err);
    builder->learnt++;
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        learn_number(&builder->numbers[i], drift_number(i, analysis));
    for (int i = 0; i < DRIFT_CATEGORIES; i++) {
        char name[DRIFT_NAME_SIZE];
        drift_category(i, analysis, name);
        learn_name(&builder->categories[i], name);
    }
    return STATUS_OK;
}

// ---- bins ----

static int by_value(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

// The largest first; equal ones by name.
static int by_count(const void *left, const void *right)
{
    const struct name *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->name, b->name);
}

// Quantiles 0, 0.1 ... 1 of type 7, as R and NumPy have them.
static void find_edges(struct numbers *numbers, double edges[DRIFT_EDGES])
{
    if (numbers->count == 0) {
        for (int i = 0; i < DRIFT_EDGES; i++)
            edges[i] = NAN;
        return;
    }
    qsort(numbers->values, numbers->count, sizeof *numbers->values, by_value);
    for (int i = 0; i < DRIFT_EDGES; i++) {
        double place = (double)(numbers->count - 1) * i / (DRIFT_EDGES - 1);
        size_t below = (size_t)place, above = below + 1 < numbers->count ? below + 1 : below;
        edges[i] = numbers->values[below] +
                   (place - (double)below) * ((double)numbers->values[above] - numbers->values[below]);
    }
}

static void find_names(struct names *names, struct drift_bins *bins, int category)
{
    qsort(names->names, names->count, sizeof names->names[0], by_count);
    size_t kept = names->count < DRIFT_NAMES_MOST ? names->count : DRIFT_NAMES_MOST;
    for (size_t i = 0; i < kept; i++)
        strcpy(bins->names[category][i], names->names[i].name);
    bins->name_counts[category] = (int)kept;
    bins->complete[category] = kept == names->count && !names->overflowed;
}

// A stratum of each name but "unknown".
static void find_strata(struct drift_reference *reference, const char *feature, enum drift_stratum_kind kind,
                        int most)
{
    int category = 0;
    while (strcmp(drift_features[DRIFT_NUMBERS + category], feature) != 0)
        category++;
    for (int i = 0; i < reference->bins.name_counts[category] && i < most; i++) {
        const char *name = reference->bins.names[category][i];
        if (strcmp(name, "unknown") == 0)
            continue;
        struct drift_stratum *stratum = &reference->strata[reference->stratum_count++];
        stratum->kind = kind;
        strcpy(stratum->name, name);
    }
}

void drift_builder_bins(struct drift_builder *builder)
{
    struct drift_reference *reference = builder->reference;
    for (int i = 0; i < DRIFT_NUMBERS; i++) {
        find_edges(&builder->numbers[i], reference->bins.edges[i]);
        free(builder->numbers[i].values);
        builder->numbers[i] = (struct numbers){0};
    }
    for (int i = 0; i < DRIFT_CATEGORIES; i++)
        find_names(&builder->categories[i], &reference->bins, i);
    reference->stratum_count = 1;
    find_strata(reference, "site", STRATUM_SITE, DRIFT_SITES_MOST);
    find_strata(reference, "capture_device", STRATUM_DEVICE, DRIFT_DEVICES_MOST);
}

// ---- the second pass ----

// FNV-1a of the subject and the day; who has no subject is a visit alone.
static uint64_t visit_of(const struct analysis *analysis, size_t row)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    uint64_t day = (uint64_t)(analysis->at / DRIFT_DAY_MS);
    if (!analysis->subject || !*analysis->subject)
        return hash ^ row;
    for (const char *c = analysis->subject; *c; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    for (int i = 0; i < 8; i++)
        hash = (hash ^ (day >> (8 * i) & 255)) * UINT64_C(1099511628211);
    return hash;
}

static void keep_row(struct drift_builder *builder, const struct analysis *analysis)
{
    if (builder->row_count == builder->room) {
        builder->room = builder->room ? 2 * builder->room : 1024;
        builder->rows = memory_realloc(builder->rows, builder->room * sizeof *builder->rows);
    }
    struct row *row = &builder->rows[builder->row_count];
    struct drift_output output = {0};
    memset(row, 0, sizeof *row);
    row->visit = visit_of(analysis, builder->row_count++);
    drift_places(&builder->reference->bins, analysis, row->places);
    drift_output_add(&output, analysis);
    drift_output_merge(&builder->days[(analysis->at - builder->reference->from) / DRIFT_DAY_MS], &output);
    row->class = (uint8_t)analysis->class;
    for (int i = 0; i < DRIFT_RATES; i++)
        row->events |= (uint8_t)(output.events[i] << i | output.trials[i] << (DRIFT_RATES + i));
    for (int i = 0; i < DRIFT_MEANS; i++)
        row->means[i] = (float)output.sums[i];
}

enum status drift_builder_count(struct drift_builder *builder, const struct analysis *analysis,
                                struct error *err)
{
    struct drift_reference *reference = builder->reference;
    if (analysis->error_code[0] || analysis->at < reference->from || analysis->at >= reference->to)
        return STATUS_OK;
    if (builder->row_count == DRIFT_REFERENCE_MOST)
        return too_many(err);
    keep_row(builder, analysis);
    reference->weekdays[drift_weekday(analysis->at)]++;
    for (int kind = 0; kind < STRATUM_KINDS; kind++) {
        const char *const names[STRATUM_KINDS] = {"", analysis->site, analysis->capture_device};
        int stratum = drift_stratum_find(reference, (enum drift_stratum_kind)kind, names[kind]);
        if (stratum >= 0)
            drift_tally_add(&reference->strata[stratum].tally, &reference->bins, analysis);
    }
    if (analysis->truth.label >= 0 && analysis->truth.label < LESION_CLASSES)
        drift_output_add(&reference->truth[analysis->truth.label], analysis);
    return STATUS_OK;
}

// ---- the end ----

static int by_visit(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    if (a->visit != b->visit)
        return a->visit < b->visit ? -1 : 1;
    return memcmp(a, b, sizeof *a); // so that the order is one of the rows' contents
}

static void gather_visits(struct drift_builder *builder)
{
    size_t count = builder->row_count;
    qsort(builder->rows, count, sizeof *builder->rows, by_visit);
    builder->places = memory_alloc(count * sizeof *builder->places);
    builder->visits = memory_alloc((count + 1) * sizeof *builder->visits);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || builder->rows[i].visit != builder->rows[i - 1].visit)
            builder->visits[builder->visit_count++] = i;
        memcpy(builder->places[i], builder->rows[i].places, sizeof builder->places[i]);
    }
    builder->visits[builder->visit_count] = count;
}

// The variance of each bin's count, summed over visits, beside the multinomial's; the bins' mean with weights
// 1 - share.
static double design_effect(const struct drift_builder *builder, int feature)
{
    const int32_t *counts = builder->reference->strata[0].tally.counts[feature];
    int bins = drift_bin_count(&builder->reference->bins, feature), filled = 0;
    double n = 0, squares[DRIFT_CATEGORY_BINS] = {0}, effect = 0;
    for (int bin = 0; bin < bins; bin++) {
        n += counts[bin];
        filled += counts[bin] > 0;
    }
    for (size_t visit = 0; visit < builder->visit_count; visit++) {
        double seen[DRIFT_CATEGORY_BINS] = {0}, all = 0;
        for (size_t row = builder->visits[visit]; row < builder->visits[visit + 1]; row++)
            if (builder->places[row][feature] != DRIFT_ABSENT) {
                seen[builder->places[row][feature]]++;
                all++;
            }
        for (int bin = 0; all > 0 && bin < bins; bin++)
            squares[bin] += pow(seen[bin] - all * counts[bin] / n, 2);
    }
    for (int bin = 0; filled > 1 && bin < bins; bin++)
        if (counts[bin] > 0)
            effect += squares[bin] / counts[bin] / (filled - 1); // (1 - p) cancels
    return fmax(1, effect);
}

static struct drift_output output_of(const struct row *row)
{
    struct drift_output output = {.n = 1};
    output.classes[row->class] = 1;
    for (int i = 0; i < DRIFT_MEANS; i++)
        output.sums[i] = row->means[i];
    for (int i = 0; i < DRIFT_RATES; i++) {
        output.events[i] = row->events >> i & 1;
        output.trials[i] = row->events >> (DRIFT_RATES + i) & 1;
    }
    return output;
}

static void find_output_effects(const struct drift_builder *builder)
{
    struct drift_reference *reference = builder->reference;
    struct drift_groups visits = {.all = &reference->strata[0].tally.output}, days = {.all = visits.all};
    for (size_t visit = 0; visit < builder->visit_count; visit++) {
        struct drift_output sum = {0};
        for (size_t row = builder->visits[visit]; row < builder->visits[visit + 1]; row++) {
            struct drift_output output = output_of(&builder->rows[row]);
            drift_output_merge(&sum, &output);
        }
        drift_groups_add(&visits, &sum);
    }
    for (size_t day = 0; day < builder->day_count; day++)
        if (builder->days[day].n > 0)
            drift_groups_add(&days, &builder->days[day]);
    drift_effects_find(&visits, &days, reference->effects);
}

enum status drift_builder_finish(struct drift_builder *builder, struct drift_reference *reference,
                                 struct drift_rows *rows, struct error *err)
{
    if (builder->row_count < DRIFT_LEAST)
        return error_set(err, STATUS_REJECTED, "there are %zu analyses in this time; a reference needs %d",
                         builder->row_count, DRIFT_LEAST);
    int64_t days[7] = {0};
    for (int64_t at = builder->reference->from; at < builder->reference->to; at += DRIFT_DAY_MS)
        days[drift_weekday(at)]++;
    gather_visits(builder);
    for (int i = 0; i < DRIFT_COUNTED; i++)
        builder->reference->bins.effects[i] = design_effect(builder, i);
    find_output_effects(builder);
    *reference = *builder->reference;
    for (int i = 0; i < 7; i++)
        reference->weekdays[i] = days[i] ? reference->weekdays[i] / (double)days[i] : 0;
    *rows = (struct drift_rows){builder->row_count, (const uint8_t(*)[DRIFT_COUNTED])builder->places,
                                builder->visit_count, builder->visits};
    return STATUS_OK;
}
