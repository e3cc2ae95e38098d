// test_metrics.c: counts, sums and buckets as Prometheus text (https://prometheus.io/docs/instrumenting/
// exposition_formats/), also under many threads, and what promtool says of it where it is installed.
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/records/job.h"
#include "tests/support/capture.h"
#include "tests/support/skip.h"
#include "worker/metrics_rows.h"
#include "worker/worker.h"

enum { THREADS = 8, UPDATES = 500000, TEXT_LIMIT = 256 * 1024 };

static struct buffer text; // of the last write_text, ended by a NUL
static struct capture out;

static const char *write_text(void)
{
    struct error err;
    buffer_clear(&text);
    assert_int_equal(metrics_write_prometheus(&text, &err), STATUS_OK);
    assert_int_equal(buffer_append(&text, "", 1, &err), STATUS_OK);
    return (const char *)text.data;
}

// The value on the line that begins with series and a space.
static double value_of(const char *series)
{
    char start[256];
    snprintf(start, sizeof start, "\n%s ", series);
    const char *line = strstr(write_text(), start);
    if (!line)
        fail_msg("no line '%s'", series);
    return strtod(line + strlen(start), NULL);
}

static void test_counters(void **state)
{
    (void)state;
    assert_true(value_of("skinsight_jobs_consumed_total{priority=\"urgent\"}") == 0);
    metrics_add(METRIC_JOBS_CONSUMED, 1, 3);
    metrics_add(METRIC_JOBS_CONSUMED, 1, 4);
    metrics_add(METRIC_DEAD_LETTERS, 0, 2);
    metrics_add(METRIC_JOB_ERRORS, JOB_IMAGE_UNDECODABLE, 5);
    assert_int_equal(metrics_counter(METRIC_JOBS_CONSUMED, 1), 7);
    assert_int_equal(metrics_counter(METRIC_JOBS_CONSUMED, 0), 0);
    assert_true(value_of("skinsight_jobs_consumed_total{priority=\"urgent\"}") == 7);
    assert_true(value_of("skinsight_jobs_consumed_total{priority=\"routine\"}") == 0);
    assert_true(value_of("skinsight_dead_letters_total") == 2);
    assert_true(value_of("skinsight_job_errors_total{code=\"image_undecodable\"}") == 5);
}

static void test_labels_follow_their_enums(void **state)
{
    (void)state;
    metrics_add(METRIC_BATCHES, BATCH_CAREFUL, 11);
    metrics_add(METRIC_JOB_ERRORS, JOB_INTERNAL, 12);
    metrics_add(METRIC_PREDICTIONS, 7, 13);
    metrics_set(METRIC_QUEUE_JOBS, STAGE_PUBLISH, 14);
    assert_true(value_of("skinsight_batches_total{reason=\"careful\"}") == 11);
    assert_true(value_of("skinsight_job_errors_total{code=\"internal\"}") == 12);
    assert_true(value_of("skinsight_predictions_total{class=\"squamous_cell_carcinoma\"}") == 13);
    assert_true(value_of("skinsight_queue_jobs{stage=\"publish\"}") == 14);
    assert_string_equal(batch_reason_names[BATCH_FULL], "full");
    assert_string_equal(batch_reason_names[BATCH_DEADLINE], "deadline");
    assert_string_equal(batch_reason_names[BATCH_DELAY], "delay");
    assert_string_equal(batch_reason_names[BATCH_IDLE], "idle");
    assert_string_equal(batch_reason_names[BATCH_DRAIN], "drain");
}

static void test_no_job_is_an_error_called_ok(void **state)
{
    (void)state;
    expect_no_text(write_text(), "code=\"ok\"");
    expect_no_text(write_text(), "stage=\"total\"} 0\nskinsight_queue");
    expect_no_text(write_text(), "(null)");
}

static void test_gauges(void **state)
{
    (void)state;
    metrics_set(METRIC_UNFINISHED_JOBS, 0, 12.5);
    assert_true(value_of("skinsight_unfinished_jobs") == 12.5);
    metrics_set(METRIC_UNFINISHED_JOBS, 0, -3);
    assert_true(value_of("skinsight_unfinished_jobs") == -3);
}

static void test_histogram(void **state)
{
    (void)state;
    static const double sizes[] = {1, 2, 3, 8, 8, 257};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        metrics_observe(METRIC_BATCH_SIZE, 0, sizes[i]);
    metrics_observe(METRIC_BATCH_SIZE, 0, NAN);
    metrics_observe(METRIC_BATCH_SIZE, 0, INFINITY);
    // A bound takes what equals it ("le"), and each bucket holds all smaller ones.
    assert_true(value_of("skinsight_batch_size_images_bucket{le=\"1\"}") == 1);
    assert_true(value_of("skinsight_batch_size_images_bucket{le=\"2\"}") == 2);
    assert_true(value_of("skinsight_batch_size_images_bucket{le=\"4\"}") == 3);
    assert_true(value_of("skinsight_batch_size_images_bucket{le=\"8\"}") == 5);
    assert_true(value_of("skinsight_batch_size_images_bucket{le=\"256\"}") == 5);
    assert_true(value_of("skinsight_batch_size_images_bucket{le=\"+Inf\"}") == 6);
    assert_true(value_of("skinsight_batch_size_images_sum") == 279);
    assert_true(value_of("skinsight_batch_size_images_count") == 6);
}

