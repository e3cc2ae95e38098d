// test_null_streams.c: draws against their distributions, limits against published ones and exact run
// lengths, and the false alarms of every chart in 2,000 years without change, which are other streams than
// the limits come from.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "common/statistics/chi_square.h"
#include "common/statistics/null_streams.h"
#include "common/statistics/random_draws.h"
#include "common/statistics/run_length.h"
#include "common/statistics/special.h"
#include "tests/support/near.h"

enum { LIMIT_SEED = 1, YEARS_SEED = 2, DAYS = 365, YEARS = 2000, WEEK = 7, CLASSES = 8 };

// The table's classes, 200 analyses a day.
static const double SHARES[CLASSES] = {.178, .508, .131, .034, .104, .009, .010, .026};

// Pearson's statistic of the classes of the last seven days, looked at daily, classes that expect fewer than
// five merged. A stream begins with six days that are not looked at.
struct class_mix_stream {
    int64_t volume; // a day
    uint64_t seed;
    struct random_draws draws; // of the stream itself, from here on
    int64_t day, counts[WEEK][CLASSES];
};

// A CUSUM of events that is looked at once a day; with two sides the greater of both sums.
struct daily_cusum_stream {
    struct bernoulli_cusum more, fewer; // all 0: there is no such side
    double p;
    int64_t volumes[WEEK];
    uint64_t seed;
    struct random_draws draws; // of the stream itself, from here on
    int64_t day;
    double more_sum, fewer_sum;
};

static void add_day(struct class_mix_stream *mix)
{
    int weekday = (int)(mix->day++ % WEEK);
    random_draws_multinomial(&mix->draws, mix->volume, SHARES, CLASSES, mix->counts[weekday]);
}

static void class_mix_begin(void *class_mix_stream, uint64_t stream)
{
    struct class_mix_stream *mix = class_mix_stream;
    mix->draws = (struct random_draws){{mix->seed, stream}, 0};
    mix->day = 0;
    for (int day = 1; day < WEEK; day++)
        add_day(mix);
}

static double class_mix_look(void *class_mix_stream)
{
    struct class_mix_stream *mix = class_mix_stream;
    int64_t window[CLASSES] = {0};
    add_day(mix);
    for (int day = 0; day < WEEK; day++)
        for (size_t i = 0; i < CLASSES; i++)
            window[i] += mix->counts[day][i];
    return chi_square_fit(window, SHARES, CLASSES, 5).statistic;
}

static void daily_cusum_begin(void *daily_cusum_stream, uint64_t stream)
{
    struct daily_cusum_stream *chart = daily_cusum_stream;
    chart->draws = (struct random_draws){{chart->seed, stream}, 0};
    chart->day = (int64_t)(stream % WEEK);
    chart->more_sum = chart->fewer_sum = 0;
}

static double daily_cusum_look(void *daily_cusum_stream)
{
    struct daily_cusum_stream *chart = daily_cusum_stream;
    int64_t volume = chart->volumes[chart->day++ % WEEK];
    int64_t events = random_draws_binomial(&chart->draws, volume, chart->p);
    chart->more_sum = cusum_next(chart->more_sum, bernoulli_cusum_score(&chart->more, events, volume));
    chart->fewer_sum = cusum_next(chart->fewer_sum, bernoulli_cusum_score(&chart->fewer, events, volume));
    return fmax(chart->more_sum, chart->fewer_sum);
}

static void within(const char *what, double found, double expected, double share)
{
    if (!(fabs(found / expected - 1) <= share))
        fail_msg("%s: %g, expected %g within %g %%", what, found, expected, 100 * share);
}

