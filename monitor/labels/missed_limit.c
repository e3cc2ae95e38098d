// missed_limit.c: streams of missed melanomas. Only a miss raises the sum, so a look is a miss, and the hits
// before it are drawn at once.
#include "monitor/labels/missed_limit.h"

#include <math.h>

#include "common/statistics/null_streams.h"
#include "common/statistics/random_draws.h"

enum {
    STREAMS_LEAST = 250,
    STREAMS_MOST = 2000,
    LOOKS_LEAST = 20,
    LOOKS_OF_RUN = 4,        // streams are that many wanted run lengths long
    LOOKS_MOST = 1 << 21,    // of all streams, as far as STREAMS_LEAST allows
    RUN_LENGTH_MOST = 10000, // misses: limits for more are those for so many
};
static const double limit_least = 1e-6; // every miss is an alarm; without one the sum is 0

double missed_share_known(double share, double ratio)
{
    return share * ratio / (share * ratio + 1 - share);
}

struct bernoulli_cusum missed_scores(double ratio)
{
    return bernoulli_cusum_for(missed_share_known(MISSED_SHARE_WELL, ratio),
                               missed_share_known(MISSED_SHARE_BAD, ratio));
}

struct stream {
    const struct missed_chart *chart;
    double share; // that are missed
    struct random_draws draws;
    struct bernoulli_cusum scores;
    double log_of_hit; // logarithm of the true probability that a known melanoma was no miss
    double sum;
};

static void begin(void *context, uint64_t number)
{
    struct stream *stream = context;
    const struct missed_chart *chart = stream->chart;
    stream->draws = (struct random_draws){{chart->seed, number}, 0};
    double place = random_draws_uniform(&stream->draws) * (double)chart->count;
    const struct missed_visibility *visibility = &chart->visibilities[(size_t)place];
    double truth = visibility->ratio * exp(visibility->log_error * random_draws_normal(&stream->draws));
    stream->scores = missed_scores(visibility->ratio);
    stream->log_of_hit = log1p(-missed_share_known(stream->share, truth));
    stream->sum = 0;
}

static double look(void *context)
{
    struct stream *stream = context;
    double hits = floor(log(random_draws_uniform(&stream->draws)) / stream->log_of_hit);
    stream->sum = cusum_next(stream->sum, hits * stream->scores.none) + stream->scores.event;
    return stream->sum;
}

// Misses that become known in a day, where all is well. At another share of misses they are as many more as
// that is greater.
static double misses_a_day(const struct missed_chart *chart)
{
    double sum = 0;
    for (size_t i = 0; i < chart->count; i++)
        sum += missed_share_known(MISSED_SHARE_WELL, chart->visibilities[i].ratio);
    return chart->a_day * sum / (double)chart->count;
}

struct missed_limit missed_limit_find(const struct missed_chart *chart, double wanted_days)
{
    double a_day = misses_a_day(chart), wanted = fmin(fmax(1, wanted_days * a_day), RUN_LENGTH_MOST);
    int looks = (int)fmax(LOOKS_LEAST, ceil(LOOKS_OF_RUN * wanted));
    struct stream well = {.chart = chart, .share = MISSED_SHARE_WELL};
    struct stream bad = {.chart = chart, .share = MISSED_SHARE_BAD};
    struct null_streams streams = {
        .begin = begin,
        .look = look,
        .context = &well,
        .streams = (int)fmin(fmax(STREAMS_LEAST, LOOKS_MOST / (double)looks), STREAMS_MOST),
        .looks = looks};
    struct missed_limit found = {.limit = null_streams_limit(&streams, wanted)};
    found.limit = isnan(found.limit) ? NAN : fmax(limit_least, found.limit);
    found.arl0_days = null_streams_run_length(&streams, found.limit) / a_day;
    streams.context = &bad;
    found.delay_days =
        null_streams_run_length(&streams, found.limit) / (a_day * MISSED_SHARE_BAD / MISSED_SHARE_WELL);
    return found;
}
