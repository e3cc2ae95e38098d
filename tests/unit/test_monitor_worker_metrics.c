// test_monitor_worker_metrics.c: what several workers' /metrics say together. The expected figures are
// arithmetic on the texts.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/service/worker_metrics.h"

static struct worker_metrics metrics;
static const int asked = 2;

// What a worker shows of itself.
struct shown {
    double consumed, answered, batches, images, infer_jobs, infer_s, fast, total, unfinished;
    int partition;
    double position, end;
};

// late_ms: how long after the beginning of the scrape the worker answers.
static bool show_late(const char *name, int64_t late_ms, const struct shown *shown)
{
    char text[4096];
    int size =
        snprintf(text, sizeof text,
                 "# HELP skinsight_jobs_consumed_total Job records taken from Kafka.\n"
                 "# TYPE skinsight_jobs_consumed_total counter\n"
                 "skinsight_jobs_consumed_total{priority=\"routine\"} %.0f\n"
                 "skinsight_jobs_consumed_total{priority=\"urgent\"} 2\n"
                 "skinsight_jobs_answered_total{outcome=\"prediction\"} %.0f\n"
                 "skinsight_batch_size_images_bucket{le=\"1\"} 7\n"
                 "skinsight_batch_size_images_sum %.0f\n"
                 "skinsight_batch_size_images_count %.0f\n"
                 "skinsight_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.3\"} 999\n"
                 "skinsight_stage_duration_seconds_bucket{stage=\"total\",le=\"0.3\"} %.0f\n"
                 "skinsight_stage_duration_seconds_bucket{stage=\"total\",le=\"0.4\"} %.0f\n"
                 "skinsight_stage_duration_seconds_bucket{stage=\"total\",le=\"0.5\"} %.0f\n"
                 "skinsight_stage_duration_seconds_bucket{stage=\"total\",le=\"+Inf\"} %.0f\n"
                 "skinsight_stage_duration_seconds_sum{stage=\"infer\"} %.3f\n"
                 "skinsight_stage_duration_seconds_sum{stage=\"total\"} 1e6\n"
                 "skinsight_stage_duration_seconds_count{stage=\"infer\"} %.0f\n"
                 "skinsight_stage_duration_seconds_count{stage=\"total\"} %.0f\n"
                 "skinsight_partition_position{priority=\"routine\",partition=\"%d\"} %.0f\n"
                 "skinsight_partition_last_stable_offset{priority=\"routine\",partition=\"%d\"} %.0f\n"
                 "skinsight_unfinished_jobs %.0f\n"
                 "skinsight_ready 1\n"
                 "skinsight_gpu_utilisation_ratio 0\n"
                 "skinsight_gpu_memory_bytes{kind=\"total\"} 0\n",
                 shown->consumed, shown->answered, shown->images, shown->batches, shown->fast, shown->fast,
                 shown->total, shown->total, shown->infer_s, shown->infer_jobs, shown->total,
                 shown->partition, shown->position, shown->partition, shown->end, shown->unfinished);
    return worker_metrics_add(&metrics, name, metrics.at_ms + late_ms,
                              (struct bytes){(const uint8_t *)text, (size_t)size});
}

static bool show(const char *name, const struct shown *shown)
{
    return show_late(name, 0, shown);
}

