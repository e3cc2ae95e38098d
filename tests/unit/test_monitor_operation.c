// test_monitor_operation.c: days and quantiles of what the fleet did. The expected quantiles are ranks of
// numbers that are known; the ranks of the interval at n 5,000 are published ones (4,936 and 4,964).
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/service/operation.h"

static const int64_t day = 86400000, first = 1793491200000; // 2026-11-01
static struct error err;

// An answer whose inference took that long; the steps before and after it take 10 ms each.
static struct analysis analysis_of(int64_t at, int64_t inference_ms)
{
    struct analysis analysis;
    analysis_init(&analysis);
    analysis.at = at;
    analysis.replayed = false;
    analysis.submitted = at - 100000;
    int64_t moment = at - 90000;
    for (int i = 0; i < MOMENT_COUNT; i++) {
        moment += i == MOMENT_INFERRED ? inference_ms : 10;
        analysis.moments[i] = moment;
    }
    return analysis;
}

static void quantiles_are_ranks(void **state)
{
    (void)state;
    struct operation *operation = operation_new(first, first + day);
    for (int i = 5000; i > 0; i--) {
        const struct analysis analysis = analysis_of(first + i, i);
        operation_add(operation, &analysis);
    }
    struct operation_quantile p99 = operation_quantile(operation, STEP_INFERENCE, 0.99);
    assert_true(p99.value == 4950 && p99.low == 4936 && p99.high == 4964 && p99.n == 5000);
    struct operation_quantile p50 = operation_quantile(operation, STEP_INFERENCE, 0.5);
    assert_true(p50.value == 2500);
    // A step that always takes 10 ms.
    p99 = operation_quantile(operation, STEP_FETCH, 0.99);
    assert_true(p99.value == 10 && p99.low == 10 && p99.high == 10);
    operation_free(operation);
}

static void few_times_have_no_tail(void **state)
{
    (void)state;
    struct operation *operation = operation_new(first, first + day);
    for (int i = 0; i < 100; i++) {
        const struct analysis analysis = analysis_of(first + i, i);
        operation_add(operation, &analysis);
    }
    assert_true(isnan(operation_quantile(operation, STEP_INFERENCE, 0.99).value));
    assert_true(operation_quantile(operation, STEP_INFERENCE, 0.5).value == 49);
    assert_int_equal(operation_quantile(operation, STEP_INFERENCE, 0.99).n, 100);
    operation_free(operation);
}

static void odd_times_are_left_out(void **state)
{
    (void)state;
    struct operation *operation = operation_new(first, first + day);
    struct analysis analysis = analysis_of(first, 5);
    analysis.moments[MOMENT_DECODED] = -1; // the cache answered
    operation_add(operation, &analysis);
    analysis = analysis_of(first, -50); // clocks that disagree
    operation_add(operation, &analysis);
    analysis = analysis_of(first, 5);
    analysis.replayed = true;
    operation_add(operation, &analysis);
    analysis = analysis_of(first - 1, 5); // not of these days
    operation_add(operation, &analysis);
    analysis = analysis_of(first + day, 5);
    operation_add(operation, &analysis);
    assert_int_equal(operation_quantile(operation, STEP_FETCH, 0.5).n, 2);
    assert_int_equal(operation_quantile(operation, STEP_PREPROCESSING, 0.5).n, 1);
    assert_int_equal(operation_quantile(operation, STEP_INFERENCE, 0.5).n, 1);
    operation_free(operation);
}

static const cJSON *step_of(const cJSON *document, const char *name)
{
    const cJSON *row;
    cJSON_ArrayForEach(
        row,
        cJSON_GetObjectItem(document, "latency")) if (strcmp(cJSON_GetObjectItem(row, "step")->valuestring,
                                                             name) == 0) return row;
    return NULL;
}

static void the_document_judges_by_the_interval(void **state)
{
    (void)state;
    struct operation *operation = operation_new(first, first + 2 * day);
    for (int i = 0; i < 1000; i++) {
        struct analysis analysis = analysis_of(first + day + i, i < 900 ? 100 : 151);
        operation_add(operation, &analysis);
        analysis = analysis_of(first, 0);
        analysis.error_code = "image_undecodable";
        if (i < 3)
            operation_add(operation, &analysis);
    }
    cJSON *document = cJSON_CreateObject();
    assert_int_equal(operation_write(operation, document, &err), STATUS_OK);
    assert_string_equal(cJSON_GetObjectItem(step_of(document, "inference"), "budget")->valuestring, "over");
    assert_string_equal(cJSON_GetObjectItem(step_of(document, "preprocessing"), "budget")->valuestring,
                        "within");
    assert_string_equal(cJSON_GetObjectItem(step_of(document, "batch"), "budget")->valuestring, "none");
    const cJSON *p50 = cJSON_GetObjectItem(step_of(document, "inference"), "p50_ms");
    assert_true(cJSON_GetObjectItem(p50, "estimate")->valuedouble == 100);
    const cJSON *series = cJSON_GetObjectItem(document, "series");
    const cJSON *answered = cJSON_GetObjectItem(cJSON_GetArrayItem(series, 0), "y");
    const cJSON *failed = cJSON_GetObjectItem(cJSON_GetArrayItem(series, 1), "y");
    assert_int_equal(cJSON_GetArraySize(answered), 2);
    assert_true(cJSON_GetArrayItem(answered, 0)->valuedouble == 0 &&
                cJSON_GetArrayItem(answered, 1)->valuedouble == 1000);
    assert_true(cJSON_GetArrayItem(failed, 0)->valuedouble == 3);
    cJSON_Delete(document);
    operation_free(operation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_ranks),
        cmocka_unit_test(few_times_have_no_tail),
        cmocka_unit_test(odd_times_are_left_out),
        cmocka_unit_test(the_document_judges_by_the_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
