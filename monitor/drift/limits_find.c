// limits_find.c: the limits of the daily charts, and how often the plain rules cry wolf.
#include "monitor/drift/limits_find.h"

#include <math.h>
#include <string.h>

#include "common/statistics/null_streams.h"
#include "monitor/drift/compare.h"
#include "monitor/drift/limits_input.h"

const char *const drift_shifts[DRIFT_LIMITED_CHARTS] = {
    "melanomas among the answers + 25 %",
    "mean of a day's entropy + 1 of its standard deviations",
    "mean of a day's confidence - 1 of its standard deviations",
    "odds of an urgent referral x 1.5",
    "odds of a low confidence x 1.5",
    "odds of a far picture x 1.5",
    "every tenth visit with a device that nobody has seen",
};

enum { STREAM_DAYS = 365, ALARMS = 1500, STREAMS_MOST = 10000, STREAMS_LEAST = 500, ROUGH_ALARMS = 300 };
enum { CANDIDATES = 6 };
enum { SHIFTED_STREAMS = 500, SHIFTED_DAYS = 500, PLAIN_STREAMS = 300 };
enum { PURPOSE_STREAM = 0x64726966 }; // "drif"

// ---- a stream ----

// n answers in bunches whose answers are all the same one: of as many answers as the whole part of the effect
// says, and of one more, so many of each that the counts' variance is the effect times the multinomial's.
struct law {
    const double *shares;
    size_t classes;
    double effect;
};
static void draw_alike(struct random_draws *draws, int64_t n, const struct law *law, int64_t *counts)
{
    int64_t small = (int64_t)law->effect, large = small + 1;
    double in_large = (double)n * (law->effect - (double)small);
    int64_t bunches = in_large > 0 ? (int64_t)(in_large / (double)large + random_draws_uniform(draws)) : 0;
    if (bunches * large > n)
        bunches = n / large;
    int64_t rest = n - bunches * large, drawn[LESION_CLASSES];
    const struct {
        int64_t size, count;
    } sizes[] = {{large, bunches}, {small, rest / small}, {rest % small, 1}};
    memset(counts, 0, law->classes * sizeof *counts);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].size == 0 || sizes[i].count == 0)
            continue;
        random_draws_multinomial(draws, sizes[i].count, law->shares, law->classes, drawn);
        for (size_t class = 0; class < law->classes; class ++)
            counts[class] += sizes[i].size * drawn[class];
    }
}

static int64_t draw_events(struct drift_stream *stream, int64_t trials, enum drift_rate rate, double share)
{
    const double shares[] = {share, 1 - share};
    const struct law law = {shares, 2, stream->effects[CHART_URGENT + rate]};
    int64_t counts[2];
    draw_alike(&stream->draws, trials, &law, counts);
    return counts[0];
}

static void draw_classes(struct drift_stream *stream, int64_t n, const double shares[LESION_CLASSES],
                         int64_t counts[LESION_CLASSES])
{
    const struct law law = {shares, LESION_CLASSES, stream->effects[CHART_CLASS_MIX]};
    draw_alike(&stream->draws, n, &law, counts);
}

static void draw_truth(struct drift_stream *stream)
{
    const struct drift_baseline *baseline = &stream->baseline;
    int64_t counts[LESION_CLASSES];
    stream->truth = *baseline;
    if (stream->known)
        return;
    draw_classes(stream, (int64_t)baseline->n, baseline->shares, counts);
    for (int i = 0; i < LESION_CLASSES; i++)
        stream->truth.shares[i] = ((double)counts[i] + 0.5) / (baseline->n + 0.5 * LESION_CLASSES);
    for (int i = 0; i < DRIFT_MEANS; i++)
        stream->truth.means[i] += random_draws_normal(&stream->draws) * baseline->sds[i] *
                                  sqrt(stream->effects[CHART_ENTROPY + i] / baseline->n);
    for (int i = 0; i < DRIFT_RATES; i++) {
        double trials = baseline->rate_trials[i];
        int64_t events = draw_events(stream, (int64_t)trials, (enum drift_rate)i, baseline->rates[i]);
        stream->truth.rates[i] = ((double)events + 0.5) / (trials + 1);
    }
}