static void two_workers_are_summed(void **state)
{
    (void)state;
    struct scale_input input;
    struct shown a = {.consumed = 1000, .partition = 0, .position = 1000, .end = 1040, .unfinished = 3};
    struct shown b = {.consumed = 500, .partition = 1, .position = 500, .end = 510};
    worker_metrics_init(&metrics);
    worker_metrics_begin(&metrics, 1000);
    assert_true(show("a", &a) && show("b", &b));
    worker_metrics_end(&metrics, asked, &input);
    assert_true(isnan(input.arrival_per_s) && isnan(input.capacity_per_s));
    assert_true(input.backlog == 40 + 10 + 3);
    assert_int_equal(input.workers, 2);
    assert_true(isnan(input.gpu_utilisation));

    // 10 s later: 300 and 100 more were taken, 50 wait instead of 50: 40 a second come. While jobs wait, two
    // workers that answer 380 in 10 s can 19 a second each, whatever one batch at a time would give (16).
    a = (struct shown){.consumed = 1300,
                       .answered = 280,
                       .batches = 20,
                       .images = 80,
                       .infer_jobs = 80,
                       .infer_s = 20,
                       .partition = 0,
                       .position = 1300,
                       .end = 1350};
    b = (struct shown){.consumed = 600, .answered = 100, .partition = 1, .position = 600, .end = 600};
    worker_metrics_begin(&metrics, 11000);
    assert_true(show("a", &a) && show("b", &b));
    worker_metrics_end(&metrics, asked, &input);
    assert_true(input.arrival_per_s == 40);
    assert_true(input.capacity_per_s == 19);

    // Nothing waits: batches of 4 images that take 0.2 s are 20 a second. Worker b restarted: 30 of its own.
    a = (struct shown){.consumed = 1450,
                       .answered = 480,
                       .batches = 45,
                       .images = 180,
                       .infer_jobs = 180,
                       .infer_s = 40,
                       .partition = 0,
                       .position = 1450,
                       .end = 1450};
    b = (struct shown){.consumed = 28, .answered = 30, .partition = 1, .position = 630, .end = 630};
    worker_metrics_begin(&metrics, 21000);
    assert_true(show("a", &a) && show("b", &b));
    worker_metrics_end(&metrics, asked, &input);
    assert_true(input.arrival_per_s == (150 + 30 - 50) / 10.0);
    assert_true(fabs(input.capacity_per_s - 20) < 1e-9);
    assert_true(input.backlog == 0);
}

// Half a job a second for two workers that do 20 each, and 5 jobs in a partition that is blocked.
static void a_blocked_partition_wants_no_worker(void **state)
{
    (void)state;
    struct scale scale;
    struct scale_input input;
    scale_init(&scale, &(struct scale_options){2, 8, 400, 0.75, 60});
    worker_metrics_init(&metrics);
    for (int i = 0; i < 180; i++) {
        struct shown a = {.consumed = 5 * i, .answered = 5 * i, .batches = 5 * i, .images = 5 * i};
        struct shown b = {.partition = 1, .position = 100, .end = 105};
        a.infer_jobs = a.images;
        a.infer_s = a.images / 20;
        a.position = a.consumed;
        a.end = a.consumed + 1; // one has just come
        worker_metrics_begin(&metrics, i * 10000);
        assert_true(show("a", &a) && show("b", &b));
        worker_metrics_end(&metrics, asked, &input);
        assert_true(i == 0 || fabs(input.capacity_per_s - 20) < 1e-9);
        assert_int_equal(scale_advise(&scale, &input).desired, 2);
    }
}

