// test_monitor_scale.c: the advice on loads as they come, in a queue that is simulated second by second:
// workers take a while to start, jobs have a deadline, arrivals are Poisson's of a named seed.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/service/scale.h"

enum { PERIOD_S = 15, START_S = 20, DEADLINE_S = 60, SECONDS_MOST = 3 * 3600 };

static const struct scale_options options = {2, 8, 400, 0.75, DEADLINE_S};
static const double capacity = 10; // of a worker, jobs a second

// ---- the queue ----

struct clinic {
    double (*rate)(int second);
    int stuck; // jobs of a partition that is blocked, from the beginning
    uint64_t random;
    double waiting[SECONDS_MOST]; // jobs by the second in which they came
    int oldest;
    double backlog, late, arrived;       // late: answered after the deadline, since it was last set to 0
    int ready, starting_at[8], starting; // workers
    int desired[SECONDS_MOST / PERIOD_S];
    int calls;
    struct scale scale;
};

static double uniform(struct clinic *clinic) // Knuth's MMIX generator
{
    clinic->random = clinic->random * 6364136223846793005u + 1442695040888963407u;
    return ((double)(clinic->random >> 11) + 0.5) / 9007199254740992.0;
}

// Poisson by waiting times.
static int arrivals(struct clinic *clinic, double rate)
{
    int count = -1;
    for (double time = 0; time < 1; count++)
        time += rate > 0 ? -log(uniform(clinic)) / rate : 2;
    return count;
}

static void follow_advice(struct clinic *clinic, int second, int desired)
{
    while (clinic->ready + clinic->starting < desired)
        clinic->starting_at[clinic->starting++] = second + START_S;
    while (clinic->ready + clinic->starting > desired && clinic->starting > 0)
        clinic->starting--;
    if (clinic->ready > desired)
        clinic->ready = desired;
    while (clinic->starting > 0 && clinic->starting_at[0] <= second) {
        memmove(clinic->starting_at, clinic->starting_at + 1, sizeof(int) * (size_t)--clinic->starting);
        clinic->ready++;
    }
}

static void answer(struct clinic *clinic, int second)
{
    double can = clinic->ready * capacity;
    while (can > 0 && clinic->oldest <= second) {
        double *jobs = &clinic->waiting[clinic->oldest], done = fmin(can, *jobs);
        *jobs -= done;
        can -= done;
        clinic->backlog -= done;
        clinic->late += second - clinic->oldest > DEADLINE_S ? done : 0;
        if (*jobs > 0)
            return;
        clinic->oldest++;
    }
}

// Runs from second first to before last.
static void run(struct clinic *clinic, int first, int last)
{
    if (first == 0) {
        scale_init(&clinic->scale, &options);
        clinic->random = 18;
        clinic->ready = options.min;
    }
    for (int second = first; second < last; second++) {
        clinic->waiting[second] = arrivals(clinic, clinic->rate(second));
        clinic->backlog += clinic->waiting[second];
        clinic->arrived += clinic->waiting[second];
        answer(clinic, second);
        if (second % PERIOD_S == 0) {
            struct scale_input input = {.at_ms = (int64_t)second * 1000,
                                        .arrival_per_s = clinic->arrived / PERIOD_S,
                                        .backlog = clinic->backlog + clinic->stuck,
                                        .capacity_per_s = clinic->arrived > 0 ? capacity : NAN,
                                        .workers = clinic->ready,
                                        .p99_ms = NAN,
                                        .gpu_utilisation = NAN};
            if (second == 0)
                input.arrival_per_s = clinic->arrived;
            clinic->desired[clinic->calls++] = scale_advise(&clinic->scale, &input).desired;
            clinic->arrived = 0;
        }
        follow_advice(clinic, second, clinic->desired[clinic->calls - 1]);
    }
}

static int desired_at(const struct clinic *clinic, int second)
{
    return clinic->desired[second / PERIOD_S];
}

static int changes(const struct clinic *clinic, int first, int last)
{
    int count = 0;
    for (int second = first + PERIOD_S; second < last; second += PERIOD_S)
        count += desired_at(clinic, second) != desired_at(clinic, second - PERIOD_S);
    return count;
}

static struct clinic *clinic_of(double (*rate)(int second))
{
    struct clinic *clinic = calloc(1, sizeof *clinic);
    assert_non_null(clinic);
    clinic->rate = rate;
    return clinic;
}

// ---- loads ----

static double step(int second)
{
    return second < 1800 ? 20 : 60;
}