static void shift(struct drift_stream *stream)
{
    struct drift_baseline *truth = &stream->truth;
    double more = truth->shares[LESION_MEL] / 4, others = 1 - truth->shares[LESION_MEL], volume = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        truth->shares[i] *= i == LESION_MEL ? 1.25 : 1 - more / others;
    for (int i = 0; i < DRIFT_WEEK; i++)
        volume += stream->weekdays[i] / DRIFT_WEEK;
    for (int i = 0; i < DRIFT_MEANS; i++) {
        double sd = truth->sds[i] * sqrt(stream->effects[CHART_ENTROPY + i] / fmax(1, volume));
        truth->means[i] += i == MEAN_CONFIDENCE ? -sd : sd;
    }
    for (int i = 0; i < DRIFT_RATES; i++) {
        double odds = 1.5 * truth->rates[i] / (1 - truth->rates[i]);
        truth->rates[i] = odds / (1 + odds);
    }
}

static void draw_day(struct drift_stream *stream, struct drift_output *day)
{
    const struct drift_baseline *truth = &stream->truth;
    int64_t n = llround(stream->weekdays[stream->day++ % DRIFT_WEEK]);
    *day = (struct drift_output){.n = n};
    draw_classes(stream, n, truth->shares, day->classes);
    for (int i = 0; i < DRIFT_MEANS; i++)
        day->sums[i] = (double)n * truth->means[i] + sqrt((double)n * stream->effects[CHART_ENTROPY + i]) *
                                                         truth->sds[i] * random_draws_normal(&stream->draws);
    for (int i = 0; i < DRIFT_RATES; i++) {
        day->trials[i] = n;
        day->events[i] = draw_events(stream, n, (enum drift_rate)i, truth->rates[i]);
    }
}

void drift_stream_begin(void *drift_stream, uint64_t number)
{
    struct drift_stream *stream = drift_stream;
    stream->draws = (struct random_draws){{stream->seed, PURPOSE_STREAM + stream->kind}, number << 32};
    stream->chart = (struct drift_chart){0};
    stream->day = (int64_t)(number % DRIFT_WEEK);
    draw_truth(stream);
    // What is shifted was in order in the week before.
    struct drift_output day;
    bool full = stream->shifted || stream->kind == DRIFT_CHARTS;
    for (int i = 1; full && i < DRIFT_WEEK; i++) {
        draw_day(stream, &day);
        memcpy(stream->chart.week[stream->chart.days++], day.classes, sizeof day.classes);
    }
    if (stream->shifted)
        shift(stream);
}

static double plain_figure(struct drift_stream *stream, const struct drift_output *day)
{
    int64_t week[LESION_CLASSES] = {0};
    double value, limit;
    memcpy(stream->chart.week[stream->chart.days++ % DRIFT_WEEK], day->classes, sizeof day->classes);
    for (int i = 0; i < DRIFT_WEEK; i++)
        for (int class = 0; class < LESION_CLASSES; class ++)
            week[class] += stream->chart.week[i][class];
    const struct drift_plain_day plain = {day, week, true, NAN};
    return drift_plain_judge(stream->rule, &stream->baseline, &plain, &value, &limit) ? 1 : 0;
}

double drift_stream_look(void *drift_stream)
{
    struct drift_stream *stream = drift_stream;
    struct drift_output day;
    draw_day(stream, &day);
    if (stream->kind == DRIFT_CHARTS)
        return plain_figure(stream, &day);
    double figure = drift_chart_next(&stream->chart, stream->kind, &stream->baseline, &day);
    return isnan(figure) ? 0 : figure;
}

// ---- limits ----

static int clamp(double value, int least, int most)
{
    return value < least ? least : value > most ? most : (int)value;
}

static bool chart_possible(const struct drift_baseline *baseline, enum drift_chart_kind kind)
{
    if (kind == CHART_ENTROPY || kind == CHART_CONFIDENCE)
        return baseline->sds[kind - CHART_ENTROPY] > 0;
    return kind == CHART_CLASS_MIX || baseline->rate_trials[kind - CHART_URGENT] >= DRIFT_LEAST_OF_RATES;
}

