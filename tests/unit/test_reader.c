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

static struct reader_answer read_at(struct reader *reader, int32_t partition, int64_t offset)
{
    struct error err;
    struct reader_answer answer;
    const struct reader_place place = {TOPIC_ROUTINE, partition, offset};
    assert_int_equal(reader_begin(reader, &place, &err), STATUS_OK);
    assert_true(reader_wait(reader, WAIT_MS, &answer));
    return answer;
}

static void expect_record(struct reader *reader, int32_t partition, int64_t place, int64_t offset, char value)
{
    struct reader_answer answer = read_at(reader, partition, place);
    assert_int_equal(answer.code, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(answer.offset, offset);
    assert_int_equal(answer.record->offset, offset);
    assert_int_equal(answer.record->len, 1);
    assert_int_equal(*(const char *)answer.record->payload, value);
    reader_answer_release(&answer);
}

static void expect_error(struct reader *reader, int32_t partition, int64_t place, rd_kafka_resp_err_t code)
{
    struct reader_answer answer = read_at(reader, partition, place);
    assert_int_equal(answer.code, code);
    assert_null(answer.record);
    if (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        assert_int_equal(answer.offset, place);
    reader_answer_release(&answer);
    reader_answer_release(&answer);
}

// Forwards and backwards, in both partitions. A client that has to be reminded takes a second for each.
static void test_each_record_alone(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    expect_record(reader, 0, 0, 0, 'a'); // connects
    int64_t begun_ms = clock_monotonic_ms();
    for (int i = 0; i < 2 * RECORDS * PARTITIONS; i++) {
        int record = i < RECORDS * PARTITIONS ? i : 2 * RECORDS * PARTITIONS - 1 - i;
        int64_t offset = record / PARTITIONS;
        expect_record(reader, record % PARTITIONS, offset, offset, (char)('a' + record));
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
    expect_error(reader, 1, RECORDS, RD_KAFKA_RESP_ERR__PARTITION_EOF);
    expect_error(reader, 1, RECORDS + 1, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET);
    expect_record(reader, 1, RECORDS - 1, RECORDS - 1, 'j'); // the errors are over
    reader_close(reader);
}

// At markers of transactions: the next record, behind one and behind several, and the log's end. A client
// that waits behind a marker until it looks again takes a second for each.
static void test_markers(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    mock_kafka_write_marker(mock, 1, true);
    mock_kafka_write_marker(mock, 1, false);
    mock_kafka_write_marker(mock, 1, true);
    mock_kafka_write(mock, 1, "k");
    mock_kafka_write(mock, 1, "l");
    mock_kafka_write_marker(mock, 1, true);
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    int64_t begun_ms = clock_monotonic_ms();
    for (int64_t place = RECORDS; place < RECORDS + 3; place++)
        expect_record(reader, 1, place, RECORDS + 3, 'k');
    expect_record(reader, 1, RECORDS + 4, RECORDS + 4, 'l');
    expect_error(reader, 1, RECORDS + 5, RD_KAFKA_RESP_ERR__PARTITION_EOF);
    expect_record(reader, 1, RECORDS - 1, RECORDS - 1, 'j');
    assert_in_range(clock_monotonic_ms() - begun_ms, 0, 5000);
    reader_close(reader);
}

// A topic that is deleted while a place of it is read.
static void test_deleted_topic(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    expect_record(reader, 0, 0, 0, 'a');
    rd_kafka_mock_topic_set_error(mock->cluster, "mock.jobs", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    enum { FETCH = 1, TIMES = 100 };
    for (int i = 0; i < TIMES; i++) // has it ask where the topic is
        rd_kafka_mock_push_request_errors(mock->cluster, FETCH, 1,
                                          RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
    struct reader_answer answer = read_at(reader, 0, 1);
    assert_null(answer.record);
    assert_int_not_equal(answer.code, RD_KAFKA_RESP_ERR_NO_ERROR); // which one differs between librdkafkas
    reader_answer_release(&answer);
    reader_close(reader);
}

// A reader that is closed while it waits for a silent broker.
static void test_closed_while_it_waits(void **state)
{
    struct mock_kafka *mock = *state;
    struct reader *reader;
    struct error err;
    struct reader_answer answer;
    const struct reader_place place = {TOPIC_ROUTINE, 0, 0};
    assert_int_equal(reader_open(&reader, mock->worker, NULL, &err), STATUS_OK);
    expect_record(reader, 0, 0, 0, 'a');
    rd_kafka_mock_broker_set_rtt(mock->cluster, 1, 60000);
    assert_int_equal(reader_begin(reader, &place, &err), STATUS_OK);
    assert_false(reader_poll(reader, &answer));
    assert_false(reader_wait(reader, 50, &answer));
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
        cmocka_unit_test_setup_teardown(test_markers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deleted_topic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closed_while_it_waits, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
