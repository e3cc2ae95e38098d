// missed.c: the chart of missed melanomas. A chart that gave alarm starts again; the state is that of the
// end, or the alarm, where it came within the last four weeks.
#include "monitor/labels/missed.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/control_chart.h"
#include "common/statistics/run_length.h"

enum { POINTS_MOST = 366 };
static const int64_t day_ms = 24 * 3600 * 1000, recent_ms = INT64_C(28) * 24 * 3600 * 1000;

struct melanoma {
    int64_t reviewed_at;
    size_t place; // in the list, which is in the order of the answers
    bool missed;
};

static int by_review(const void *left, const void *right)
{
    const struct melanoma *a = left, *b = right;
    int order = (a->reviewed_at > b->reviewed_at) - (a->reviewed_at < b->reviewed_at);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static struct melanoma *melanomas_of(const struct labelled_list *list, size_t *count)
{
    struct melanoma *melanomas = memory_alloc((list->count + 1) * sizeof *melanomas);
    *count = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->rows[i].truth == LESION_MEL)
            melanomas[(*count)++] =
                (struct melanoma){list->rows[i].reviewed_at, i, !action_is_referral(list->rows[i].action)};
    qsort(melanomas, *count, sizeof *melanomas, by_review);
    return melanomas;
}

// Whether anybody is known who was told to wait, whatever it turned out to be.
static bool sees_who_waits(const struct labelled_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!action_is_referral(list->rows[i].action))
            return true;
    return false;
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

enum status missed_write(const struct labelled_list *list, const struct missed_options *options,
                         cJSON *document, struct error *err)
{
    size_t count;
    struct melanoma *melanomas = melanomas_of(list, &count);
    double *sums = memory_alloc((count + 1) * sizeof *sums), sum = 0;
    double a_day = (double)count / options->days, limit = NAN;
    const struct bernoulli_cusum cusum = bernoulli_cusum_for(MISSED_SHARE_WELL, MISSED_SHARE_BAD);
    struct report_alarm alarm = {.name = "missed_melanoma",
                                 .state = "insufficient",
                                 .value = NAN,
                                 .limit = NAN,
                                 .arl0_days = NAN,
                                 .delay_days = NAN,
                                 .n = (int64_t)count,
                                 .since = -1};
    if (count >= MISSED_LEAST && sees_who_waits(list))
        limit = bernoulli_cusum_limit(&cusum, MISSED_SHARE_WELL,
                                      fmax(1, a_day * 365 / options->false_alarms_per_year));
    for (size_t i = 0; i < count && !isnan(limit); i++) {
        double start = i > 0 && sums[i - 1] >= limit ? 0 : sum;
        sum = sums[i] = cusum_next(start, melanomas[i].missed ? cusum.event : cusum.none);
        if (sum >= limit)
            alarm.since = melanomas[i].reviewed_at;
    }
    if (!isnan(limit)) {
        bool recent = alarm.since >= 0 && melanomas[count - 1].reviewed_at - alarm.since < recent_ms;
        alarm.since = recent ? alarm.since : -1;
        alarm.state = recent ? "critical" : "ok";
        alarm.value = sum;
        alarm.limit = limit;
        alarm.arl0_days = bernoulli_cusum_run_length(&cusum, limit, MISSED_SHARE_WELL) / a_day;
        alarm.delay_days = bernoulli_cusum_run_length(&cusum, limit, MISSED_SHARE_BAD) / a_day;
    }
    enum status status = report_add_alarm(document, &alarm, err);
    if (status == STATUS_OK && !isnan(limit))
        status = add_chart(melanomas, sums, count, limit, document, err);
    free(sums);
    free(melanomas);
    return status;
}
