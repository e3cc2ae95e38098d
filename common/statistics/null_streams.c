// null_streams.c: of a stream only its records matter, the looks that exceed all before: whatever the limit,
// the alarm is at the first record that reaches it.
#include "common/statistics/null_streams.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
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
