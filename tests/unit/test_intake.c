// test_intake.c: whichever limit of the intake binds, urgent jobs get their share of it; a topic is paused
// when its list is full and read again at half; the end of a partition counts only once its held records are
// taken.
#include "worker/stages/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/program/config.h"

enum { SHARE = 80, VALUE = 1000, TURNS = 200, SHORT_WINDOW = 64 };

struct fixture {
    struct worker worker;
    struct intake *intake;
    struct config *config;
    int64_t next[TOPIC_COUNT]; // offset
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    struct worker *worker = &fixture->worker;
    struct offsets offsets;
    worker->config = fixture->config =
        config_new_for_test(PROGRAM_WORKER, (const char *[]){"urgent_share=80"}, 1);
    worker->intake_limit_jobs = 512;
    worker->intake_limit_bytes = INT32_MAX;
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 0, SHORT_WINDOW);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        assignment_add(&worker->assignment, (enum job_topic)topic, 0, &offsets);
    flights_init(&worker->served.flights);
    queue_init(&worker->inboxes[STAGE_FETCH], 512, SHARE);
    queue_init(&worker->inboxes[STAGE_POSTPROCESS], 1, SHARE);
    fixture->intake = intake_new(worker);
    *state = fixture;
    return 0;
}

// The job that has been in the pipeline the longest; NULL: none is.
static struct job *oldest(struct fixture *fixture)
{
    void *item = NULL;
    queue_pop(&fixture->worker.inboxes[STAGE_FETCH], &item, 0);
    return item;
}

static void finish(struct fixture *fixture, struct job *job)
{
    assignment_finish(&fixture->worker.assignment, job);
    worker_end_job(&fixture->worker, job);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct job *job;
    intake_forget(fixture->intake);
    while ((job = oldest(fixture)))
        finish(fixture, job);
    assert_int_equal(atomic_load(&fixture->worker.unfinished), 0);
    intake_free(fixture->intake);
    queue_release(&fixture->worker.inboxes[STAGE_FETCH]);
    queue_release(&fixture->worker.inboxes[STAGE_POSTPROCESS]);
    flights_release(&fixture->worker.served.flights);
    assignment_release(&fixture->worker.assignment);
    config_free(fixture->config);
    free(fixture);
    return 0;
}

static struct job *next_record(struct fixture *fixture, enum job_topic topic, size_t size)
{
    static const char zeros[INTAKE_HELD_BYTES / 2];
    struct job *job = job_new(10, size);
    struct error err;
    job->topic = topic;
    job->offset = fixture->next[topic]++;
    assert_int_equal(buffer_append(&job->value, zeros, size, &err), STATUS_OK);
    return job;
}

static void hold(struct fixture *fixture, enum job_topic topic, size_t size)
{
    assert_true(intake_hold(fixture->intake, next_record(fixture, topic, size)));
}

// Keeps both lists full while the pipeline finishes job after job; gives how many of these were urgent.
static int count_urgent(struct fixture *fixture)
{
    int urgent = 0;
    for (int finished = 0; finished < TURNS; finished++) {
        for (int topic = 0; topic < TOPIC_COUNT; topic++)
            while (!intake_wants_pause(fixture->intake, (enum job_topic)topic))
                hold(fixture, (enum job_topic)topic, VALUE);
        intake_place(fixture->intake);
        struct job *job = oldest(fixture);
        assert_non_null(job);
        urgent += job->topic == TOPIC_URGENT;
        finish(fixture, job);
    }
    return urgent;
}

static void test_urgent_jobs_get_their_share_of_few_places(void **state)
{
    struct fixture *fixture = *state;
    for (int limit = 1; limit <= 16; limit++) {
        fixture->worker.intake_limit_jobs = limit;
        assert_in_range(count_urgent(fixture), TURNS * SHARE / 100 - 2, TURNS * SHARE / 100 + 2);
    }
}

static void test_urgent_jobs_get_their_share_of_few_bytes(void **state)
{
    struct fixture *fixture = *state;
    fixture->worker.intake_limit_bytes = 6 * VALUE;
    assert_in_range(count_urgent(fixture), TURNS * SHARE / 100 - 2, TURNS * SHARE / 100 + 2);
}

