// bench_monitor_charts.c: how often the monitor's charts and plain rules are wrong, and how soon they see
// what is planted in the simulated clinic. The same figures as tests/bench/monitor_delays.py, which is a
// program of its own: by the monitor's own code, from the clinic's images to alarms.
//
//     bench_monitor_charts [STREAMS [WHOLE [IMAGES_PER_DAY [DAYS [SEED]]]]]       (2000, 40, 200, 365 and 1)
//
// A line for each figure: chart or rule, plant, limit, streams, the share of them that had an alarm, days
// until it (all days, of streams without an alarm too, over the alarms), their standard error. Of plant
// "none" the days between false alarms, which is a year of each stream. Delays are days from the midnight of
// the change to the end of the day of the first alarm, over streams without an alarm in the week before.
//
// Each stream has a reference of its own, of 56 days, and begins on any day of the week; the limits are those
// of one reference, of the clinic of SEED, for 12 false alarms a year. STREAMS are drawn by visit from a
// pool: what the charts of output see of 1,000 days of the clinic, once for each plant, of the same patients.
// WHOLE clinics with a seed of their own go through bins, windows and looks: the only way for the charts of
// input.
//
// Prints figures and judges nothing (tests/integration/test_monitor_delays.py does). 2000 streams take half a
// minute, a whole one takes a second.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/drift/alarms.h"
#include "monitor/drift/limits_find.h"
#include "monitor/simulate/clinic.h"

enum { REFERENCE_DAYS = 56, QUIET_DAYS = 7, POOL_DAYS = 1000, WHOLE_DAYS = 28, YEAR = 365 };
enum { ROWS = DRIFT_LIMITED_CHARTS + DRIFT_PLAIN_RULES };
enum { PURPOSE_STREAM = 0x62656e63 };                // "benc"
static const int64_t start = INT64_C(1767571200000); // Monday, 2026-01-05
static const char *const plants[CLINIC_PLANTS] = {"none",   "melanoma_share",   "prevalence",
                                                  "camera", "swapped_channels", "missed_melanoma"};

