// test_monitor_drift_effects.c: how much more visits and days vary than single answers, by arithmetic, and
// the false alarms of limits that were made for it.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/drift/effects.h"
#include "monitor/drift/limits_find.h"
#include "tests/support/near.h"

// Answers that are all alike: of one class, with one entropy and confidence, and urgent or not.
static struct drift_output alike(int64_t n, enum lesion_class class, bool urgent)
{
    double count = (double)n, entropy = urgent ? 1 : 0.5;
    struct drift_output output = {.n = n,
                                  .sums = {count * entropy, count * 0.75},
                                  .squares = {count * entropy * entropy, count * 0.75 * 0.75}};
    output.classes[class] = n;
    for (int i = 0; i < DRIFT_RATES - 1; i++) // the last has no trial: no answer tells its distance
        output.trials[i] = n;
    output.events[RATE_URGENT] = urgent ? n : 0;
    return output;
}

// 28 days of 40 visits with `images` each, of which 8 are urgent melanomas; on odd days `more` more.
static void find(int64_t images, int more, double effects[DRIFT_CHARTS])
{
    struct drift_output all = {0};
    struct drift_groups visits = {.all = &all}, days = {.all = &all};
    for (int pass = 0; pass < 2; pass++)
        for (int day = 0; day < 28; day++) {
            struct drift_output sum = {0};
            int urgent = 8 + (day % 2 ? more : -more);
            for (int i = 0; i < 40; i++) {
                struct drift_output visit = alike(images, i < urgent ? LESION_MEL : LESION_NV, i < urgent);
                if (pass == 1)
                    drift_groups_add(&visits, &visit);
                drift_output_merge(&sum, &visit);
            }
            if (pass == 0)
                drift_output_merge(&all, &sum);
            else
                drift_groups_add(&days, &sum);
        }
    drift_effects_find(&visits, &days, effects);
}

static void test_by_visit(void **state)
{
    (void)state;
    double effects[DRIFT_CHARTS];
    find(1, 0, effects); // no two of them hang together
    for (int i = 0; i < DRIFT_CHARTS; i++)
        near(drift_charts[i], effects[i], 1, 1e-9);
    find(3, 0, effects); // three in one are one
    near("class mix", effects[CHART_CLASS_MIX], 3, 1e-9);
    near("entropy", effects[CHART_ENTROPY], 3, 1e-9);
    near("urgent", effects[CHART_URGENT], 3, 1e-9);
    near("a confidence that is always the same", effects[CHART_CONFIDENCE], 1, 0);
    near("low confidence, which never was", effects[CHART_LOW_CONFIDENCE], 1, 0);
    near("a distance that nobody knows", effects[CHART_FAR], 1, 0);
}

static void test_by_day(void **state)
{
    (void)state;
    double effects[DRIFT_CHARTS];
    // 14 or 2 of 40 where 8 are expected: 36 over 40 x 0.2 x 0.8 is 5.625, of 28 days with 27 degrees.
    find(1, 6, effects);
    near("urgent", effects[CHART_URGENT], 5.625 * 28 / 27, 1e-9);
    near("class mix", effects[CHART_CLASS_MIX], 5.625 * 28 / 27, 1e-9);
    near("entropy", effects[CHART_ENTROPY], 5.625 * 28 / 27, 1e-9);
    // 10 or 6: 0.625, as chance would have it.
    find(1, 2, effects);
    near("urgent", effects[CHART_URGENT], 1, 1e-9);
}

// As test_by_day, but of the second half of the days nothing is known.
static void test_days_that_say_nothing(void **state)
{
    (void)state;
    double effects[DRIFT_CHARTS];
    struct drift_output all = {0};
    struct drift_groups visits = {.all = &all}, days = {.all = &all};
    for (int pass = 0; pass < 2; pass++)
        for (int day = 0; day < 28; day++) {
            struct drift_output sum = {.n = 40, .sums = {20, 30}, .squares = {10, 22.5}};
            sum.classes[LESION_NV] = 40;
            sum.trials[RATE_FAR] = day < 14 ? 40 : 0;
            sum.events[RATE_FAR] = day >= 14 ? 0 : day % 2 ? 14 : 2;
            if (pass == 0)
                drift_output_merge(&all, &sum);
            else
                drift_groups_add(&days, &sum);
        }
    drift_effects_find(&visits, &days, effects);
    near("far", effects[CHART_FAR], 5.625 * 14 / 13, 1e-9);
}

// ---- limits ----