// The window holds 64 of each topic's one partition, so both are in the pipeline, whose lanes share the
// device.
static void test_a_full_window_keeps_nobody_else_out(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < SHORT_WINDOW; i++)
        hold(fixture, TOPIC_ROUTINE, VALUE);
    intake_place(fixture->intake);
    hold(fixture, TOPIC_ROUTINE, VALUE);
    intake_place(fixture->intake);
    assert_int_equal(atomic_load(&fixture->worker.unfinished), SHORT_WINDOW);
    hold(fixture, TOPIC_URGENT, VALUE);
    intake_place(fixture->intake);
    assert_int_equal(atomic_load(&fixture->worker.unfinished), SHORT_WINDOW + 1);
    finish(fixture, oldest(fixture)); // the urgent one
    finish(fixture, oldest(fixture));
    intake_place(fixture->intake);
    assert_true(intake_is_empty(fixture->intake));
}

// Routine jobs that wait for an object store which is away take 7 of 8 places and no more.
static void test_urgent_jobs_pass_routine_ones_that_are_stuck(void **state)
{
    struct fixture *fixture = *state;
    struct job *stuck[SHORT_WINDOW];
    int count = 0;
    fixture->worker.intake_limit_jobs = 8;
    for (int i = 0; i < SHORT_WINDOW; i++)
        hold(fixture, TOPIC_ROUTINE, VALUE);
    intake_place(fixture->intake);
    while ((stuck[count] = oldest(fixture)))
        count++;
    assert_int_equal(count, 7);
    for (int i = 0; i < TURNS; i++) {
        hold(fixture, TOPIC_URGENT, VALUE);
        intake_place(fixture->intake);
        struct job *job = oldest(fixture);
        assert_int_equal(job->topic, TOPIC_URGENT);
        finish(fixture, job);
    }
    while (count > 0)
        finish(fixture, stuck[--count]);
}

static void test_a_topic_is_read_again_at_half(void **state)
{
    struct fixture *fixture = *state;
    fixture->worker.intake_limit_jobs = 1;
    for (int i = 0; i < INTAKE_HELD_JOBS; i++) {
        assert_false(intake_wants_pause(fixture->intake, TOPIC_URGENT));
        hold(fixture, TOPIC_URGENT, VALUE);
    }
    struct job *job = next_record(fixture, TOPIC_URGENT, VALUE);
    assert_false(intake_hold(fixture->intake, job));
    job_free(job);
    for (int left = INTAKE_HELD_JOBS; left > INTAKE_HELD_JOBS / 2; left--) {
        assert_true(intake_wants_pause(fixture->intake, TOPIC_URGENT));
        assert_false(intake_wants_pause(fixture->intake, TOPIC_ROUTINE));
        intake_place(fixture->intake);
        finish(fixture, oldest(fixture));
    }
    assert_false(intake_wants_pause(fixture->intake, TOPIC_URGENT));
}

static void test_large_records_fill_a_list_by_their_bytes(void **state)
{
    struct fixture *fixture = *state;
    fixture->worker.intake_limit_jobs = 1;
    hold(fixture, TOPIC_URGENT, INTAKE_HELD_BYTES / 2);
    assert_false(intake_wants_pause(fixture->intake, TOPIC_URGENT));
    hold(fixture, TOPIC_URGENT, INTAKE_HELD_BYTES / 2);
    assert_true(intake_wants_pause(fixture->intake, TOPIC_URGENT));
    intake_place(fixture->intake);
    assert_false(intake_wants_pause(fixture->intake, TOPIC_URGENT));
}

// Else the deaths that one of the held records causes would be forgotten each time it is read.
static void test_a_partition_has_no_end_while_its_records_are_held(void **state)
{
    struct fixture *fixture = *state;
    struct assigned entry;
    hold(fixture, TOPIC_ROUTINE, VALUE);
    hold(fixture, TOPIC_ROUTINE, VALUE);
    intake_reach_end(fixture->intake, TOPIC_ROUTINE, 0);
    assert_true(assignment_at(&fixture->worker.assignment, TOPIC_ROUTINE, &entry));
    assert_false(entry.offsets.at_end);
    intake_place(fixture->intake);
    assert_true(assignment_at(&fixture->worker.assignment, TOPIC_ROUTINE, &entry));
    assert_true(entry.offsets.at_end);
}

