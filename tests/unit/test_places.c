// test_places.c: where partitions are read from, asked of brokers within the process of which one falls
// silent.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/mock_kafka.h"
#include "worker/group/places.h"

enum { BROKERS = 3, SILENT = 2, ASK_MS = 200, LOOKS = 5 };

// Partition i is led by broker i + 1.
static int set_up(void **state)
{
    struct mock_kafka *mock = memory_alloc(sizeof *mock);
    mock_kafka_start(mock, BROKERS, BROKERS);
    rd_kafka_mock_coordinator_set(mock->cluster, "group", "mock", 1);
    for (int i = 0; i < BROKERS; i++) {
        rd_kafka_mock_partition_set_leader(mock->cluster, "mock.jobs", i, i + 1);
        mock_kafka_write(mock, i, "a job");
    }
    *state = mock;
    return 0;
}

static int tear_down(void **state)
{
    mock_kafka_stop(*state);
    free(*state);
    return 0;
}

// One look at all partitions; how many places are known.
static int look(struct mock_kafka *mock, struct place places[BROKERS])
{
    int known = 0;
    for (int i = 0; i < BROKERS; i++)
        places[i] = (struct place){.committed = {.topic = TOPIC_ROUTINE, .partition = i}};
    places_find(mock->worker, places, BROKERS, ASK_MS);
    for (int i = 0; i < BROKERS; i++)
        known += places[i].status == STATUS_OK;
    return known;
}

// With connections to be made, or the silent broker asked who leads, it may take more than one look.
static void look_until(struct mock_kafka *mock, int wanted)
{
    struct place places[BROKERS];
    int64_t until_ms = clock_monotonic_ms() + 20000;
    while (look(mock, places) != wanted)
        assert_true(clock_monotonic_ms() < until_ms);
}

// Only the ends of logs are asked of leaders; what any broker can tell may be asked of the silent one as
// well.
static void test_a_silent_leader_is_not_waited_for_again(void **state)
{
    struct mock_kafka *mock = *state;
    struct silent_leaders *silent = &mock->worker->silent;
    struct place places[BROKERS];
    look_until(mock, BROKERS);
    rd_kafka_mock_broker_set_rtt(mock->cluster, SILENT, 60000);
    look_until(mock, BROKERS - 1);
    int64_t until_ms = silent->until_ms += 60000; // not while the test runs
    for (int i = 0; i < LOOKS; i++) {
        assert_in_range(look(mock, places), 0, BROKERS - 1);
        assert_int_equal(places[SILENT - 1].status, STATUS_RETRY);
        assert_int_equal(silent->until_ms, until_ms); // nobody waited for it
    }
    rd_kafka_mock_partition_set_leader(mock->cluster, "mock.jobs", SILENT - 1, 1);
    look_until(mock, BROKERS); // another broker leads: the silent one is not missed
    assert_int_equal(silent->until_ms, until_ms);
}

static void test_it_is_asked_again_later(void **state)
{
    struct mock_kafka *mock = *state;
    look_until(mock, BROKERS);
    rd_kafka_mock_broker_set_rtt(mock->cluster, SILENT, 60000);
    look_until(mock, BROKERS - 1);
    assert_int_equal(mock->worker->silent.count, 1);
    int64_t left_ms = mock->worker->silent.until_ms - clock_monotonic_ms();
    assert_in_range(left_ms, ASK_MS * 8, ASK_MS * 9 * 4); // of what it took, on a busy machine
    rd_kafka_mock_broker_set_rtt(mock->cluster, SILENT, 0);
    mock->worker->silent.until_ms = clock_monotonic_ms();
    look_until(mock, BROKERS);
    assert_int_equal(mock->worker->silent.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_silent_leader_is_not_waited_for_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_is_asked_again_later, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
