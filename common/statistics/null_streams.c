// null_streams.c: of a stream only its records matter, the looks that exceed all before: whatever the limit,
// the alarm is at the first record that reaches it.
#include "common/statistics/null_streams.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/chi_square.h"
#include "common/statistics/numeric.h"

struct record {
    double figure;
    int stream, look; // look: 1 is the first
};

struct records {
    struct record *records;
    size_t count, capacity;
    int streams, looks;
};

static void append(struct records *all, struct record record)
{
    if (all->count == all->capacity) {
        all->capacity = 2 * all->capacity + 1024;
        all->records = memory_realloc(all->records, all->capacity * sizeof *all->records);
    }
    all->records[all->count++] = record;
}

static struct records simulate(const struct null_streams *streams)
{
    struct records all = {.streams = streams->streams, .looks = streams->looks};
    for (int stream = 0; stream < streams->streams; stream++) {
        double greatest = -1;
        streams->begin(streams->context, (uint64_t)stream);
        for (int look = 1; look <= streams->looks; look++) {
            double figure = streams->look(streams->context);
            if (figure > greatest)
                append(&all, (struct record){greatest = figure, stream, look});
        }
    }
    return all;
}

static double run_length_at(void *records, double limit)
{
    const struct records *all = records;
    double looks = (double)all->streams * all->looks, alarms = 0;
    int alarmed = -1;
    for (size_t i = 0; i < all->count; i++) {
        const struct record *record = &all->records[i];
        if (record->figure < limit || record->stream == alarmed)
            continue;
        alarmed = record->stream;
        looks -= all->looks - record->look;
        alarms++;
    }
    return looks / alarms;
}

double null_streams_run_length(const struct null_streams *streams, double limit)
{
    struct records all = simulate(streams);
    double run_length = run_length_at(&all, limit);
    free(all.records);
    return run_length;
}

double null_streams_limit(const struct null_streams *streams, double run_length)
{
    struct records all = simulate(streams);
    double greatest = 0;
    for (size_t i = 0; i < all.count; i++)
        greatest = fmax(greatest, all.records[i].figure);
    double limit = numeric_reach(&(struct rising_function){run_length_at, &all}, run_length, 0, greatest);
    free(all.records);
    return limit;
}

enum { PURPOSE_CLASS_MIX = 0x636c6d78, PURPOSE_DAILY_CUSUM = 0x64637573 }; // "clmx", "dcus"

// Streams are pieces of one: 2^32 draws are more than a stream takes.
static struct random_draws draws_of(uint64_t seed, uint64_t purpose, uint64_t stream)
{
    return (struct random_draws){{seed, purpose}, stream << 32};
}

static void add_day(struct class_mix_stream *mix)
{
    int weekday = (int)(mix->day++ % NULL_STREAM_DAYS);
    random_draws_multinomial(&mix->draws, mix->volumes[weekday], mix->shares, mix->classes,
                             mix->counts[weekday]);
}

void class_mix_begin(void *class_mix_stream, uint64_t stream)
{
    struct class_mix_stream *mix = class_mix_stream;
    mix->draws = draws_of(mix->seed, PURPOSE_CLASS_MIX, stream);
    mix->day = (int64_t)(stream % NULL_STREAM_DAYS);
    for (int day = 1; day < NULL_STREAM_DAYS; day++)
        add_day(mix);
}

double class_mix_look(void *class_mix_stream)
{
    struct class_mix_stream *mix = class_mix_stream;
    int64_t window[NULL_STREAM_MOST_CLASSES] = {0};
    add_day(mix);
    for (int day = 0; day < NULL_STREAM_DAYS; day++)
        for (size_t i = 0; i < mix->classes; i++)
            window[i] += mix->counts[day][i];
    return chi_square_fit(window, mix->shares, mix->classes, 5).statistic;
}

void daily_cusum_begin(void *daily_cusum_stream, uint64_t stream)
{
    struct daily_cusum_stream *chart = daily_cusum_stream;
    chart->draws = draws_of(chart->seed, PURPOSE_DAILY_CUSUM, stream);
    chart->day = (int64_t)(stream % NULL_STREAM_DAYS);
    chart->more_sum = chart->fewer_sum = 0;
}

double daily_cusum_look(void *daily_cusum_stream)
{
    struct daily_cusum_stream *chart = daily_cusum_stream;
    int64_t volume = chart->volumes[chart->day++ % NULL_STREAM_DAYS];
    int64_t events = random_draws_binomial(&chart->draws, volume, chart->p);
    chart->more_sum = cusum_next(chart->more_sum, bernoulli_cusum_score(&chart->more, events, volume));
    chart->fewer_sum = cusum_next(chart->fewer_sum, bernoulli_cusum_score(&chart->fewer, events, volume));
    return fmax(chart->more_sum, chart->fewer_sum);
}