static void test_a_record_behind_the_end_moves_it(void **state)
{
    struct fixture *fixture = *state;
    struct assigned entry;
    hold(fixture, TOPIC_ROUTINE, VALUE);
    intake_reach_end(fixture->intake, TOPIC_ROUTINE, 0);
    hold(fixture, TOPIC_ROUTINE, VALUE);
    intake_place(fixture->intake);
    assert_true(assignment_at(&fixture->worker.assignment, TOPIC_ROUTINE, &entry));
    assert_false(entry.offsets.at_end);
}

// The urgent partition is left out while its records 5 to 9 are open and 10 is held, and taken in again at 5.
static void leave_out_with_ten_held(struct fixture *fixture, bool forget)
{
    struct assignment *assignment = &fixture->worker.assignment;
    struct offsets offsets;
    offsets_init(&offsets, 5, SHORT_WINDOW);
    fixture->next[TOPIC_URGENT] = 10;
    hold(fixture, TOPIC_ROUTINE, VALUE);
    hold(fixture, TOPIC_URGENT, VALUE);
    hold(fixture, TOPIC_ROUTINE, VALUE);
    assignment_remove(assignment, TOPIC_URGENT, 0);
    if (forget)
        intake_forget_left_out(fixture->intake);
    assignment_add(assignment, TOPIC_URGENT, 0, &offsets);
}

static void test_what_was_held_of_a_partition_left_out_answers_nothing(void **state)
{
    struct fixture *fixture = *state;
    leave_out_with_ten_held(fixture, false);
    intake_place(fixture->intake);
    assert_int_equal(assignment_next(&fixture->worker.assignment, TOPIC_URGENT, 0), 5);
    assert_int_equal(assignment_next(&fixture->worker.assignment, TOPIC_ROUTINE, 0), 2);
}

// The others keep their order.
static void test_what_is_held_of_a_partition_left_out_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    leave_out_with_ten_held(fixture, true);
    intake_reach_end(fixture->intake, TOPIC_ROUTINE, 0);
    intake_place(fixture->intake);
    assert_int_equal(atomic_load(&fixture->worker.unfinished), 2);
    for (int64_t offset = 0; offset < 2; offset++) {
        struct job *job = oldest(fixture);
        assert_int_equal(job->topic, TOPIC_ROUTINE);
        assert_int_equal(job->offset, offset);
        finish(fixture, job);
    }
    fixture->next[TOPIC_URGENT] = 5;
    hold(fixture, TOPIC_URGENT, VALUE);
    intake_place(fixture->intake);
    assert_int_equal(assignment_next(&fixture->worker.assignment, TOPIC_URGENT, 0), 6);
}

// The thread that places is the one that polls: it must never wait. Else this test does not end.
static void test_a_full_inbox_holds_what_is_answered_unseen(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        struct job *job = next_record(fixture, TOPIC_ROUTINE, 0);
        job->oversized = true;
        assert_true(intake_hold(fixture->intake, job));
    }
    for (int64_t offset = 0; offset < 2; offset++) {
        void *item;
        intake_place(fixture->intake);
        assert_int_equal(intake_is_empty(fixture->intake), offset == 1);
        assert_int_equal(queue_pop(&fixture->worker.inboxes[STAGE_POSTPROCESS], &item, 0), QUEUE_OK);
        struct job *job = item;
        assert_int_equal(job->offset, offset);
        finish(fixture, job);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_urgent_jobs_get_their_share_of_few_places),
        TEST(test_urgent_jobs_get_their_share_of_few_bytes),
        TEST(test_a_full_window_keeps_nobody_else_out),
        TEST(test_urgent_jobs_pass_routine_ones_that_are_stuck),
        TEST(test_a_topic_is_read_again_at_half),
        TEST(test_large_records_fill_a_list_by_their_bytes),
        TEST(test_a_partition_has_no_end_while_its_records_are_held),
        TEST(test_a_record_behind_the_end_moves_it),
        TEST(test_what_was_held_of_a_partition_left_out_answers_nothing),
        TEST(test_what_is_held_of_a_partition_left_out_is_forgotten),
        TEST(test_a_full_inbox_holds_what_is_answered_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
