// test_batch.c: who is left in a batch when a deadline has passed, and what the jobs in it are told of it.
#include "worker/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/clock.h"
#include "worker/latency.h"
#include "worker/worker.h"

struct fixture {
    struct worker worker;
    struct latency_table latency;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    struct offsets offsets;
    struct worker *worker = &fixture->worker;
    worker->latency = &fixture->latency;
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 0, 100);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, 0, &offsets);
    flights_init(&worker->flights);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        queue_init(&worker->inboxes[stage], 8, 80);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct worker *worker = &((struct fixture *)*state)->worker;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        queue_release(&worker->inboxes[stage]);
    flights_release(&worker->flights);
    assignment_release(&worker->assignment);
    free(*state);
    return 0;
}

// deadline_at -1: none.
static struct job *take_job(struct worker *worker, int64_t offset, const char *image, int64_t deadline_at)
{
    struct job *job = job_new(1024, 1024);
    job->offset = offset;
    job->image_sha256 = digest_of(image, 1);
    job->record.deadline_at = deadline_at;
    assert_int_equal(assignment_take(&worker->assignment, job), TAKE_NEW);
    return job;
}

// The first job's deadline passes while its batch waits for the device; an equal image rode with it.
static void test_the_next_rider_leads_and_knows_its_batch(void **state)
{
    struct worker *worker = &((struct fixture *)*state)->worker;
    int64_t now = clock_wall_ms();
    struct job *expired = take_job(worker, 0, "a", now - 1), *rider = take_job(worker, 1, "a", -1);
    struct job *other = take_job(worker, 2, "b", -1), *late = take_job(worker, 3, "c", now - 1);
    assert_false(flights_board(&worker->flights, expired));
    assert_true(flights_board(&worker->flights, rider));
    assert_false(flights_board(&worker->flights, other));
    assert_false(flights_board(&worker->flights, late));
    struct batch batch = {.id = "batch", .count = 3, .reason = BATCH_IDLE, .jobs = {expired, other, late}};
    batch_stamp(worker, &batch);
    assert_int_equal(other->batch_size, 3);
    int64_t batched = other->moments[MOMENT_BATCHED];
    assert_int_equal(worker->computing, 3);

    batch.count = batch_keep_timely(worker, batch.jobs, batch.count);
    batch_stamp(worker, &batch);
    assert_int_equal(batch.count, 2);
    assert_ptr_equal(batch.jobs[0], rider);
    assert_ptr_equal(batch.jobs[1], other);
    for (int i = 0; i < batch.count; i++) {
        assert_string_equal(batch.jobs[i]->batch_id, "batch");
        assert_int_equal(batch.jobs[i]->batch_size, 2);
        assert_int_equal(batch.jobs[i]->batch_reason, BATCH_IDLE);
    }
    assert_true(rider->computing && rider->moments[MOMENT_BATCHED] >= batched);
    assert_int_equal(other->moments[MOMENT_BATCHED], batched);
    void *answered[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(queue_pop(&worker->inboxes[STAGE_POSTPROCESS], &answered[i], 0), QUEUE_OK);
    assert_true(answered[0] == expired && answered[1] == late);
    assert_int_equal(expired->code, JOB_DEADLINE_EXCEEDED);

    atomic_fetch_add(&worker->unfinished, 4);
    for (int i = 0; i < 2; i++) {
        worker_end_job(worker, batch.jobs[i]);
        worker_end_job(worker, answered[i]);
    }
    assert_int_equal(worker->computing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_next_rider_leads_and_knows_its_batch, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
