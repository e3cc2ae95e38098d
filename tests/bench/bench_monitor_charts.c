// bench_monitor_charts.c: how often the monitor's charts and plain rules are wrong, and how soon they see
// what is planted in the simulated clinic. The same figures as tests/bench/monitor_delays.py, which is a
// program of its own: by the monitor's own code, from images to alarms.
//
//     bench_monitor_charts [STREAMS [IMAGES_PER_DAY [DAYS]]]       (200, 200 and 365)
//
// Each stream is a clinic with a seed of its own: 56 days for its reference, a week in which all is well, and
// then DAYS. The limits are those of the first stream's reference, for 12 false alarms a year. Delays are
// days from the midnight of the change to the end of the day of the first alarm, over streams without an
// alarm in the week before: all such days, of streams without an alarm too, over the alarms. In brackets the
// share of streams that had one. Prints figures and judges nothing. 200 streams take some minutes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/drift/alarms.h"
#include "monitor/drift/limits_find.h"
#include "monitor/simulate/clinic.h"

enum { REFERENCE_DAYS = 56, QUIET_DAYS = 7, ROWS = DRIFT_LIMITED_CHARTS + DRIFT_PLAIN_RULES };
static const int64_t start = INT64_C(1767571200000); // Monday, 2026-01-05
static const char *const plants[CLINIC_PLANTS] = {"none",   "melanoma_share",   "prevalence",
                                                  "camera", "swapped_channels", "missed_melanoma"};

struct figures {
    double limit, alarms, days, seen, waited, streams;
};

// The subject's text lives until the next one.
static void as_analysis(const struct clinic_image *image, struct analysis *analysis)
{
    static char subject[24];
    const struct reading *reading = &image->reading;
    memset(analysis, 0, sizeof *analysis);
    analysis->at = image->submitted;
    analysis->site = clinic_sites[image->site];
    snprintf(subject, sizeof subject, "%llu", (unsigned long long)image->visit);
    analysis->subject = subject;
    analysis->capture_device = image->device ? image->device : "";
    analysis->lesion_location = image->place ? image->place : "";
    analysis->dermatoscope_attached = image->dermatoscope;
    analysis->fitzpatrick_type = image->skin_type;
    analysis->error_code = image->failure == CLINIC_UNDECODABLE ? "failed" : ""; // others are sent again
    analysis->class = reading->order[0];
    analysis->confidence = reading->probabilities[reading->order[0]];
    analysis->entropy_nats = reading->entropy_nats;
    analysis->action = reading->action;
    analysis->features = image->features;
    analysis->ood = reading->ood;
    analysis->image_bytes = -1;
    analysis->truth.label = -1;
}

static bool next_analysis(struct clinic *clinic, struct analysis *analysis)
{
    struct clinic_image image;
    if (!clinic_next(clinic, &image))
        return false;
    as_analysis(&image, analysis);
    return true;
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
}

// The reference of the clinic's first days; limits: of another one, or NULL to find them.
static struct drift_reference *reference_of(const struct clinic_options *options,
                                            const struct drift_reference *limits)
{
    int64_t end = start + (int64_t)REFERENCE_DAYS * DRIFT_DAY_MS;
    struct drift_builder *builder = drift_builder_new(start, end);
    struct drift_reference *reference = drift_reference_new();
    struct drift_rows rows;
    struct error err;
    for (int pass = 0; pass < 2; pass++) {
        struct clinic clinic;
        struct analysis analysis;
        clinic_init(&clinic, options);
        while (next_analysis(&clinic, &analysis) && analysis.at < end)
            must(pass == 0 ? drift_builder_learn(builder, &analysis, &err)
                           : drift_builder_count(builder, &analysis, &err),
                 &err);
        if (pass == 0)
            drift_builder_bins(builder);
    }
    must(drift_builder_finish(builder, reference, &rows, &err), &err);
    if (limits) {
        reference->limits = limits->limits;
        reference->strata[0].input = limits->strata[0].input;
    } else {
        drift_limits_find(reference, &rows, 12, 1);
    }
    drift_builder_free(builder);
    return reference;
}