// Four workers of 20 a second with 15 a second each; three of them fall silent, then all, for longer than
// the ten minutes.
static void silent_workers_lower_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    struct scale scale;
    struct scale_input input;
    struct scale_advice advice = {0};
    scale_init(&scale, &(struct scale_options){2, 8, 400, 0.75, 60});
    worker_metrics_init(&metrics);
    for (int i = 0; i <= 200; i++) {
        int answer = i < 20 || i >= 199 ? 4 : i < 100 ? 1 : 0;
        worker_metrics_begin(&metrics, i * 10000);
        for (int worker = 0; worker < answer; worker++) {
            struct shown shown = {.consumed = 150 * i, .answered = 150 * i, .batches = 150 * i};
            shown.images = shown.infer_jobs = shown.consumed;
            shown.infer_s = shown.images / 20;
            shown.partition = worker;
            shown.position = shown.end = shown.consumed;
            assert_true(show(names[worker], &shown));
        }
        worker_metrics_end(&metrics, 4, &input);
        advice = scale_advise(&scale, &input);
        assert_int_equal(advice.desired, 4);                            // 60 / (20 * 0.8) = 3.75
        assert_true(advice.held == (i == 0 || i == 199 || answer < 4)); // no rate before a second reading
        if (answer < 4)
            assert_string_equal(advice.reason,
                                answer == 1 ? "held: 1 of 4 workers answer" : "held: 0 of 4 workers answer");
    }
    scale_init(&scale,
               &(struct scale_options){2, 8, 400, 0.75, 60}); // a monitor that begins among the silent
    input.answered = 1;
    input.workers = 1;
    advice = scale_advise(&scale, &input);
    assert_true(advice.held);
    assert_int_equal(advice.desired, 0);
    input.answered = input.workers = 4;
    assert_int_equal(scale_advise(&scale, &input).desired, 4);
}

static void a_partition_that_changes_hands_is_not_lost(void **state)
{
    (void)state;
    struct scale_input input;
    struct shown a = {.consumed = 100, .partition = 3, .position = 100, .end = 180};
    struct shown b = {.consumed = 100, .partition = 4, .position = 100, .end = 100};
    worker_metrics_init(&metrics);
    worker_metrics_begin(&metrics, 0);
    assert_true(show("a", &a) && show("b", &b));
    worker_metrics_end(&metrics, asked, &input);
    worker_metrics_begin(&metrics, 5000); // a is gone, and b does not have it yet
    assert_true(show("b", &b));
    worker_metrics_end(&metrics, asked, &input);
    assert_true(input.backlog == 80);
    assert_int_equal(input.workers, 1);
    assert_true(input.arrival_per_s == 0);
    worker_metrics_begin(&metrics, 10000); // nobody answers
    worker_metrics_end(&metrics, asked, &input);
    assert_int_equal(input.workers, -1);
    assert_true(isnan(input.backlog) && isnan(input.arrival_per_s));
}

static void the_tail_is_that_of_a_minute(void **state)
{
    (void)state;
    struct scale_input input;
    struct shown a = {0};
    worker_metrics_init(&metrics);
    for (int i = 0; i <= 6; i++) { // 970 of 1,000 within 0.3 s, the others within 0.5 s
        a.total = 1000.0 * i / 6;
        a.fast = 970.0 * i / 6;
        worker_metrics_begin(&metrics, i * 10000);
        assert_true(show("a", &a));
        worker_metrics_end(&metrics, asked, &input);
        assert_true(i == 6 || isnan(input.p99_ms));
    }
    // Rank 990 of those from 970 to 1,000 between 0.4 and 0.5 s.
    assert_true(fabs(input.p99_ms - (400 + 100 * 20 / 30.0)) < 1);
}

// 20 jobs a second come to a worker and 10 wait more each second, whenever it is asked: at 0 and 4 s of two
// scrapes that begin 5 s apart, then after a scrape in which it was silent, then after more than a minute.
static void rates_are_over_a_workers_own_time(void **state)
{
    (void)state;
    static const int64_t scrapes_ms[] = {0, 5000, 10000, 15000, 90000}, late_ms[] = {0, 4000, -1, 0, 0};
    struct scale_input input;
    worker_metrics_init(&metrics);
    for (int i = 0; i < 5; i++) {
        double seconds = (double)(scrapes_ms[i] + late_ms[i]) / 1e3;
        struct shown a = {.consumed = 10 * seconds, .position = 10 * seconds, .end = 20 * seconds};
        struct shown idle = {.partition = 1};
        worker_metrics_begin(&metrics, scrapes_ms[i]);
        assert_true(late_ms[i] < 0 || show_late("a", late_ms[i], &a));
        assert_true(i == 4 || show("b", &idle)); // it tells what can be said of a scrape without a
        worker_metrics_end(&metrics, asked, &input);
        if (i == 0 || i == 4)
            assert_true(isnan(input.arrival_per_s));
        else
            assert_true(fabs(input.arrival_per_s - (i == 2 ? 0 : 20)) < 1e-9);
    }
}

