// test_rebalance.c: a partition is left out while no broker answers: what is computed of the others stays.
// What happens at brokers that answer is for tests/chaos.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/mock_kafka.h"
#include "worker/group/publisher.h"
#include "worker/group/rebalance.h"

enum { LEFT, KEPT, PARTITIONS, WAITING = 3 };

static int set_up(void **state)
{
    struct mock_kafka *mock = memory_alloc(sizeof *mock);
    mock_kafka_start(mock, 1, PARTITIONS);
    struct worker *worker = mock->worker;
    worker->transaction_timeout_ms = 1000; // the least that librdkafka takes
    blocked_init(&worker->blocked);
    flights_init(&worker->served.flights);
    queue_init(&worker->inboxes[STAGE_PUBLISH], PARTITIONS * WAITING, 1);
    worker->publisher = publisher_new(worker);
    for (int partition = 0; partition < PARTITIONS; partition++) {
        struct offsets offsets;
        offsets_init(&offsets, 0, worker->window);
        assignment_add(&worker->assignment, TOPIC_ROUTINE, partition, &offsets);
    }
    *state = mock;
    return 0;
}

static int tear_down(void **state)
{
    struct mock_kafka *mock = *state;
    struct worker *worker = mock->worker;
    void *job;
    publisher_free(worker->publisher);
    while (queue_pop(&worker->inboxes[STAGE_PUBLISH], &job, 0) == QUEUE_OK)
        worker_end_job(worker, job);
    queue_release(&worker->inboxes[STAGE_PUBLISH]);
    flights_release(&worker->served.flights);
    blocked_release(&worker->blocked);
    mock_kafka_stop(mock);
    free(mock);
    return 0;
}

static struct job *make_job(struct worker *worker, int32_t partition, int64_t offset)
{
    struct job *job = job_new(0, 0);
    job->served = &worker->served;
    job->topic = TOPIC_ROUTINE;
    job->partition = partition;
    job->offset = offset;
    job->epoch = assignment_epoch(&worker->assignment, TOPIC_ROUTINE, partition);
    atomic_fetch_add(&worker->unfinished, 1);
    return job;
}

static void test_answers_of_others_are_kept(void **state)
{
    struct mock_kafka *mock = *state;
    struct worker *worker = mock->worker;
    int64_t offset = 0;
    while (publisher_add(worker->publisher, make_job(worker, KEPT, offset)))
        offset++;
    for (int i = 0; i < WAITING; i++)
        for (int partition = 0; partition < PARTITIONS; partition++)
            queue_push(&worker->inboxes[STAGE_PUBLISH], QUEUE_ROUTINE, make_job(worker, partition, ++offset));
    int unfinished = atomic_load(&worker->unfinished);
    rd_kafka_mock_broker_set_down(mock->cluster, 1);
    rebalance_leave_out(worker, TOPIC_ROUTINE, LEFT);
    assert_false(assignment_holds(&worker->assignment, TOPIC_ROUTINE, LEFT));
    assert_true(assignment_holds(&worker->assignment, TOPIC_ROUTINE, KEPT));
    assert_int_equal(atomic_load(&worker->unfinished), unfinished);
    assert_false(publisher_has_room(worker->publisher));
    assert_false(atomic_load(&worker->failing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_of_others_are_kept, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