// Sums over streams: waited, seen, and what the ratio's error needs.
struct figures {
    double limit, streams, seen, waited, seen_squares, waited_squares, products;
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

static void add(struct figures *figures, double waited, double seen)
{
    figures->streams++;
    figures->seen += seen;
    figures->waited += waited;
    figures->seen_squares += seen * seen;
    figures->waited_squares += waited * waited;
    figures->products += seen * waited;
}

// The alarms of one stream. A chart that alarmed in the week before the change does not count.
static void note(struct figures *figures, const bool *alarms, int days, bool plain, bool planted)
{
    int first = -1, early = 0, all = 0;
    for (int day = 0; day < days; day++) {
        all += alarms[day];
        early += alarms[day] && day < QUIET_DAYS;
        if (alarms[day] && day >= QUIET_DAYS && first < 0)
            first = day;
    }
    if (!planted)
        add(figures, days, all);
    else if (plain || !early)
        add(figures, (first >= 0 ? first + 1 : days) - QUIET_DAYS, first >= 0);
}

static void print(const char *name, const char *plant, const struct figures *figures)
{
    double days = figures->waited / figures->seen;
    double squares =
        figures->waited_squares - 2 * days * figures->products + days * days * figures->seen_squares;
    if (figures->streams > 0)
        printf("%-22s %-17s %8.3f %6.0f %6.3f %9.2f %8.2f\n", name, plant, figures->limit, figures->streams,
               figures->seen / figures->streams, days, sqrt(fmax(0, squares)) / figures->seen);
}

// ---- streams out of a pool ----

// What the charts of output see of an image.
struct told {
    float means[DRIFT_MEANS];
    uint8_t class, events; // events: a bit for each rate
    bool last;             // of its visit
};
struct pool {
    struct told *images;
    uint32_t *visits; // where each begins
    size_t image_count, visit_count;
    double visits_of_day[7]; // mean, from Monday
};

static struct told told_of(const struct analysis *analysis)
{
    struct drift_output output = {0};
    struct told told = {.class = (uint8_t)analysis->class};
    drift_output_add(&output, analysis);
    for (int i = 0; i < DRIFT_MEANS; i++)
        told.means[i] = (float)output.sums[i];
    for (int i = 0; i < DRIFT_RATES; i++)
        told.events |= (uint8_t)(output.events[i] << i);
    return told;
}

static void fill(struct pool *pool, enum clinic_plant plant, int images_per_day)
{
    const struct clinic_options options = {
        .seed = 1, .start = start, .days = POOL_DAYS, .images_per_day = images_per_day, .plant = plant};
    size_t most = (size_t)POOL_DAYS * (size_t)images_per_day * 2;
    struct clinic clinic;
    struct clinic_image image;
    uint64_t visit = UINT64_MAX;
    *pool = (struct pool){.images = memory_alloc(most * sizeof *pool->images),
                          .visits = memory_alloc(most * sizeof *pool->visits)};
    clinic_init(&clinic, &options);
    while (pool->image_count < most && clinic_next(&clinic, &image)) {
        struct analysis analysis;
        as_analysis(&image, &analysis);
        if (analysis.error_code[0])
            continue;
        if (image.visit != visit) {
            pool->visits[pool->visit_count++] = (uint32_t)pool->image_count;
            pool->visits_of_day[drift_weekday(image.submitted)] += 7.0 / POOL_DAYS;
        } else
            pool->images[pool->image_count - 1].last = false;
        visit = image.visit;
        pool->images[pool->image_count] = told_of(&analysis);
        pool->images[pool->image_count++].last = true;
    }
}

static void draw_day(const struct pool *pool, struct random_draws *draws, int weekday,
                     struct drift_output *day)
{
    enum { TRIALS = 1 << 20 }; // so many that the binomial law is Poisson's
    int64_t visits = random_draws_binomial(draws, TRIALS, pool->visits_of_day[weekday] / TRIALS);
    for (; visits > 0; visits--) {
        const struct told *told =
            &pool->images[pool->visits[(size_t)(random_draws_uniform(draws) * (double)pool->visit_count)]];
        for (bool last = false; !last; told++) {
            last = told->last;
            day->n++;
            day->classes[told->class]++;
            for (int i = 0; i < DRIFT_MEANS; i++) {
                day->sums[i] += told->means[i];
                day->squares[i] += (double)told->means[i] * told->means[i];
            }
            for (int i = 0; i < DRIFT_RATES; i++)
                day->events[i] += told->events >> i & 1;
        }
    }
    for (int i = 0; i < DRIFT_RATES; i++)
        day->trials[i] = day->n;
}

static void run_chart(enum drift_chart_kind kind, double limit, const struct drift_baseline *baseline,
                      const struct drift_output *output, int days, bool *alarms)
{
    struct drift_chart chart = {0};
    for (int day = 0; day < days; day++) {
        alarms[day] = drift_chart_next(&chart, kind, baseline, &output[day]) >= limit; // NaN is none
        if (alarms[day])
            chart = (struct drift_chart){0};
    }
}

static void run_rule(enum drift_plain_rule rule, const struct drift_baseline *baseline,
                     const struct drift_output *output, int days, bool *alarms)
{
    int64_t week[LESION_CLASSES] = {0};
    double value, limit;
    for (int day = 0; day < days; day++) {
        for (int i = 0; i < LESION_CLASSES; i++)
            week[i] += output[day].classes[i] - (day >= DRIFT_WEEK ? output[day - DRIFT_WEEK].classes[i] : 0);
        const struct drift_plain_day plain = {&output[day], week, day >= DRIFT_WEEK - 1, NAN};
        alarms[day] = drift_plain_judge(rule, baseline, &plain, &value, &limit);
    }
}

// before: the pool of what is not planted.
static void run_drawn(const struct pool *before, const struct pool *after, uint64_t number, int days,
                      const struct drift_limits *limits, struct figures figures[ROWS])
{
    static struct drift_output output[DRIFT_DAYS_MOST];
    static bool alarms[DRIFT_DAYS_MOST];
    struct random_draws draws = {{1, PURPOSE_STREAM}, number << 32};
    struct drift_output reference = {0};
    struct drift_baseline baseline;
    bool planted = before != after;
    memset(output, 0, sizeof output);
    for (int day = 0; day < REFERENCE_DAYS; day++)
        draw_day(before, &draws, day % 7, &reference);
    drift_baseline_of(&reference, &baseline);
    for (int day = 0; day < days; day++)
        draw_day(planted && day >= QUIET_DAYS ? after : before, &draws, (int)((number + (uint64_t)day) % 7),
                 &output[day]);
    for (int i = 0; i < DRIFT_CHARTS; i++) {
        figures[i].limit = limits->charts[i].limit;
        run_chart((enum drift_chart_kind)i, figures[i].limit, &baseline, output, days, alarms);
        note(&figures[i], alarms, days, false, planted);
    }
    for (int i = 0; i < DRIFT_PLAIN_RULES; i++)
        if (i != PLAIN_KL) {
            run_rule((enum drift_plain_rule)i, &baseline, output, days, alarms);
            note(&figures[DRIFT_LIMITED_CHARTS + i], alarms, days, true, planted);
        }
}

// ---- whole clinics ----

static void run_whole(const struct clinic_options *options, const struct drift_reference *limits,
                      struct figures figures[ROWS])
{
    static double values[DRIFT_DAYS_MOST];
    static bool alarms[DRIFT_DAYS_MOST];
    const struct drift_run_days run_days = {values, alarms};
    struct drift_reference *reference = reference_of(options, limits);
    struct drift_windows *windows = windows_of(options, reference);
    int days = drift_windows_days(windows);
    bool planted = options->plant != PLANT_NONE;
    struct drift_run run;
    drift_run_looks(windows, reference, 0, &run_days, &run);
    figures[CHART_INPUT].limit = run.limit.limit;
    note(&figures[CHART_INPUT], alarms, days, false, planted);
    drift_run_plain(windows, reference, PLAIN_KL, &run_days, &run);
    figures[DRIFT_LIMITED_CHARTS + PLAIN_KL].limit = DRIFT_PLAIN_KL;
    note(&figures[DRIFT_LIMITED_CHARTS + PLAIN_KL], alarms, days, true, planted);
    drift_windows_free(windows);
    drift_reference_free(reference);
}

// ---- all of it ----

struct plan {
    int streams, whole, images_per_day, days;
    struct drift_reference *limits;
};

static void run_wholes(const struct plan *plan, enum clinic_plant plant, struct figures figures[ROWS])
{
    int days = plant == PLANT_NONE ? YEAR : QUIET_DAYS + WHOLE_DAYS;
    struct clinic_options options = {.start = start,
                                     .days = REFERENCE_DAYS + days,
                                     .images_per_day = plan->images_per_day,
                                     .plant = plant,
                                     .plant_day = REFERENCE_DAYS + QUIET_DAYS};
    for (int stream = 0; stream < plan->whole; stream++) {
        options.seed = (uint64_t)(1000 + stream);
        run_whole(&options, plan->limits, figures);
    }
}

static void run_plant(const struct plan *plan, enum clinic_plant plant, const struct pool *none)
{
    struct figures figures[ROWS] = {{0}};
    struct pool planted = *none;
    bool is_planted = plant != PLANT_NONE;
    if (is_planted && plan->streams)
        fill(&planted, plant, plan->images_per_day);
    for (int stream = 0; stream < plan->streams; stream++)
        run_drawn(none, is_planted ? &planted : none, (uint64_t)stream,
                  is_planted ? QUIET_DAYS + plan->days : YEAR, &plan->limits->limits, figures);
    if (plant == PLANT_NONE || plant == PLANT_CAMERA || plant == PLANT_SWAPPED_CHANNELS)
        run_wholes(plan, plant, figures);
    for (int row = 0; row < ROWS; row++)
        print(row < DRIFT_LIMITED_CHARTS ? drift_charts[row] : drift_plain_rules[row - DRIFT_LIMITED_CHARTS],
              plants[plant], &figures[row]);
    fflush(stdout);
    if (is_planted && plan->streams) {
        free(planted.images);
        free(planted.visits);
    }
}

static int argument(int argc, char **argv, int place, int otherwise)
{
    return place < argc ? atoi(argv[place]) : otherwise;
}

int main(int argc, char **argv)
{
    struct plan plan = {argument(argc, argv, 1, 2000), argument(argc, argv, 2, 40),
                        argument(argc, argv, 3, 200), argument(argc, argv, 4, YEAR), NULL};
    const struct clinic_options options = {.seed = (uint64_t)argument(argc, argv, 5, 1),
                                           .start = start,
                                           .days = REFERENCE_DAYS,
                                           .images_per_day = plan.images_per_day};
    struct pool none = {0};
    if (plan.streams < 0 || plan.whole < 0 || plan.images_per_day < 1 || plan.days < 1 ||
        plan.days > DRIFT_DAYS_MOST - QUIET_DAYS)
        return 2;
    plan.limits = reference_of(&options, NULL);
    if (plan.streams)
        fill(&none, PLANT_NONE, plan.images_per_day);
    printf("%-22s %-17s %8s %6s %6s %9s %8s\n", "chart", "plant", "limit", "number", "seen", "days", "error");
    for (int plant = 0; plant < CLINIC_PLANTS; plant++)
        run_plant(&plan, (enum clinic_plant)plant, &none);
    free(none.images);
    free(none.visits);
    drift_reference_free(plan.limits);
    return 0;
}