// A minute in which nobody was answered has no tail, whatever the one before had.
static void an_idle_fleet_has_no_tail(void **state)
{
    (void)state;
    struct scale_input input;
    struct shown a = {0};
    worker_metrics_init(&metrics);
    for (int i = 0; i <= 12; i++) {
        a.total = a.fast = i <= 6 ? 100.0 * i : 600;
        worker_metrics_begin(&metrics, i * 10000);
        assert_true(show("a", &a));
        worker_metrics_end(&metrics, asked, &input);
        assert_true(i < 6 || i == 12 ? isnan(input.p99_ms) : input.p99_ms > 0);
    }
}

// Partition 1 is told by who has it; once that one is silent, by nobody, until another has it.
static void who_answers_has_every_partition(void **state)
{
    (void)state;
    struct shown a = {.partition = 0}, b = {.partition = 1};
    struct scale_input input;
    worker_metrics_init(&metrics);
    assert_false(worker_metrics_have_all(&metrics));
    for (int i = 0; i < 20; i++) {
        worker_metrics_begin(&metrics, i * 10000);
        assert_true(show("a", &a) && (i > 0 || show("b", &b)) && (i < 15 || show("c", &b)));
        worker_metrics_end(&metrics, asked, &input);
        assert_true(worker_metrics_have_all(&metrics) == (i <= 6 || i >= 15));
    }
}

// A topic of two partitions is made anew with one. Partition 1 had 5 unread jobs.
static void a_partition_that_is_no_more_is_forgotten(void **state)
{
    (void)state;
    struct shown a = {.partition = 0}, b = {.partition = 1, .position = 100, .end = 105}, idle = a;
    struct scale_input input;
    worker_metrics_init(&metrics);
    for (int second = 0; second <= 600; second += 10) {
        bool silent = 300 <= second && second < 400; // it may have the partition
        bool there = second < 200 || second >= 550;  // with two partitions again
        worker_metrics_begin(&metrics, second * INT64_C(1000));
        assert_true(show("a", &a) && (silent || show("b", there ? &b : &idle)));
        worker_metrics_end(&metrics, asked, &input);
        bool forgotten = 520 <= second && second < 550; // 120 s after all answered again
        assert_true(input.backlog == (forgotten ? 0 : 5));
        assert_true(worker_metrics_have_all(&metrics) == (second <= 250 || second >= 520));
    }
}

static void other_texts_are_no_worker(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n\n\n",
                                        "<html>",
                                        "go_goroutines 7\n",
                                        "skinsight_jobs_consumed_total\n",
                                        "skinsight_jobs_consumed_total nan\n",
                                        "skinsight_jobs_consumed_total 1e999\n"};
    worker_metrics_init(&metrics);
    worker_metrics_begin(&metrics, 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(worker_metrics_add(&metrics, "x", 0,
                                        (struct bytes){(const uint8_t *)texts[i], strlen(texts[i])}));
    assert_int_equal(metrics.worker_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_workers_are_summed),
        cmocka_unit_test(a_blocked_partition_wants_no_worker),
        cmocka_unit_test(silent_workers_lower_nothing),
        cmocka_unit_test(a_partition_that_changes_hands_is_not_lost),
        cmocka_unit_test(the_tail_is_that_of_a_minute),
        cmocka_unit_test(rates_are_over_a_workers_own_time),
        cmocka_unit_test(an_idle_fleet_has_no_tail),
        cmocka_unit_test(who_answers_has_every_partition),
        cmocka_unit_test(a_partition_that_is_no_more_is_forgotten),
        cmocka_unit_test(other_texts_are_no_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