static struct drift_windows *windows_of(const struct clinic_options *options,
                                        const struct drift_reference *reference)
{
    int64_t from = start + (int64_t)REFERENCE_DAYS * DRIFT_DAY_MS;
    struct drift_windows *windows;
    struct clinic clinic;
    struct analysis analysis;
    struct error err;
    must(drift_windows_new(&windows, reference, from, start + (int64_t)options->days * DRIFT_DAY_MS, &err),
         &err);
    clinic_init(&clinic, options);
    while (next_analysis(&clinic, &analysis))
        drift_windows_add(windows, &analysis);
    return windows;
}

// ---- figures ----

static void note(struct figures *figures, const struct drift_run *run, const bool *alarms, int days,
                 bool plain, bool planted)
{
    int first = -1, early = 0;
    for (int day = 0; day < days; day++) {
        early += alarms[day] && day < QUIET_DAYS;
        if (alarms[day] && day >= QUIET_DAYS && first < 0)
            first = day;
    }
    figures->limit = run->limit.limit;
    figures->alarms += run->alarms;
    figures->days += days;
    if (!planted || (early && !plain))
        return;
    figures->streams++;
    figures->seen += first >= 0;
    figures->waited += (first >= 0 ? first + 1 : days) - QUIET_DAYS;
}

static void run_stream(const struct clinic_options *options, const struct drift_reference *limits,
                       struct figures figures[ROWS])
{
    struct drift_reference *reference = reference_of(options, limits);
    struct drift_windows *windows = windows_of(options, reference);
    int days = drift_windows_days(windows);
    struct drift_run_days run_days = {memory_alloc((size_t)days * sizeof(double)),
                                      memory_alloc((size_t)days * sizeof(bool))};
    bool planted = options->plant != PLANT_NONE;
    for (int i = 0; i < ROWS; i++) {
        struct drift_run run;
        bool plain = i >= DRIFT_LIMITED_CHARTS;
        if (plain)
            drift_run_plain(windows, reference, (enum drift_plain_rule)(i - DRIFT_LIMITED_CHARTS), &run_days,
                            &run);
        else if (i == CHART_INPUT)
            drift_run_looks(windows, reference, 0, &run_days, &run);
        else
            drift_run_chart(windows, reference, (enum drift_chart_kind)i, &run_days, &run);
        note(&figures[i], &run, run_days.alarms, days, plain, planted);
    }
    free(run_days.values);
    free(run_days.alarms);
    drift_windows_free(windows);
    drift_reference_free(reference);
}

static void print(int row, struct figures all[CLINIC_PLANTS][ROWS])
{
    const struct figures *none = &all[PLANT_NONE][row];
    printf("%-22s %8.2f %8.2f",
           row < DRIFT_LIMITED_CHARTS ? drift_charts[row] : drift_plain_rules[row - DRIFT_LIMITED_CHARTS],
           none->limit, none->alarms / none->days * 365.25);
    for (int plant = 1; plant < CLINIC_PLANTS; plant++) {
        const struct figures *figures = &all[plant][row];
        printf("  %8.1f (%3.0f %%)", figures->waited / figures->seen, 100 * figures->seen / figures->streams);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    static struct figures all[CLINIC_PLANTS][ROWS];
    int streams = argc > 1 ? atoi(argv[1]) : 200, images = argc > 2 ? atoi(argv[2]) : 200;
    int days = argc > 3 ? atoi(argv[3]) : 365;
    struct clinic_options options = {.seed = 1,
                                     .start = start,
                                     .days = REFERENCE_DAYS + QUIET_DAYS + days,
                                     .images_per_day = images,
                                     .plant_day = REFERENCE_DAYS + QUIET_DAYS};
    if (streams < 1 || images < 1 || days < 1 || days > DRIFT_DAYS_MOST - QUIET_DAYS)
        return 2;
    struct drift_reference *limits = reference_of(&options, NULL);
    printf("%-22s %8s %8s", "", "limit", "false/y");
    for (int plant = 1; plant < CLINIC_PLANTS; plant++)
        printf("  %16s", plants[plant]);
    putchar('\n');
    for (int plant = 0; plant < CLINIC_PLANTS; plant++)
        for (int stream = 0; stream < streams; stream++) {
            options.plant = (enum clinic_plant)plant;
            options.seed = (uint64_t)(1000 + stream);
            run_stream(&options, limits, all[plant]);
        }
    for (int row = 0; row < ROWS; row++)
        print(row, all);
    drift_reference_free(limits);
    return 0;
}
