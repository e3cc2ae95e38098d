// test_batch.c: when a batch goes and how many jobs go with it; who is left in it when a deadline has passed,
// and what the jobs in it are told of it.
#include "worker/stages/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "worker/stages/stages.h"

struct fixture {
    struct worker worker;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    struct offsets offsets;
    struct worker *worker = &fixture->worker;
    worker->batch_max = 3;
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 0, 100);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, 0, &offsets);
    flights_init(&worker->served.flights);
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
    flights_release(&worker->served.flights);
    assignment_release(&worker->assignment);
    free(*state);
    return 0;
}

// deadline_at -1: none.
static struct job *take_job(struct worker *worker, int64_t offset, const char *image, int64_t deadline_at)
{
    struct job *job = job_new(1024, 1024);
    job->served = &worker->served;
    job->offset = offset;
    job->image_sha256 = digest_of(image, 1);
    job->record.deadline_at = deadline_at;
    job->epoch = assignment_epoch(&worker->assignment, job->topic, job->partition);
    assert_int_equal(assignment_take(&worker->assignment, job), TAKE_NEW);
    return job;
}

// The first job's deadline passes while its batch waits for the device; two equal images rode with it, and
// one of them was too late as well.
static void test_the_next_rider_leads_and_knows_its_batch(void **state)
{
    struct worker *worker = &((struct fixture *)*state)->worker;
    int64_t now = clock_wall_ms();
    struct job *expired = take_job(worker, 0, "a", now - 1), *rider = take_job(worker, 1, "a", -1);
    struct job *late_rider = take_job(worker, 2, "a", now - 1);
    struct job *other = take_job(worker, 3, "b", -1), *late = take_job(worker, 4, "c", now - 1);
    assert_false(flights_board(&worker->served.flights, expired));
    assert_true(flights_board(&worker->served.flights, late_rider));
    assert_true(flights_board(&worker->served.flights, rider));
    assert_false(flights_board(&worker->served.flights, other));
    assert_false(flights_board(&worker->served.flights, late));
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
    void *answered[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(queue_pop(&worker->inboxes[STAGE_POSTPROCESS], &answered[i], 0), QUEUE_OK);
    assert_true(answered[0] == late_rider && answered[1] == expired && answered[2] == late);
    job_fail(expired, JOB_INTERNAL, "another fault"); // the first one stays
    assert_int_equal(expired->code, JOB_DEADLINE_EXCEEDED);
    assert_non_null(strstr(expired->error.message, "deadline"));
    assert_int_equal(late_rider->code, JOB_DEADLINE_EXCEEDED);

    atomic_fetch_add(&worker->unfinished, 5);
    for (int i = 0; i < 2; i++)
        worker_end_job(worker, batch.jobs[i]);
    for (int i = 0; i < 3; i++)
        worker_end_job(worker, answered[i]);
    assert_int_equal(worker->computing, 0);
}

struct expected_batch {
    int count;
    enum batch_reason reason;
    int64_t offsets[8]; // of its jobs, in order
};

// Puts jobs with these deadlines before the batch stage, runs it until it has sent them all, and checks which
// batches it made and why each went. Frees the jobs.
static void check_batches(struct worker *worker, const int64_t *deadlines, int jobs,
                          const struct expected_batch *expected, int batches)
{
    worker->batch_delay_ms = INT32_MAX;
    atomic_store(&worker->unfinished, jobs + 1); // one more is on its way
    for (int i = 0; i < jobs; i++) {
        const char image[] = {(char)('a' + i), '\0'};
        struct job *job = take_job(worker, i, image, deadlines[i]);
        assert_int_equal(queue_push(&worker->inboxes[STAGE_BATCH], QUEUE_ROUTINE, job), QUEUE_OK);
    }
    queue_close(&worker->inboxes[STAGE_BATCH]);
    batch_loop(worker);
    assert_int_equal(queue_count(&worker->inboxes[STAGE_INFER]), batches);
    for (int i = 0; i < batches; i++) {
        void *item;
        assert_int_equal(queue_pop(&worker->inboxes[STAGE_INFER], &item, 0), QUEUE_OK);
        struct batch *batch = item;
        assert_int_equal(batch->count, expected[i].count);
        assert_int_equal(batch->reason, expected[i].reason);
        for (int k = 0; k < batch->count; k++) {
            assert_int_equal(batch->jobs[k]->offset, expected[i].offsets[k]);
            worker_end_job(worker, batch->jobs[k]);
        }
        free(batch);
    }
}

static void test_a_full_batch_goes_and_the_rest_when_no_more_come(void **state)
{
    struct worker *worker = &((struct fixture *)*state)->worker;
    const int64_t none[] = {-1, -1, -1, -1, -1, -1, -1};
    const struct expected_batch expected[] = {
        {3, BATCH_FULL, {0, 1, 2}}, {3, BATCH_FULL, {3, 4, 5}}, {1, BATCH_DRAIN, {6}}};
    check_batches(worker, none, 7, expected, 3);
}

// An image takes ten seconds on this device.
static void learn_a_slow_device(struct fixture *fixture)
{
    for (int size = 1; size <= 8; size++)
        latency_learn(&fixture->worker.served.latency, size, size * INT64_C(10000000), clock_monotonic_us());
    fixture->worker.batch_max = 8;
}

// The last of eight has time for a batch of two only: it goes first, and the others together.
static void test_one_tight_deadline_cuts_only_its_own_batch(void **state)
{
    struct fixture *fixture = *state;
    const int64_t soon = clock_wall_ms() + 25000;
    const struct expected_batch expected[] = {{2, BATCH_DEADLINE, {7, 0}},
                                              {6, BATCH_DRAIN, {1, 2, 3, 4, 5, 6}}};
    learn_a_slow_device(fixture);
    check_batches(&fixture->worker, (const int64_t[]){-1, -1, -1, -1, -1, -1, -1, soon}, 8, expected, 2);
}

// Of four tight ones only two can be in time. What they passed is not passed again.
static void test_tight_deadlines_do_not_hold_the_others_up(void **state)
{
    struct fixture *fixture = *state;
    const int64_t soon = clock_wall_ms() + 25000;
    const struct expected_batch expected[] = {
        {2, BATCH_DEADLINE, {4, 5}}, {2, BATCH_DEADLINE, {6, 7}}, {4, BATCH_DRAIN, {0, 1, 2, 3}}};
    learn_a_slow_device(fixture);
    check_batches(&fixture->worker, (const int64_t[]){-1, -1, -1, -1, soon, soon, soon, soon}, 8, expected,
                  3);
}

// The device would not be done before the deadline: nobody waits for that.
static void test_what_would_be_late_is_answered_at_once(void **state)
{
    struct fixture *fixture = *state;
    void *answered;
    latency_learn(&fixture->worker.served.latency, 1, 60000000, clock_monotonic_us());
    check_batches(&fixture->worker, (const int64_t[]){clock_wall_ms() + 30000}, 1, NULL, 0);
    assert_int_equal(queue_pop(&fixture->worker.inboxes[STAGE_POSTPROCESS], &answered, 0), QUEUE_OK);
    assert_int_equal(((struct job *)answered)->code, JOB_DEADLINE_EXCEEDED);
    worker_end_job(&fixture->worker, answered);
}

// A partition is left out while its job waits for the device; an equal image of another partition rides with
// it.
static void test_a_leader_that_goes_leaves_its_riders_here(void **state)
{
    struct worker *worker = &((struct fixture *)*state)->worker;
    struct offsets offsets;
    offsets_init(&offsets, 0, 100);
    assignment_add(&worker->assignment, TOPIC_URGENT, 0, &offsets);
    struct job *gone = take_job(worker, 0, "a", -1), *gone_rider = take_job(worker, 1, "a", -1);
    struct job *rider = job_new(0, 0);
    rider->served = &worker->served;
    rider->topic = TOPIC_URGENT;
    rider->image_sha256 = gone->image_sha256;
    rider->record.deadline_at = -1;
    rider->epoch = assignment_epoch(&worker->assignment, TOPIC_URGENT, 0);
    assert_int_equal(assignment_take(&worker->assignment, rider), TAKE_NEW);
    assert_false(flights_board(&worker->served.flights, gone));
    assert_true(flights_board(&worker->served.flights, rider));
    assert_true(flights_board(&worker->served.flights, gone_rider));
    assignment_remove(&worker->assignment, TOPIC_ROUTINE, 0);

    struct job *jobs[] = {gone};
    assert_int_equal(batch_keep_timely(worker, jobs, 1), 1);
    assert_ptr_equal(jobs[0], rider);
    assert_null(flights_land(&worker->served.flights, rider));
    worker_end_job(worker, rider);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_next_rider_leads_and_knows_its_batch),
        TEST(test_a_leader_that_goes_leaves_its_riders_here),
        TEST(test_a_full_batch_goes_and_the_rest_when_no_more_come),
        TEST(test_one_tight_deadline_cuts_only_its_own_batch),
        TEST(test_tight_deadlines_do_not_hold_the_others_up),
        TEST(test_what_would_be_late_is_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