static void binomial_draws(void **state)
{
    (void)state;
    enum { DRAWS = 40000, MOST = 1001 };
    static const struct {
        int64_t n;
        double p;
    } rows[] = {{5, 0.3}, {200, 0.01}, {200, 0.178}, {1000, 0.03}, {30, 0.9}, {400, 0.5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct random_draws draws = {{7, i}, 0};
        int64_t counts[MOST] = {0};
        double shares[MOST];
        for (int draw = 0; draw < DRAWS; draw++) {
            int64_t k = random_draws_binomial(&draws, rows[i].n, rows[i].p);
            assert_in_range(k, 0, rows[i].n);
            counts[k]++;
        }
        for (int64_t k = 0; k <= rows[i].n; k++)
            shares[k] = special_binomial_pmf((double)k, (double)rows[i].n, rows[i].p);
        double p = chi_square_fit(counts, shares, (size_t)rows[i].n + 1, 5).p;
        if (!(p > 1e-4))
            fail_msg("n %d, p %g: not binomial, p %g", (int)rows[i].n, rows[i].p, p);
    }
    struct random_draws draws = {{7, 7}, 0};
    assert_int_equal(random_draws_binomial(&draws, 0, 0.5), 0);
    assert_int_equal(random_draws_binomial(&draws, 9, 0), 0);
    assert_int_equal(random_draws_binomial(&draws, 9, 1), 9);
}

static void other_draws(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    struct random_draws draws = {{8, 0}, 0};
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        double z = random_draws_normal(&draws);
        sum += z;
        squares += z * z;
    }
    assert_true(fabs(sum / DRAWS) < 4 / sqrt(DRAWS));
    assert_true(fabs(squares / DRAWS - 1) < 4 * sqrt(2. / DRAWS));
    int64_t counts[8];
    random_draws_multinomial(&draws, DRAWS, SHARES, 8, counts);
    assert_true(chi_square_fit(counts, SHARES, 8, 5).p > 1e-4);
    random_draws_multinomial(&draws, 5, (double[]){0, 1}, 2, counts);
    assert_true(counts[0] == 0 && counts[1] == 5);
}

static void begin_uniform(void *context, uint64_t stream)
{
    *(struct random_draws *)context = (struct random_draws){{LIMIT_SEED, 0}, stream << 32};
}

static double look_uniform(void *context)
{
    return random_draws_uniform(context);
}

// Independent looks: the run length is 1 / P(figure >= limit), also where most streams end without an alarm.
static void independent_looks(void **state)
{
    (void)state;
    struct random_draws draws;
    struct null_streams streams = {begin_uniform, look_uniform, &draws, 4000, 100};
    within("run length", null_streams_run_length(&streams, 0.9), 10, 0.05);
    within("run length of short streams", null_streams_run_length(&streams, 0.999), 1000, 0.15);
    within("limit", 1 - null_streams_limit(&streams, 50), 1. / 50, 0.05);
    assert_true(isinf(null_streams_run_length(&streams, 1)));
    assert_true(isnan(null_streams_limit(&streams, 1e9)));
}

// One more or fewer of a day's look: a daily look at one observation is a look after each.
static void daily_cusum_of_single_observations(void **state)
{
    (void)state;
    struct daily_cusum_stream chart = {.more = bernoulli_cusum_for(0.1, 0.2),
                                       .p = 0.1,
                                       .volumes = {1, 1, 1, 1, 1, 1, 1},
                                       .seed = LIMIT_SEED};
    struct null_streams streams = {daily_cusum_begin, daily_cusum_look, &chart, 4000, 1000};
    within("run length", null_streams_run_length(&streams, 3),
           bernoulli_cusum_run_length(&chart.more, 3, 0.1), 0.05);
    chart.p = 0.2;
    within("delay", null_streams_run_length(&streams, 3), bernoulli_cusum_run_length(&chart.more, 3, 0.2),
           0.05);
}

static struct class_mix_stream class_mix(uint64_t seed)
{
    return (struct class_mix_stream){.volume = 200, .seed = seed};
}

