// test_monitor_drift_charts.c: the charts by hand and by published run lengths, and the false alarms of
// limits that were found by simulation, in other simulated years.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/statistics/null_streams.h"
#include "monitor/drift/limits_find.h"
#include "monitor/drift/limits_input.h"
#include "tests/support/near.h"

enum { SEED = 20261201, OTHER_SEED = 77 };

static const double shares[LESION_CLASSES] = {.178, .508, .131, .034, .104, .009, .010, .026};
static const double every_day[7] = {200, 200, 200, 200, 200, 200, 200};
static const double alone[DRIFT_CHARTS] = {1, 1, 1, 1, 1, 1}; // design effects: none

static void within(const char *what, double found, double low, double high)
{
    if (!(found >= low && found <= high))
        fail_msg("%s: %g, expected %g to %g", what, found, low, high);
}

static struct drift_baseline published_baseline(void)
{
    struct drift_baseline baseline = {.n = 5600, .means = {0.5, 0.8}, .sds = {0.4, 0.2}};
    memcpy(baseline.shares, shares, sizeof shares);
    for (int i = 0; i < DRIFT_RATES; i++) {
        baseline.rates[i] = 0.075;
        baseline.rate_trials[i] = 5600;
    }
    return baseline;
}

static void test_cusum_by_hand(void **state)
{
    (void)state;
    struct drift_baseline baseline = published_baseline();
    struct drift_chart chart = {0};
    baseline.rates[RATE_URGENT] = 0.5;
    // Odds 1 become 1.5 and 1/1.5: p1 0.6 and 0.4.
    struct drift_output day = {.n = 10, .events = {8, 0, 0}, .trials = {10, 10, 10}};
    double up = 8 * log(0.6 / 0.5) + 2 * log(0.4 / 0.5);
    near("one day", drift_chart_next(&chart, CHART_URGENT, &baseline, &day), up, 1e-12);
    near("two days", drift_chart_next(&chart, CHART_URGENT, &baseline, &day), 2 * up, 1e-12);
    day = (struct drift_output){0};
    near("a day without pictures", drift_chart_next(&chart, CHART_URGENT, &baseline, &day), 2 * up, 1e-12);

    chart = (struct drift_chart){0};
    day = (struct drift_output){.n = 100,
                                .sums = {100 * (0.5 + 0.08), 100 * (0.8 - 0.05)}}; // z = 0.08 / 0.4 * 10 = 2
    near("entropy", drift_chart_next(&chart, CHART_ENTROPY, &baseline, &day), 1.5, 1e-12);
    chart = (struct drift_chart){0}; // z = -0.05 / 0.2 * 10 = -2.5
    near("confidence", drift_chart_next(&chart, CHART_CONFIDENCE, &baseline, &day), 2, 1e-12);
    baseline.rate_trials[RATE_FAR] = 10;
    assert_true(isnan(drift_chart_next(&chart, CHART_FAR, &baseline, &day)));
}

static void test_plain_rates_need_fifty(void **state)
{
    (void)state;
    struct drift_baseline baseline = published_baseline();
    struct drift_output output = {.n = 49, .events = {49, 49, 0}, .trials = {49, 49, 0}};
    const int64_t week[LESION_CLASSES] = {49};
    const struct drift_plain_day day = {&output, week, true, NAN};
    static const enum drift_plain_rule rules[] = {PLAIN_TWO_SD, PLAIN_MELANOMA, PLAIN_LOW_CONFIDENCE,
                                                  PLAIN_URGENT};
    double value, limit;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        assert_false(drift_plain_judge(rules[i], &baseline, &day, &value, &limit));
        assert_true(isnan(value));
    }
    output.n = 50;
    assert_true(drift_plain_judge(PLAIN_URGENT, &baseline, &day, &value, &limit));
}

