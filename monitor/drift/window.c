// window.c: tallies are made when a stratum has its first picture of a day.
#include "monitor/drift/window.h"

#include <stdlib.h>

#include "common/base/memory.h"

struct drift_windows {
    const struct drift_reference *reference;
    int64_t first; // midnight
    int days;
    struct drift_output truth[LESION_CLASSES];
    struct drift_tally **tallies; // (days, strata); NULL: no picture
};

static const struct drift_tally nothing;

enum status drift_windows_new(struct drift_windows **windows, const struct drift_reference *reference,
                              int64_t from, int64_t to, struct error *err)
{
    int64_t first = from / DRIFT_DAY_MS, last = (to - 1) / DRIFT_DAY_MS;
    *windows = NULL;
    if (last - first >= DRIFT_DAYS_MOST)
        return error_set(err, STATUS_REJECTED, "a report of drift covers %d days at most", DRIFT_DAYS_MOST);
    struct drift_windows *made = memory_alloc(sizeof *made);
    made->reference = reference;
    made->first = first * DRIFT_DAY_MS;
    made->days = (int)(last - first + 1);
    made->tallies =
        memory_alloc((size_t)made->days * reference->stratum_count * sizeof(struct drift_tally *));
    *windows = made;
    return STATUS_OK;
}

void drift_windows_free(struct drift_windows *windows)
{
    if (!windows)
        return;
    for (size_t i = 0; i < (size_t)windows->days * windows->reference->stratum_count; i++)
        free(windows->tallies[i]);
    free(windows->tallies);
    free(windows);
}

void drift_windows_add(struct drift_windows *windows, const struct analysis *analysis)
{
    const struct drift_reference *reference = windows->reference;
    const char *const names[STRATUM_KINDS] = {"", analysis->site, analysis->capture_device};
    int64_t day = (analysis->at - windows->first) / DRIFT_DAY_MS;
    if (analysis->error_code[0] || analysis->at < windows->first || day >= windows->days)
        return;
    int label = analysis->truth.label;
    if (label >= 0 && label < LESION_CLASSES)
        drift_output_add(&windows->truth[label], analysis);
    for (int kind = 0; kind < STRATUM_KINDS; kind++) {
        int stratum = drift_stratum_find(reference, (enum drift_stratum_kind)kind, names[kind]);
        if (stratum < 0)
            continue;
        struct drift_tally **tally =
            &windows->tallies[(size_t)day * reference->stratum_count + (size_t)stratum];
        if (!*tally)
            *tally = memory_alloc(sizeof **tally);
        drift_tally_add(*tally, &reference->bins, analysis);
    }
}

int drift_windows_days(const struct drift_windows *windows)
{
    return windows->days;
}

int64_t drift_windows_day_at(const struct drift_windows *windows, int day)
{
    return windows->first + (int64_t)day * DRIFT_DAY_MS;
}

const struct drift_tally *drift_windows_day(const struct drift_windows *windows, size_t stratum, int day)
{
    const struct drift_tally *tally =
        windows->tallies[(size_t)day * windows->reference->stratum_count + stratum];
    return tally ? tally : &nothing;
}

const struct drift_output *drift_windows_truth(const struct drift_windows *windows)
{
    return windows->truth;
}

void drift_windows_last(const struct drift_windows *windows, size_t stratum, int days,
                        struct drift_tally *sum)
{
    *sum = nothing;
    for (int day = days < windows->days ? windows->days - days : 0; day < windows->days; day++)
        drift_tally_merge(sum, drift_windows_day(windows, stratum, day));
}