// 20 / (10 * 0.8) = 2.5 and 60 / 8 = 7.5: 3 workers, then 8.
static void a_step_settles_in_two_periods(void **state)
{
    (void)state;
    struct clinic *clinic = clinic_of(step);
    run(clinic, 0, 1800);
    assert_int_equal(desired_at(clinic, 60), 3);
    assert_int_equal(changes(clinic, 60, 1800), 0);
    run(clinic, 1800, 1800 + 300);
    assert_int_equal(desired_at(clinic, 1800 + 2 * PERIOD_S), 8);
    clinic->late = 0;
    run(clinic, 2100, 2100 + 1800);
    assert_int_equal(changes(clinic, 1800 + 2 * PERIOD_S, 2100 + 1800), 0);
    assert_true(clinic->late == 0);
    free(clinic);
}

static double ramp(int second)
{
    return second < 600 ? 10 : second < 1800 ? 10 + (second - 600) * 40.0 / 1200 : 50;
}

static void a_ramp_is_followed_upwards(void **state)
{
    (void)state;
    struct clinic *clinic = clinic_of(ramp);
    run(clinic, 0, 1800 + 1800);
    for (int second = PERIOD_S; second < 3600; second += PERIOD_S)
        assert_true(desired_at(clinic, second) >= desired_at(clinic, second - PERIOD_S));
    assert_in_range(desired_at(clinic, 3590), 7, 8); // 50 / 8 = 6.25, and noise of four sd above
    assert_int_equal(changes(clinic, 1860, 3600), 0);
    assert_true(clinic->late == 0);
    free(clinic);
}

static double spike(int second)
{
    return 1800 <= second && second < 1810 ? 150 : 20;
}

static void a_spike_is_answered_and_forgotten(void **state)
{
    (void)state;
    struct clinic *clinic = clinic_of(spike);
    run(clinic, 0, 5400);
    assert_int_equal(desired_at(clinic, 1800 + 2 * PERIOD_S), 8);
    assert_int_equal(desired_at(clinic, 1800 + 600), 8); // the ten minutes
    assert_int_equal(desired_at(clinic, 1800 + 900), 3);
    assert_int_equal(changes(clinic, 2700, 5400), 0);
    assert_true(clinic->late == 0);
    free(clinic);
}

static double night(int second)
{
    return second < 1800 ? 40 : 0.02;
}

static void a_night_ends_at_the_least(void **state)
{
    (void)state;
    struct clinic *clinic = clinic_of(night);
    run(clinic, 0, 2 * 3600);
    assert_in_range(desired_at(clinic, 1790), 5, 6); // 40 / 8 = 5
    assert_int_equal(desired_at(clinic, 1800 + 660), 2);
    assert_int_equal(changes(clinic, 1800 + 660, 2 * 3600), 0); // single jobs change nothing
    assert_true(clinic->late == 0);
    free(clinic);
}

static double quiet(int second)
{
    (void)second;
    return 12;
}

static void jobs_that_do_not_move_want_no_worker(void **state)
{
    (void)state;
    struct clinic *clinic = clinic_of(quiet);
    clinic->stuck = 400;
    run(clinic, 0, 3 * 3600);
    assert_int_equal(desired_at(clinic, 1200), 2); // 12 / 8 = 1.5
    assert_int_equal(changes(clinic, 1200, 3 * 3600), 0);
    free(clinic);
}

static double nothing(int second)
{
    return second < 60 ? 5 : 0;
}

static void an_idle_fleet_stays_at_the_least(void **state)
{
    (void)state;
    struct clinic *clinic = clinic_of(nothing);
    run(clinic, 0, 3600);
    assert_int_equal(desired_at(clinic, 0), 2);
    assert_int_equal(changes(clinic, 0, 3600), 0);
    free(clinic);
}

// ---- inputs ----

static struct scale_input good_input(int second)
{
    return (struct scale_input){.at_ms = (int64_t)second * 1000,
                                .arrival_per_s = 30,
                                .capacity_per_s = 10,
                                .workers = 4,
                                .p99_ms = 200,
                                .gpu_utilisation = 0.5};
}