// Where days vary twice as much, their standard deviation is longer by the square root of two.
static void test_shift_of_a_mean(void **state)
{
    (void)state;
    const double weekdays[7] = {250, 250, 250, 250, 250, 250, 250};
    static const double twice[DRIFT_CHARTS] = {2, 2, 2, 2, 2, 2};
    struct drift_stream stream = {.weekdays = weekdays,
                                  .effects = twice,
                                  .kind = CHART_ENTROPY,
                                  .known = true,
                                  .shifted = true,
                                  .baseline = {.n = 7000,
                                               .shares = {.05, .55, .1, .05, .15, .03, .02, .05},
                                               .means = {0.5, 0.7},
                                               .sds = {0.2, 0.3},
                                               .rates = {.1, .1, .1},
                                               .rate_trials = {7000, 7000, 7000}}};
    drift_stream_begin(&stream, 0);
    near("entropy", stream.truth.means[MEAN_ENTROPY], 0.5 + 0.2 * sqrt(2.0 / 250), 1e-12);
    near("confidence", stream.truth.means[MEAN_CONFIDENCE], 0.7 - 0.3 * sqrt(2.0 / 250), 1e-12);
}

enum { PAIRS = 125, REFERENCE_DAYS = 28, YEARS = 200, SEED = 20261202 };
enum { KINDS = 3 };
static const enum drift_chart_kind kinds[KINDS] = {CHART_CLASS_MIX, CHART_CONFIDENCE,
                                                   CHART_URGENT}; // one of each kind
static const double shares[LESION_CLASSES] = {.05, .55, .1, .05, .15, .03, .02, .05};
static const double doubled[DRIFT_CHARTS] = {2, 2, 2, 2, 2, 2};

// A day of patients with two images each, of which the model says the same. Not drawn as limits_find.c does.
static void draw_day(struct random_draws *draws, struct drift_output *day)
{
    for (int visit = 0; visit < PAIRS; visit++) {
        double uniform = random_draws_uniform(draws), entropy = random_draws_uniform(draws);
        int class = 0;
        while (class < LESION_CLASSES - 1 && uniform >= shares[class])
            uniform -= shares[class ++];
        day->n += 2;
        day->classes[class] += 2;
        day->sums[MEAN_ENTROPY] += 2 * entropy;
        day->squares[MEAN_ENTROPY] += 2 * entropy * entropy;
        day->sums[MEAN_CONFIDENCE] += 2 * (1 - entropy);
        day->squares[MEAN_CONFIDENCE] += 2 * (1 - entropy) * (1 - entropy);
        for (int i = 0; i < DRIFT_RATES; i++) {
            day->trials[i] += 2;
            day->events[i] += 2 * (random_draws_uniform(draws) < 0.075);
        }
    }
}

static void count_alarms(const struct drift_limit limits[KINDS], int64_t alarms[KINDS])
{
    for (int year = 0; year < YEARS; year++) {
        struct random_draws draws = {{SEED, 2}, (uint64_t)year << 32};
        struct drift_output known = {0};
        struct drift_baseline baseline;
        struct drift_chart charts[KINDS] = {{0}};
        for (int day = 0; day < REFERENCE_DAYS; day++)
            draw_day(&draws, &known);
        drift_baseline_of(&known, &baseline);
        for (int day = 0; day < 365; day++) {
            struct drift_output output = {0};
            draw_day(&draws, &output);
            for (int i = 0; i < KINDS; i++)
                if (drift_chart_next(&charts[i], kinds[i], &baseline, &output) >= limits[i].limit) {
                    alarms[i]++;
                    charts[i] = (struct drift_chart){0};
                }
        }
    }
}

// 6 false alarms of each chart in a year, where images come in pairs. Limits for single images give several
// times as many.
static void test_false_alarms_of_pairs(void **state)
{
    (void)state;
    struct drift_limit limits[KINDS];
    int64_t alarms[KINDS] = {0};
    const double weekdays[7] = {250, 250, 250, 250, 250, 250, 250};
    struct drift_stream stream = {.weekdays = weekdays, .effects = doubled, .seed = SEED};
    struct drift_output known = {.n = 7000};
    const double half[DRIFT_MEANS] = {0.5, 0.5}; // uniform from 0 to 1
    for (int i = 0; i < LESION_CLASSES; i++)
        known.classes[i] = llround(7000 * shares[i]);
    for (int i = 0; i < DRIFT_MEANS; i++) {
        known.sums[i] = 7000 * half[i];
        known.squares[i] = 7000 / 3.0;
    }
    for (int i = 0; i < DRIFT_RATES; i++) {
        known.trials[i] = 7000;
        known.events[i] = 525;
    }
    drift_baseline_of(&known, &stream.baseline);
    for (int i = 0; i < KINDS; i++) {
        stream.kind = kinds[i];
        limits[i] = drift_limit_of_chart(&stream, 365 / 6.0);
    }
    count_alarms(limits, alarms);
    for (int i = 0; i < KINDS; i++)
        near(drift_charts[kinds[i]], (double)alarms[i], 6 * YEARS, 0.15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_visit),
        cmocka_unit_test(test_by_day),
        cmocka_unit_test(test_days_that_say_nothing),
        cmocka_unit_test(test_shift_of_a_mean),
        cmocka_unit_test(test_false_alarms_of_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
