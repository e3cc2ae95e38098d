// test_publisher.c: when a group of answers is closed: by their number, and by what they are on Kafka; and
// which refused deadlines have their records read again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/program/config.h"
#include "worker/group/publisher.h"

enum { CLIENT_QUEUE_BYTES = 64 << 20, RECORD_MOST = 10 << 20 };

struct fixture {
    struct worker worker;
    struct config *config;
    struct publisher *publisher;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    fixture->config = config_new_for_test(PROGRAM_WORKER, NULL, 0);
    fixture->worker.config = fixture->config;
    flights_init(&fixture->worker.served.flights);
    fixture->publisher = publisher_new(&fixture->worker);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    publisher_free(fixture->publisher);
    flights_release(&fixture->worker.served.flights);
    config_free(fixture->config);
    free(fixture);
    return 0;
}

// Adds jobs of that many bytes until the group is closed; how many it took.
static int fill(struct fixture *fixture, size_t size, bool failed)
{
    struct publisher *publisher = fixture->publisher;
    assert_true(publisher_has_room(publisher));
    for (int count = 1;; count++) {
        struct job *job = job_new(0, 0);
        job->served = &fixture->worker.served;
        job->value.size = size; // nobody looks at the bytes
        if (failed)
            job_fail(job, JOB_DEADLINE_EXCEEDED, "too late");
        bool more = publisher_add(publisher, job);
        assert_int_equal(more, publisher_has_room(publisher));
        if (!more)
            return count;
    }
}

static void test_dead_letters_close_a_group(void **state)
{
    struct fixture *fixture = *state;
    for (size_t size = 1 << 20; size <= RECORD_MOST; size += 1 << 20) {
        int count = fill(fixture, size, true);
        assert_true(count >= 2);
        assert_in_range((size_t)count * (size + JOB_ANSWER_LIMIT), 0, CLIENT_QUEUE_BYTES * 3 / 4);
        publisher_drop(fixture->publisher);
    }
}

static void test_one_job_always_fits(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fill(fixture, CLIENT_QUEUE_BYTES, true), 1);
    publisher_drop(fixture->publisher);
    assert_true(publisher_has_room(fixture->publisher));
}

// Their records are not sent.
static void test_answers_close_a_group_by_number(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fill(fixture, RECORD_MOST, false), 512);
}

// A job whose deadline was refused, and then the clock is found wrong. True: its record is to be read again.
static bool is_read_again(struct fixture *fixture, uint32_t epoch)
{
    struct worker *worker = &fixture->worker;
    struct error err;
    struct job *job = job_new(0, 0);
    job->served = &worker->served;
    job->topic = TOPIC_ROUTINE;
    job->epoch = epoch;
    job_fail(job, JOB_DEADLINE_EXCEEDED, "too late");
    atomic_fetch_add(&worker->unfinished, 1);
    publisher_add(fixture->publisher, job);
    assert_int_equal(publisher_publish(fixture->publisher, COMMIT_ANSWERED, &err), STATUS_OK);
    assert_int_equal(atomic_load(&worker->unfinished), 0);
    return atomic_exchange(&worker->reads_again, false);
}

// Those of an assignment that is over come again without that.
static void test_refused_wrongly(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    struct offsets offsets;
    enum { TOLERANCE_MS = 60000 };
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 0, 64);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, 0, &offsets);
    broker_clock_init(&worker->broker_clock, TOLERANCE_MS);
    broker_clock_take(&worker->broker_clock, clock_wall_ms(), clock_wall_ms() + 10 * TOLERANCE_MS);
    uint32_t epoch = assignment_epoch(&worker->assignment, TOPIC_ROUTINE, 0);
    assert_true(is_read_again(fixture, epoch));
    assert_false(is_read_again(fixture, epoch + 1));
    assignment_clear(&worker->assignment);
    assert_false(is_read_again(fixture, epoch));
    assignment_release(&worker->assignment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dead_letters_close_a_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_job_always_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answers_close_a_group_by_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_wrongly, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