// reference/statistics: 200 answers a day of these shares, each day a look.
static void test_published_run_lengths(void **state)
{
    (void)state;
    struct drift_stream stream = {.baseline = published_baseline(),
                                  .weekdays = every_day,
                                  .effects = alone,
                                  .known = true,
                                  .seed = SEED};
    const struct null_streams streams = {drift_stream_begin, drift_stream_look, &stream, 1500, 365};
    stream.kind = CHART_CLASS_MIX;
    within("X2 above 20.9", null_streams_run_length(&streams, 20.9), 365 * 0.88, 365 * 1.12);
    const struct null_streams plain = {drift_stream_begin, drift_stream_look, &stream, 1500, 60};
    stream.kind = DRIFT_CHARTS;
    stream.rule = PLAIN_TWO_SD;
    within("two standard deviations", null_streams_run_length(&plain, 0.5), 5.5, 6.4);
    // 15 of 200 are in the band from 10 to 20: P(outside) by the binomial distribution is 0.1374.
    stream.rule = PLAIN_URGENT;
    within("outside 5 to 10 %", null_streams_run_length(&plain, 0.5), 0.93 / 0.1374, 1.07 / 0.1374);
}

static void test_looks(void **state)
{
    (void)state;
    // By following all paths of five looks (a program of its own): expected looks to three hits among five.
    static const double rows[][2] = {
        {1, 3}, {0.5, 7.267692307692307}, {0.1, 243.2654723215479}, {0.05, 1608.439159555579}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        near("run length", drift_looks_run_length(rows[i][0]), rows[i][1], 1e-9);
    assert_true(isinf(drift_looks_run_length(0)));

    static const double p[] = {0.5, 1e-3, 1e-5, 1e-2, 1, 1, 1e-4};
    static const double third[] = {NAN, NAN, 0.5, 1e-2, 1e-2, 1e-2, 1};
    struct drift_looks looks = {0};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        double found = drift_looks_next(&looks, p[i]);
        assert_int_equal(isnan(found), isnan(third[i]));
        if (!isnan(found) && third[i] < 1)
            near("third least of five", found, -log10(third[i]), 1e-12);
    }
}

// ---- limits ----

static int64_t alarms_in(struct drift_stream *stream, double limit, int years)
{
    int64_t alarms = 0;
    for (int year = 0; year < years; year++) {
        drift_stream_begin(stream, (uint64_t)year);
        for (int day = 0; day < 365; day++)
            if (drift_stream_look(stream) >= limit) {
                alarms++;
                stream->chart = (struct drift_chart){0};
            }
    }
    return alarms;
}

// Fewer pictures than answers: what a small reference does to looks is seen too.
enum { PICTURES = 1000, ANSWERS = 7000 };
static uint8_t places[PICTURES][DRIFT_COUNTED];
static size_t visits[PICTURES + 1]; // a picture each

// Pictures whose features go together two by two.
static void make_pictures(struct drift_reference *reference)
{
    struct random_draws draws = {{SEED, 1}, 0};
    struct drift_stratum *all = &reference->strata[0];
    reference->stratum_count = 1;
    for (int i = 0; i < DRIFT_CATEGORIES; i++)
        reference->bins.name_counts[i] = 4;
    for (int i = 0; i < DRIFT_COUNTED; i++)
        reference->bins.effects[i] = 1;
    for (size_t i = 0; i <= PICTURES; i++)
        visits[i] = i;
    for (int row = 0; row < PICTURES; row++)
        for (int i = 0; i < DRIFT_COUNTED; i++) {
            int bins = i < DRIFT_NUMBERS ? DRIFT_NUMBER_BINS - 2 : 4;
            bool with_last = i % 2 && random_draws_uniform(&draws) < 0.5 && i != DRIFT_NUMBERS;
            places[row][i] = with_last ? places[row][i - 1]
                                       : (uint8_t)((i < DRIFT_NUMBERS) + bins * random_draws_uniform(&draws));
            all->tally.counts[i][places[row][i]]++;
        }
    for (int i = 0; i < LESION_CLASSES; i++)
        all->tally.output.classes[i] = llround(ANSWERS * shares[i]);
    all->tally.output.n = ANSWERS;
    all->tally.output.sums[MEAN_ENTROPY] = 0.5 * ANSWERS;
    all->tally.output.squares[MEAN_ENTROPY] = (0.25 + 0.16) * ANSWERS;
    all->tally.output.sums[MEAN_CONFIDENCE] = 0.8 * ANSWERS;
    all->tally.output.squares[MEAN_CONFIDENCE] = (0.64 + 0.04) * ANSWERS;
    for (int i = 0; i < DRIFT_CHARTS; i++)
        reference->effects[i] = 1;
    for (int i = 0; i < DRIFT_RATES; i++) {
        all->tally.output.trials[i] = ANSWERS;
        all->tally.output.events[i] = ANSWERS * 75 / 1000;
    }
    for (int i = 0; i < 7; i++)
        reference->weekdays[i] = 250;
    reference->from = 0;
    reference->to = 28 * INT64_C(86400000);
}