static void test_histogram_with_label(void **state)
{
    (void)state;
    metrics_observe(METRIC_STAGE_SECONDS, STAGE_INFER, 0.25);
    metrics_observe(METRIC_STAGE_SECONDS, STAGE_INFER, 100);
    assert_true(value_of("skinsight_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.15\"}") == 0);
    assert_true(value_of("skinsight_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.3\"}") == 1);
    assert_true(value_of("skinsight_stage_duration_seconds_bucket{stage=\"infer\",le=\"30\"}") == 1);
    assert_true(value_of("skinsight_stage_duration_seconds_bucket{stage=\"infer\",le=\"+Inf\"}") == 2);
    assert_true(value_of("skinsight_stage_duration_seconds_sum{stage=\"infer\"}") == 100.25);
    assert_true(value_of("skinsight_stage_duration_seconds_count{stage=\"infer\"}") == 2);
    assert_true(value_of("skinsight_stage_duration_seconds_count{stage=\"total\"}") == 0);
}

static pthread_barrier_t together;

static void *update(void *unused)
{
    pthread_barrier_wait(&together);
    for (int i = 0; i < UPDATES; i++) {
        metrics_add(METRIC_PRODUCER_RENEWALS, 0, 1);
        metrics_observe(METRIC_CONFIDENCE, 0, i % 2 ? 0.25 : 0.75); // sums of these are exact
    }
    return unused;
}

static void test_no_update_is_lost(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&together);
    assert_int_equal(metrics_counter(METRIC_PRODUCER_RENEWALS, 0), THREADS * UPDATES);
    assert_true(value_of("skinsight_prediction_confidence_ratio_count") == THREADS * UPDATES);
    assert_true(value_of("skinsight_prediction_confidence_ratio_bucket{le=\"0.3\"}") ==
                THREADS * UPDATES / 2);
    assert_true(value_of("skinsight_prediction_confidence_ratio_sum") == THREADS * UPDATES / 2);
}

static void test_every_metric_has_help_and_type(void **state)
{
    (void)state;
    int helps = 0, types = 0;
    for (const char *line = write_text(); *line; line = strchr(line, '\n') + 1) {
        helps += strncmp(line, "# HELP skinsight_", 17) == 0;
        types += strncmp(line, "# TYPE skinsight_", 17) == 0;
        assert_true(*line == '#' || strncmp(line, "skinsight_", 10) == 0);
    }
    assert_int_equal(helps, METRIC_COUNT);
    assert_int_equal(types, METRIC_COUNT);
}

static void test_a_full_buffer_is_an_error(void **state)
{
    (void)state;
    struct buffer small;
    struct error err;
    buffer_init(&small, 1000);
    assert_int_equal(metrics_write_prometheus(&small, &err), STATUS_REJECTED);
    assert_true(small.size <= 1000);
    buffer_release(&small);
}

static void test_documentation_names_every_metric(void **state)
{
    (void)state;
    capture_start(&out, STDOUT_FILENO);
    metrics_print_documentation("skinsight-worker");
    capture_stop(&out);
    int rows = 0;
    for (const char *row = out.text; (row = strstr(row, "\n| `skinsight_")); row++)
        rows++;
    assert_int_equal(rows, METRIC_COUNT + 3); // and the buckets of three histograms
    expect_text(out.text, "| `skinsight_batches_total` | counter | batches |");
    expect_text(out.text, "`careful` |");
}

static void test_promtool_agrees(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        SKIP("promtool is not installed");
    write_text();
    FILE *promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    assert_int_equal(fwrite(text.data, 1, text.size - 1, promtool), text.size - 1);
    int result = pclose(promtool);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_labels_follow_their_enums),
        cmocka_unit_test(test_no_job_is_an_error_called_ok),
        cmocka_unit_test(test_gauges),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_histogram_with_label),
        cmocka_unit_test(test_no_update_is_lost),
        cmocka_unit_test(test_every_metric_has_help_and_type),
        cmocka_unit_test(test_a_full_buffer_is_an_error),
        cmocka_unit_test(test_documentation_names_every_metric),
        cmocka_unit_test(test_promtool_agrees),
    };
    buffer_init(&text, TEXT_LIMIT);
    metrics_add(METRIC_DEAD_LETTERS, 0, 1); // nothing is measured yet
    metrics_use(&worker_metrics);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_release(&text);
    return failed;
}