// Alarms over all streams at each limit, a chart beginning anew after each alarm.
static void count_alarms(struct drift_stream *stream, int streams, const double limits[CANDIDATES],
                         int64_t alarms[CANDIDATES])
{
    memset(alarms, 0, CANDIDATES * sizeof *alarms);
    for (int number = 0; number < streams; number++) {
        struct drift_chart charts[CANDIDATES] = {{0}};
        drift_stream_begin(stream, (uint64_t)number);
        for (int day = 0; day < STREAM_DAYS; day++) {
            struct drift_output output;
            draw_day(stream, &output);
            for (int i = 0; i < CANDIDATES; i++)
                if (drift_chart_next(&charts[i], stream->kind, &stream->baseline, &output) >= limits[i]) {
                    alarms[i]++; // NaN is no alarm
                    charts[i] = (struct drift_chart){0};
                }
        }
    }
}

// The first alarms of streams give a rough limit, but truths that alarm often alarm again and again: around
// it all alarms are counted, and the logarithm of their number is interpolated.
static double limit_of(struct drift_stream *stream, double arl0_days)
{
    static const double around[CANDIDATES] = {0.9, 0.97, 1.04, 1.12, 1.22, 1.4};
    int streams = clamp(ALARMS * arl0_days / STREAM_DAYS, STREAMS_LEAST, STREAMS_MOST);
    struct null_streams rough = {drift_stream_begin, drift_stream_look, stream,
                                 clamp(ROUGH_ALARMS * arl0_days / STREAM_DAYS, STREAMS_LEAST, STREAMS_MOST),
                                 STREAM_DAYS};
    double limit = null_streams_limit(&rough, arl0_days), limits[CANDIDATES];
    double wanted = log(streams * STREAM_DAYS / arl0_days);
    int64_t alarms[CANDIDATES];
    for (int i = 0; i < CANDIDATES; i++)
        limits[i] = limit * around[i];
    if (isnan(limit))
        return NAN;
    count_alarms(stream, streams, limits, alarms);
    for (int i = 1; i < CANDIDATES; i++) {
        double before = log((double)alarms[i - 1]), here = log((double)alarms[i]);
        if (before >= wanted && here <= wanted && before > here)
            return limits[i - 1] + (limits[i] - limits[i - 1]) * (before - wanted) / (before - here);
    }
    return NAN;
}

struct drift_limit drift_limit_of_chart(struct drift_stream *stream, double arl0_days)
{
    struct drift_limit found = {NAN, NAN, NAN};
    if (!chart_possible(&stream->baseline, stream->kind))
        return found;
    stream->shifted = false;
    found.limit = limit_of(stream, arl0_days);
    if (isnan(found.limit))
        return found;
    struct null_streams shifted = {drift_stream_begin, drift_stream_look, stream, SHIFTED_STREAMS,
                                   SHIFTED_DAYS};
    found.arl0_days = arl0_days;
    stream->shifted = true;
    found.delay_days = null_streams_run_length(&shifted, found.limit);
    return found;
}

// A rule that never alarmed is said to do so once in all that was simulated. The shift is that of all charts
// on daily output at once.
static struct drift_limit plain_limit(struct drift_stream *stream)
{
    struct null_streams streams = {drift_stream_begin, drift_stream_look, stream, PLAIN_STREAMS, STREAM_DAYS};
    struct drift_limit found = {.limit = NAN}; // the rule's own
    stream->kind = DRIFT_CHARTS;
    stream->shifted = false;
    found.arl0_days = fmin(null_streams_run_length(&streams, 0.5), PLAIN_STREAMS * STREAM_DAYS);
    stream->shifted = true;
    found.delay_days = null_streams_run_length(&streams, 0.5);
    return found;
}

void drift_limits_find(struct drift_reference *reference, const struct drift_rows *rows, double budget,
                       uint64_t seed)
{
    struct drift_limits *limits = &reference->limits;
    struct drift_stream stream = {
        .weekdays = reference->weekdays, .effects = reference->effects, .seed = seed};
    double arl0_days = 365 / drift_budget_of_chart(budget);
    *limits = (struct drift_limits){.seed = seed, .budget = budget};
    drift_baseline_of(&reference->strata[0].tally.output, &stream.baseline);
    for (int i = 0; i < DRIFT_CHARTS; i++) {
        stream.kind = (enum drift_chart_kind)i;
        limits->charts[i] = drift_limit_of_chart(&stream, arl0_days);
    }
    for (int i = 0; i < DRIFT_PLAIN_RULES; i++) {
        stream.rule = (enum drift_plain_rule)i;
        if (i != PLAIN_KL)
            limits->plain[i] = plain_limit(&stream);
    }
    drift_limits_find_input(reference, rows);
}
