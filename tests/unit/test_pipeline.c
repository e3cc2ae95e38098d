// test_pipeline.c: the table of stages: how many jobs wait in front of each, whose steps are watched, and
// what each is called in metrics.
#include "worker/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/program/config.h"

static const char *const settings[] = {"queue_jobs=11", "intake_limit_jobs=97", "batch_max=3"};

// docs/CONFIGURATION.md says what each option bounds.
static void test_each_inbox_has_its_room(void **state)
{
    (void)state;
    static const int rooms[STAGE_COUNT] = {
        [STAGE_FETCH] = 11, [STAGE_LOAD] = 97,        [STAGE_DECODE] = 6,  [STAGE_BATCH] = 6,
        [STAGE_INFER] = 1,  [STAGE_POSTPROCESS] = 11, [STAGE_PUBLISH] = 11};
    struct worker *worker = memory_alloc(sizeof *worker);
    struct config *config = config_new_for_test(PROGRAM_WORKER, settings, 3);
    struct job *job = job_new(0, 0);
    worker->config = config;
    pipeline_init_inboxes(worker);
    for (int id = 0; id < STAGE_COUNT; id++) {
        int room = 0;
        while (worker_offer(worker, job, (enum stage_id)id) == QUEUE_OK)
            room++;
        assert_int_equal(room, rooms[id]);
        queue_release(&worker->inboxes[id]);
    }
    job_free(job);
    config_free(config);
    free(worker);
}

// Batch waits for the device and publish for Kafka: a watchdog would end the process over an outage.
static void test_which_steps_are_watched(void **state)
{
    (void)state;
    static const int64_t wanted[STAGE_COUNT] = {
        [STAGE_LOAD] = 500, [STAGE_BATCH] = -1, [STAGE_POSTPROCESS] = 500, [STAGE_PUBLISH] = -1};
    struct worker *worker = memory_alloc(sizeof *worker);
    worker->job_budget_ms = 500;
    for (int id = 0; id < STAGE_COUNT; id++)
        assert_int_equal(pipeline_more_ms(worker, (enum stage_id)id), wanted[id]);
    free(worker);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(pipeline_stage_name(STAGE_FETCH), "fetch");
    assert_string_equal(pipeline_stage_name(STAGE_PUBLISH), "publish");
    assert_string_equal(pipeline_stage_name(STAGE_TOTAL), "total");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_inbox_has_its_room),
                                       cmocka_unit_test(test_which_steps_are_watched),
                                       cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