static void class_mix_limits(void **state)
{
    (void)state;
    struct class_mix_stream mix = class_mix(LIMIT_SEED);
    struct null_streams streams = {class_mix_begin, class_mix_look, &mix, 2000, 365};
    static const double rows[][2] = {{18.9, 180}, {20.9, 365}, {22.8, 730}};
    for (size_t i = 0; i < 3; i++)
        within("run length", null_streams_run_length(&streams, rows[i][0]), rows[i][1], 0.12);
    double limit = null_streams_limit(&streams, 365);
    within("limit", limit, 20.9, 0.02);
    near("the same seed again", null_streams_limit(&streams, 365), limit, 0);
}

// Alarms in all years, each chart starting anew after an alarm, where one in DAYS is declared.
static double alarms_of(const struct null_streams *chart, double limit)
{
    uint64_t stream = 0;
    double alarms = 0;
    chart->begin(chart->context, stream);
    for (int look = 0; look < YEARS * DAYS; look++)
        if (chart->look(chart->context) >= limit) {
            alarms++;
            chart->begin(chart->context, ++stream);
        }
    return alarms;
}

static void years_of_class_mix(void **state)
{
    (void)state;
    struct class_mix_stream mix = class_mix(LIMIT_SEED);
    struct null_streams streams = {class_mix_begin, class_mix_look, &mix, 2000, DAYS};
    double limit = null_streams_limit(&streams, DAYS);
    mix.seed = YEARS_SEED;
    within("alarms of the class mix", alarms_of(&streams, limit), YEARS, 0.15);
}

static void years_of_daily_cusum(void **state)
{
    (void)state;
    struct daily_cusum_stream chart = {.more = bernoulli_cusum_for(0.075, 0.10),
                                       .fewer = bernoulli_cusum_for(0.075, 0.05),
                                       .p = 0.075,
                                       .volumes = {60, 240, 260, 250, 240, 220, 90},
                                       .seed = LIMIT_SEED};
    struct null_streams streams = {daily_cusum_begin, daily_cusum_look, &chart, 2000, DAYS};
    double limit = null_streams_limit(&streams, DAYS);
    chart.seed = YEARS_SEED;
    within("alarms of the urgent rate", alarms_of(&streams, limit), YEARS, 0.15);
}

// A limit of the Markov chain: eight melanomas a day and DAYS days.
static void years_of_missed_melanomas(void **state)
{
    (void)state;
    enum { A_DAY = 8 };
    struct bernoulli_cusum cusum = bernoulli_cusum_for(0.1, 0.2);
    struct random_draws draws = {{YEARS_SEED, 1}, 0};
    double limit = bernoulli_cusum_limit(&cusum, 0.1, A_DAY * DAYS), sum = 0, alarms = 0;
    for (int i = 0; i < YEARS * DAYS * A_DAY; i++) {
        sum = cusum_next(sum, random_draws_uniform(&draws) < 0.1 ? cusum.event : cusum.none);
        if (sum >= limit) {
            alarms++;
            sum = 0;
        }
    }
    within("alarms of missed melanomas", alarms, YEARS, 0.15);
}

// A two-sided CUSUM of daily means, with the limit from the integral equation.
static void years_of_daily_means(void **state)
{
    (void)state;
    struct random_draws draws = {{YEARS_SEED, 2}, 0};
    double limit = normal_cusum_limit(0.5, 2 * DAYS);
    double more = 0, fewer = 0, alarms = 0;
    for (int day = 0; day < YEARS * DAYS; day++) {
        double z = random_draws_normal(&draws);
        more = cusum_next(more, z - 0.5);
        fewer = cusum_next(fewer, -z - 0.5);
        if (fmax(more, fewer) >= limit) {
            alarms++;
            more = fewer = 0;
        }
    }
    within("alarms of the CUSUM", alarms, YEARS, 0.15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binomial_draws),       cmocka_unit_test(other_draws),
        cmocka_unit_test(independent_looks),    cmocka_unit_test(daily_cusum_of_single_observations),
        cmocka_unit_test(class_mix_limits),     cmocka_unit_test(years_of_class_mix),
        cmocka_unit_test(years_of_daily_cusum), cmocka_unit_test(years_of_missed_melanomas),
        cmocka_unit_test(years_of_daily_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