static struct drift_reference *reference;
static struct drift_rows rows = {PICTURES, (const uint8_t (*)[DRIFT_COUNTED])places, PICTURES, visits};

// A budget of 96 is 6 false alarms a year of each chart, so that few years tell.
static void test_false_alarms_as_declared(void **state)
{
    (void)state;
    enum { YEARS = 300 };
    reference = drift_reference_new();
    make_pictures(reference);
    drift_limits_find(reference, &rows, 96, SEED);
    struct drift_stream stream = {
        .weekdays = reference->weekdays, .effects = reference->effects, .seed = OTHER_SEED};
    drift_baseline_of(&reference->strata[0].tally.output, &stream.baseline);
    for (int i = 0; i < DRIFT_CHARTS; i++) {
        const struct drift_limit *limit = &reference->limits.charts[i];
        near("the share of the budget", limit->arl0_days, 365 / 6.0, 1e-12);
        stream.kind = (enum drift_chart_kind)i;
        within(drift_charts[i], (double)alarms_in(&stream, limit->limit, YEARS), 6 * YEARS * 0.85,
               6 * YEARS * 1.15);
        assert_true(limit->delay_days > 1 && limit->delay_days < limit->arl0_days);
    }
}

static void test_false_alarms_of_looks(void **state)
{
    (void)state;
    enum { STREAMS = 60, LOOKS = 365 };
    static double least_p[STREAMS * LOOKS];
    const struct drift_look_plan plan = {reference, &rows, OTHER_SEED, STREAMS, LOOKS, 250, false};
    drift_simulate_looks(&plan, least_p, NULL);
    within("input", (double)drift_count_alarms(&plan, least_p, reference->limits.charts[CHART_INPUT].limit),
           6 * STREAMS * 0.82, 6 * STREAMS * 1.18); // 360 alarms: three standard errors are 16 %
    near("each day is a look", reference->limits.charts[CHART_INPUT].arl0_days, 365 / 6.0, 1e-12);
    assert_true(reference->limits.charts[CHART_INPUT].delay_days < 10);
    assert_true(reference->limits.plain[PLAIN_KL].arl0_days > 100);
    drift_reference_free(reference);
}

// All pictures of the reference lie in the lowest bin, so that a look differs from them only by pictures
// below the least one: of a thousand the share is exponential with mean 1/1000. None of 250 lies there in 1 /
// (1 + 250 / 1000) of the cases, of eight numbers each in 0.8^8.
static void test_pictures_beyond_the_reference(void **state)
{
    (void)state;
    enum { STREAMS = 4000 };
    static double least_p[STREAMS];
    struct drift_reference *alike = drift_reference_new();
    int beyond = 0;
    memset(places, DRIFT_ABSENT, sizeof places);
    for (size_t i = 0; i <= PICTURES; i++)
        visits[i] = i;
    for (int i = 0; i < DRIFT_COUNTED; i++)
        alike->bins.effects[i] = 1;
    for (int i = 0; i < DRIFT_NUMBERS; i++) {
        alike->strata[0].tally.counts[i][1] = PICTURES;
        for (int row = 0; row < PICTURES; row++)
            places[row][i] = 1;
    }
    const struct drift_look_plan plan = {alike, &rows, SEED, STREAMS, 1, 250, false};
    drift_simulate_looks(&plan, least_p, NULL);
    for (int i = 0; i < STREAMS; i++)
        beyond += least_p[i] < 1;
    within("looks with a picture beyond", beyond, STREAMS * (0.832 - 0.02), STREAMS * (0.832 + 0.02));
    drift_reference_free(alike);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cusum_by_hand),
        cmocka_unit_test(test_plain_rates_need_fifty),
        cmocka_unit_test(test_published_run_lengths),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_false_alarms_as_declared),
        cmocka_unit_test(test_false_alarms_of_looks),
        cmocka_unit_test(test_pictures_beyond_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
