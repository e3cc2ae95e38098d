// missed.c: the chart of missed melanomas. A chart that gave alarm starts again; the state is that of the
// end, or the alarm, where it came within the last four weeks.
#include "monitor/labels/missed.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/labels/estimates.h"
#include "monitor/labels/missed_limit.h"

enum { POINTS_MOST = 366 };
static const int64_t day_ms = 24 * 3600 * 1000, recent_ms = INT64_C(28) * 24 * 3600 * 1000;

struct melanoma {
    int64_t reviewed_at;
    size_t place; // in the list, which is in the order of the answers
    bool missed;
    struct missed_visibility visibility;
};

static int by_review(const void *left, const void *right)
{
    const struct melanoma *a = left, *b = right;
    int order = (a->reviewed_at > b->reviewed_at) - (a->reviewed_at < b->reviewed_at);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

// ---- who gets a label ----

enum { WEEKS_OF_RATIO = 13 };

// Of some cohorts, by whether they were referred.
struct known {
    int64_t n[2], labelled[2];
};

static void count_known(const struct cohort *cohort, const struct labelled_list *list, struct known *known)
{
    known->n[false] += cohort->by_action[ACTION_MONITOR];
    known->n[true] += cohort->n - cohort->by_action[ACTION_MONITOR];
    for (size_t i = cohort->first; i < cohort->end; i++)
        known->labelled[action_is_referral(list->rows[i].action)]++;
}

static bool is_enough(const struct known *known)
{
    return known->labelled[false] >= MISSED_LEAST && known->labelled[true] >= MISSED_LEAST;
}

static struct missed_visibility visibility_of(const struct known *known)
{
    double ratio = 1, variance = 0;
    for (int referred = 0; referred < 2; referred++) {
        double labelled = (double)known->labelled[referred], share = labelled / (double)known->n[referred];
        ratio *= referred ? 1 / share : share;
        variance += (1 - share) / labelled;
    }
    return (struct missed_visibility){ratio, sqrt(variance)};
}

// What stands in for cohorts that are too few themselves.
struct fallback {
    struct known frozen, all;
};

// False: there are too few labels everywhere.
static bool visibility_at(const struct known *weeks, size_t week, const struct fallback *fallback,
                          struct missed_visibility *visibility)
{
    struct known near = {0};
    for (size_t i = week + 1 > WEEKS_OF_RATIO ? week + 1 - WEEKS_OF_RATIO : 0; i <= week; i++)
        for (int referred = 0; referred < 2; referred++) {
            near.n[referred] += weeks[i].n[referred];
            near.labelled[referred] += weeks[i].labelled[referred];
        }
    const struct known *known = is_enough(&near)               ? &near
                                : is_enough(&fallback->frozen) ? &fallback->frozen
                                                               : &fallback->all;
    if (!is_enough(known))
        return false;
    *visibility = visibility_of(known);
    return true;
}

// Of each cohort; NULL: there are too few labels.
static struct missed_visibility *visibilities_of(const struct cohorts *cohorts,
                                                 const struct labelled_list *list, bool *is_frozen)
{
    struct missed_visibility *visibilities = memory_alloc(cohorts->count * sizeof *visibilities);
    struct known *weeks = memory_alloc(cohorts->count * sizeof *weeks); // zeros where it is open
    struct fallback fallback = {0};
    bool enough = cohorts->count > 0;
    for (size_t i = 0; i < cohorts->count; i++) {
        count_known(&cohorts->items[i], list, &fallback.all);
        if (cohorts->items[i].frozen_at < 0)
            continue;
        count_known(&cohorts->items[i], list, &weeks[i]);
        count_known(&cohorts->items[i], list, &fallback.frozen);
    }
    for (size_t i = 0; enough && i < cohorts->count; i++)
        enough = visibility_at(weeks, i, &fallback, &visibilities[i]);
    *is_frozen = is_enough(&fallback.frozen);
    free(weeks);
    if (enough)
        return visibilities;
    free(visibilities);
    return NULL;
}

// ---- the chart ----

// visibilities: NULL, or those of the cohorts.
static struct melanoma *melanomas_of(const struct cohorts *cohorts, const struct labelled_list *list,
                                     const struct missed_visibility *visibilities, size_t *count)
{
    struct melanoma *melanomas = memory_alloc((list->count + 1) * sizeof *melanomas);
    *count = 0;
    for (size_t week = 0; week < cohorts->count; week++)
        for (size_t i = cohorts->items[week].first; i < cohorts->items[week].end; i++) {
            const struct labelled *row = &list->rows[i];
            if (row->truth != LESION_MEL)
                continue;
            melanomas[(*count)++] = (struct melanoma){
                .reviewed_at = row->reviewed_at,
                .place = i,
                .missed = !action_is_referral(row->action),
                .visibility = visibilities ? visibilities[week] : (struct missed_visibility){NAN, NAN},
            };
        }
    qsort(melanomas, *count, sizeof *melanomas, by_review);
    return melanomas;
}

// What the page draws: the highest sum of each of the last days.
static enum status add_chart(const struct melanoma *melanomas, const double *sums, size_t count, double limit,
                             cJSON *document, struct error *err)
{
    int64_t at[POINTS_MOST], n[POINTS_MOST];
    double highest[POINTS_MOST], limits[POINTS_MOST];
    size_t points = 0, next = count; // from the last day backwards, filled from the end
    while (next > 0 && points < POINTS_MOST) {
        size_t place = POINTS_MOST - ++points;
        int64_t day = melanomas[next - 1].reviewed_at / day_ms;
        at[place] = day * day_ms;
        n[place] = 0;
        highest[place] = 0;
        limits[place] = limit;
        for (; next > 0 && melanomas[next - 1].reviewed_at / day_ms == day; next--) {
            n[place]++;
            highest[place] = fmax(highest[place], sums[next - 1]);
        }
    }
    size_t first = POINTS_MOST - points;
    const struct report_series series = {
        .chart = "Missed melanomas, as they became known",
        .name = "CUSUM",
        .unit = "",
        .count = points,
        .at = at + first,
        .y = highest + first,
        .limit = limits + first,
        .n = n + first,
    };
    return report_add_series(document, &series, err);
}

// Charts the melanomas: their sums, and when the last alarm was, or -1.
static int64_t run_chart(const struct melanoma *melanomas, size_t count, double limit, double *sums)
{
    int64_t since = -1;
    for (size_t i = 0; i < count; i++) {
        struct bernoulli_cusum scores = missed_scores(melanomas[i].visibility.ratio);
        double start = i > 0 && sums[i - 1] < limit ? sums[i - 1] : 0;
        sums[i] = cusum_next(start, melanomas[i].missed ? scores.event : scores.none);
        if (sums[i] >= limit)
            since = melanomas[i].reviewed_at;
    }
    return since;
}

static struct missed_limit limit_of(const struct melanoma *melanomas, size_t count,
                                    const struct missed_options *options)
{
    struct missed_visibility *visibilities = memory_alloc(count * sizeof *visibilities);
    for (size_t i = 0; i < count; i++)
        visibilities[i] = melanomas[i].visibility;
    const struct missed_chart chart = {visibilities, count, (double)count / options->days, options->seed};
    struct missed_limit limit = missed_limit_find(&chart, 365 / options->false_alarms_per_year);
    free(visibilities);
    return limit;
}

// What the limit was made from. visibilities: NULL, or those of the cohorts, of which the last one is told.
static void add_ground(const struct cohorts *cohorts, const struct missed_visibility *visibilities,
                       bool is_frozen, const struct missed_options *options, cJSON *document)
{
    cJSON *object = cJSON_AddObjectToObject(document, "missed_melanomas");
    double ratio = NAN, error = NAN;
    if (visibilities) {
        ratio = visibilities[cohorts->count - 1].ratio;
        error = visibilities[cohorts->count - 1].log_error;
        cJSON_AddStringToObject(object, "basis", is_frozen ? "frozen cohorts" : "all labels so far");
    } else {
        cJSON_AddStringToObject(
            object, "reason",
            "fewer than 10 labels of lesions that were referred, or of those that were not");
    }
    cJSON_AddNumberToObject(object, "seed", (double)options->seed);
    estimate_add_number(object, "label_ratio", ratio);
    estimate_add_number(object, "label_ratio_log_error", error);
    estimate_add_number(object, "known_share_well", missed_share_known(MISSED_SHARE_WELL, ratio));
    estimate_add_number(object, "known_share_bad", missed_share_known(MISSED_SHARE_BAD, ratio));
}

static enum status write_chart(const struct melanoma *melanomas, size_t count, bool is_known,
                               const struct missed_options *options, cJSON *document, struct error *err)
{
    struct report_alarm alarm = {.name = "missed_melanoma",
                                 .state = "insufficient",
                                 .value = NAN,
                                 .limit = NAN,
                                 .arl0_days = NAN,
                                 .delay_days = NAN,
                                 .n = (int64_t)count,
                                 .since = -1};
    if (!is_known || count < MISSED_LEAST)
        return report_add_alarm(document, &alarm, err);
    struct missed_limit limit = limit_of(melanomas, count, options);
    if (isnan(limit.limit))
        return report_add_alarm(document, &alarm, err);
    double *sums = memory_alloc(count * sizeof *sums);
    int64_t since = run_chart(melanomas, count, limit.limit, sums);
    bool recent = since >= 0 && melanomas[count - 1].reviewed_at - since < recent_ms;
    alarm.since = recent ? since : -1;
    alarm.state = recent ? "critical" : "ok";
    alarm.value = sums[count - 1];
    alarm.limit = limit.limit;
    alarm.arl0_days = limit.arl0_days;
    alarm.delay_days = limit.delay_days;
    enum status status = report_add_alarm(document, &alarm, err);
    if (status == STATUS_OK)
        status = add_chart(melanomas, sums, count, limit.limit, document, err);
    free(sums);
    return status;
}

enum status missed_write(const struct cohorts *cohorts, const struct labelled_list *list,
                         const struct missed_options *options, cJSON *document, struct error *err)
{
    bool is_frozen;
    struct missed_visibility *visibilities = visibilities_of(cohorts, list, &is_frozen);
    size_t count;
    struct melanoma *melanomas = melanomas_of(cohorts, list, visibilities, &count);
    add_ground(cohorts, visibilities, is_frozen, options, document);
    enum status status = write_chart(melanomas, count, visibilities != NULL, options, document, err);
    free(visibilities);
    free(melanomas);
    return status;
}