static void what_is_missing_holds_still(void **state)
{
    (void)state;
    struct scale scale;
    struct scale_input input = good_input(0);
    scale_init(&scale, &options);
    input.workers = -1;
    input.capacity_per_s = NAN;
    assert_int_equal(scale_advise(&scale, &input).desired, 0); // nothing is known: no advice
    input = good_input(15);
    input.workers = 6;
    input.capacity_per_s = NAN;
    struct scale_advice advice = scale_advise(&scale, &input);
    assert_int_equal(advice.desired, 6); // what there is
    assert_true(advice.held);
    assert_string_equal(advice.reason, "held: the capacity of a worker is not known");
    for (int second = 30; second < 1200; second += 15) { // 30 / 8 = 3.75, but not before ten minutes
        input = good_input(second);
        advice = scale_advise(&scale, &input);
        assert_false(advice.held);
        assert_int_equal(advice.desired, second < 630 ? 6 : 5); // 30 / 7 = 4.3
    }
    input = good_input(1200);
    input.arrival_per_s = NAN;
    advice = scale_advise(&scale, &input);
    assert_true(advice.held);
    assert_int_equal(advice.desired, 5);
    assert_string_equal(advice.reason, "held: the arrival rate is not known");
    input = good_input(1215);
    input.backlog = -1;
    assert_true(scale_advise(&scale, &input).held);
    input = good_input(1230);
    input.capacity_per_s = NAN; // remembered
    assert_false(scale_advise(&scale, &input).held);
}

static void triggers_want_more(void **state)
{
    (void)state;
    struct scale scale;
    struct scale_input input = good_input(0);
    scale_init(&scale, &options);
    input.p99_ms = 450;
    assert_int_equal(scale_advise(&scale, &input).desired, 5);
    scale_init(&scale, &options);
    for (int second = 0; second <= 150; second += 15) {
        input = good_input(second);
        input.workers = 5;
        input.gpu_utilisation = second == 15 || second > 75 ? 0.9 : 0.5; // one look is noise
        // The mean is 0.8 from 120 s on: three of four looks; 5 * 0.8 / 0.75, then 5 * 0.9 / 0.75.
        assert_int_equal(scale_advise(&scale, &input).desired, second < 120 ? 5 : 6);
    }
    scale_init(&scale, &options); // GPUs that others keep busy
    for (int second = 0; second <= 150; second += 15) {
        input = good_input(second);
        input.arrival_per_s = 1;
        input.gpu_utilisation = 0.9;
        assert_int_equal(scale_advise(&scale, &input).desired, 4);
    }
    scale_init(&scale, &options); // a slow tail without load: more workers would not help
    input = good_input(0);
    input.arrival_per_s = 1;
    input.p99_ms = 4000;
    const struct scale_advice advice = scale_advise(&scale, &input);
    assert_int_equal(advice.desired, 4);
    assert_non_null(strstr(advice.reason, "P99 is over its limit, but not by load"));
}

static void who_never_answered_is_told(void **state)
{
    (void)state;
    struct scale scale;
    struct scale_input input = good_input(0);
    scale_init(&scale, &options);
    input.answered = 4;
    input.asked = 5;
    input.unknown = 1;
    const struct scale_advice advice = scale_advise(&scale, &input);
    assert_true(advice.held);
    assert_string_equal(advice.reason,
                        "held: 4 of 5 workers answer; not yet known, as they have never answered: 1");
}

// Who is gone holds up nothing, and is told.
static void who_is_gone_is_told(void **state)
{
    (void)state;
    struct scale scale;
    struct scale_advice advice = {0};
    scale_init(&scale, &options);
    for (int second = 0; second <= 1200; second += 15) {
        struct scale_input input = good_input(second);
        bool is_gone = second >= 120;
        input.arrival_per_s = 5;
        input.answered = 4;
        input.asked = is_gone ? 4 : 5;
        input.gone = is_gone;
        input.workers = 4;
        advice = scale_advise(&scale, &input);
        assert_true(advice.held == !is_gone);
    }
    assert_int_equal(advice.desired, 2);
    assert_string_equal(
        advice.reason,
        "5 arrive and 0 wait, a worker does 10 a second; silent workers that count as gone: 1");
}

static void the_limits_hold(void **state)
{
    (void)state;
    struct scale scale;
    struct scale_input input = good_input(0);
    scale_init(&scale, &options);
    input.backlog = 1e9;
    const struct scale_advice advice = scale_advise(&scale, &input);
    assert_int_equal(advice.desired, 8);
    assert_true(advice.time_to_drain_s == 1e8); // by 4 * 10 - 30 a second
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_settles_in_two_periods),
        cmocka_unit_test(a_ramp_is_followed_upwards),
        cmocka_unit_test(a_spike_is_answered_and_forgotten),
        cmocka_unit_test(a_night_ends_at_the_least),
        cmocka_unit_test(jobs_that_do_not_move_want_no_worker),
        cmocka_unit_test(an_idle_fleet_stays_at_the_least),
        cmocka_unit_test(what_is_missing_holds_still),
        cmocka_unit_test(triggers_want_more),
        cmocka_unit_test(who_never_answered_is_told),
        cmocka_unit_test(who_is_gone_is_told),
        cmocka_unit_test(the_limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
