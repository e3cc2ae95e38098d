// test_reader.c: single records, read one after the other by one consumer from brokers within the process.
// That nothing behind them is fetched is for tests/chaos/test_oversize.py.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/mock_kafka.h"
#include "worker/group/reader.h"

enum { PARTITIONS = 2, RECORDS = 5, WAIT_MS = 10000 };

static int set_up(void **state)
{
    struct mock_kafka *mock = memory_alloc(sizeof *mock);
    mock_kafka_start(mock, 1, PARTITIONS);
    for (int i = 0; i < RECORDS * PARTITIONS; i++) {
        const char value[] = {(char)('a' + i), '\0'};
        mock_kafka_write(mock, i % PARTITIONS, value);
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

static rd_kafka_message_t *read_at(struct reader *reader, int32_t partition, int64_t offset)
{
    struct error err;
    const struct reader_place place = {TOPIC_ROUTINE, partition, offset};
    assert_int_equal(reader_begin(reader, &place, &err), STATUS_OK);
    rd_kafka_message_t *message = reader_wait(reader, WAIT_MS);
    assert_non_null(message);
    return message;
}

// Forwards and backwards, in both partitions. A client that has to be reminded takes a second for each.
static void test_each_record_alone(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    rd_kafka_message_destroy(read_at(reader, 0, 0)); // connects
    int64_t begun_ms = clock_monotonic_ms();
    for (int i = 0; i < 2 * RECORDS * PARTITIONS; i++) {
        int record = i < RECORDS * PARTITIONS ? i : 2 * RECORDS * PARTITIONS - 1 - i;
        rd_kafka_message_t *message = read_at(reader, record % PARTITIONS, record / PARTITIONS);
        assert_int_equal(message->err, RD_KAFKA_RESP_ERR_NO_ERROR);
        assert_int_equal(message->offset, record / PARTITIONS);
        assert_int_equal(message->len, 1);
        assert_int_equal(*(const char *)message->payload, 'a' + record);
        rd_kafka_message_destroy(message);
    }
    assert_in_range(clock_monotonic_ms() - begun_ms, 0, 2 * RECORDS * PARTITIONS * 500);
    reader_close(reader);
}

static void test_places_without_a_record(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    rd_kafka_message_t *message = read_at(reader, 1, RECORDS);
    assert_int_equal(message->err, RD_KAFKA_RESP_ERR__PARTITION_EOF);
    rd_kafka_message_destroy(message);
    message = read_at(reader, 1, RECORDS + 1);
    assert_int_equal(message->err, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET);
    assert_int_equal(message->offset, RECORDS + 1);
    rd_kafka_message_destroy(message);
    message = read_at(reader, 1, RECORDS - 1); // the errors are over
    assert_int_equal(message->err, RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_message_destroy(message);
    reader_close(reader);
}

// A reader that is closed while it waits for a silent broker.
static void test_closed_while_it_waits(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    const struct reader_place place = {TOPIC_ROUTINE, 0, 0};
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    rd_kafka_message_destroy(read_at(reader, 0, 0));
    rd_kafka_mock_broker_set_rtt(mock->cluster, 1, 60000);
    assert_int_equal(reader_begin(reader, &place, &err), STATUS_OK);
    assert_null(reader_poll(reader));
    assert_null(reader_wait(reader, 50));
    int64_t begun_ms = clock_monotonic_ms();
    reader_close(reader);
    assert_in_range(clock_monotonic_ms() - begun_ms, 0, WAIT_MS);
    reader_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_record_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places_without_a_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closed_while_it_waits, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
