// test_topic_reader.c: which records a reader gives, and a sender's records as it gives them. The broker is
// librdkafka's mock cluster; tests/integration reads and sends on a real one.
#include "common/services/topic_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/base/clock.h"
#include "common/services/record_sender.h"

enum { TIMEOUT_MS = 10000, PARTITIONS = 3, RECORDS = 10 };

static struct {
    rd_kafka_t *producer; // holds the mock cluster
    struct kafka_cluster cluster;
} fixture;

static void produce(const char *topic, int partition, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(rd_kafka_producev(fixture.producer, RD_KAFKA_V_TOPIC(topic),
                                           RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY("k", 1),
                                           RD_KAFKA_V_VALUE("v", 1), RD_KAFKA_V_END),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(fixture.producer, TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static int set_up(void **state)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)state;
    rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", text, sizeof text);
    rd_kafka_conf_set(conf, "log_level", "0", text, sizeof text);
    fixture.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    rd_kafka_mock_cluster_t *mock = rd_kafka_handle_mock_cluster(fixture.producer);
    fixture.cluster.brokers = rd_kafka_mock_cluster_bootstraps(mock);
    rd_kafka_mock_topic_create(mock, "read", PARTITIONS, 1);
    rd_kafka_mock_topic_create(mock, "followed", PARTITIONS, 1);
    rd_kafka_mock_topic_create(mock, "sent", 1, 1);
    for (int i = 0; i < PARTITIONS; i++)
        produce("read", i, RECORDS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rd_kafka_destroy(fixture.producer);
    return 0;
}

static struct topic_reader *open_reader(const char *topic, bool follow)
{
    const struct topic_reader_options options = {
        .cluster = &fixture.cluster, .topic = topic, .follow = follow, .quiet = true};
    struct topic_reader *reader;
    struct error err;
    int partitions;
    assert_int_equal(topic_reader_open(&reader, &options, &err), STATUS_OK);
    assert_int_equal(topic_reader_connect(reader, TIMEOUT_MS, &partitions, &err), STATUS_OK);
    assert_int_equal(partitions, strcmp(topic, "sent") == 0 ? 1 : PARTITIONS);
    return reader;
}

// What a taker saw: how many records of each partition, and the first and the last offset.
struct seen {
    int counts[PARTITIONS], total, enough;
    int64_t first[PARTITIONS], last[PARTITIONS];
};

static bool see(void *context, const struct topic_record *record)
{
    struct seen *seen = context;
    int partition = record->partition;
    if (seen->counts[partition]++ == 0)
        seen->first[partition] = record->offset;
    else
        assert_int_equal(record->offset, seen->last[partition] + 1);
    seen->last[partition] = record->offset;
    return ++seen->total != seen->enough;
}

static void read_ranges(struct topic_reader *reader, const struct topic_range *ranges, struct seen *seen)
{
    const struct topic_taker taker = {see, seen};
    struct error err = {""};
    assert_int_equal(topic_reader_start(reader, ranges, &err), STATUS_OK);
    if (topic_reader_read(reader, &taker, TIMEOUT_MS, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    topic_reader_stop(reader);
}

static void test_ranges(void **state)
{
    (void)state;
    const struct topic_range ranges[PARTITIONS] = {
        {RD_KAFKA_OFFSET_BEGINNING, INT64_MAX}, {3, 7}, {RD_KAFKA_OFFSET_END, INT64_MAX}};
    const struct topic_range last[PARTITIONS] = {{4, 4}, {RD_KAFKA_OFFSET_BEGINNING, 1}, {9, 1000}};
    struct topic_reader *reader = open_reader("read", false);
    struct seen seen = {0};
    read_ranges(reader, ranges, &seen);
    assert_int_equal(seen.counts[0], RECORDS);
    assert_int_equal(seen.counts[1], 4);
    assert_int_equal(seen.first[1], 3);
    assert_int_equal(seen.last[1], 6);
    assert_int_equal(seen.counts[2], 0);
    seen = (struct seen){0};
    read_ranges(reader, last, &seen); // a reader can start again
    assert_int_equal(seen.counts[0], 0);
    assert_int_equal(seen.counts[1], 1);
    assert_int_equal(seen.counts[2], 1);
    assert_int_equal(seen.first[2], 9);
    topic_reader_close(reader);
}

static void test_enough(void **state)
{
    (void)state;
    const struct topic_range all[PARTITIONS] = {{0, INT64_MAX}, {0, INT64_MAX}, {0, INT64_MAX}};
    struct topic_reader *reader = open_reader("read", false);
    struct seen seen = {.enough = 5};
    read_ranges(reader, all, &seen);
    assert_int_equal(seen.total, 5);
    topic_reader_close(reader);
}

static void follow(struct topic_reader *reader, struct seen *seen, int total)
{
    const struct topic_taker taker = {see, seen};
    int64_t deadline_ms = clock_monotonic_ms() + TIMEOUT_MS;
    while (seen->total < total && clock_monotonic_ms() < deadline_ms)
        topic_reader_take(reader, &taker);
    assert_int_equal(seen->total, total);
}

static void test_following_goes_on_behind_the_end(void **state)
{
    (void)state;
    struct topic_range ranges[PARTITIONS];
    struct error err;
    struct seen seen = {0};
    produce("followed", 1, 4);
    struct topic_reader *reader = open_reader("followed", true);
    assert_int_equal(topic_reader_find_ends(reader, TIMEOUT_MS, ranges, &err), STATUS_OK);
    assert_int_equal(topic_reader_start(reader, ranges, &err), STATUS_OK);
    produce("followed", 1, 2);
    follow(reader, &seen, 2);
    assert_int_equal(seen.first[1], 4);
    produce("followed", 0, 3);
    follow(reader, &seen, 5);
    topic_reader_close(reader);
}

static void note_delivery(void *context, void *item, const struct delivery *delivery)
{
    (void)context;
    assert_int_equal(delivery->error, RD_KAFKA_RESP_ERR_NO_ERROR);
    *(int64_t *)item = delivery->offset;
}

static bool check_sent(void *context, const struct topic_record *record)
{
    const void *value;
    size_t size;
    int *count = context;
    if ((*count)++ == 0) {
        assert_null(record->key.data);
        assert_int_equal(record->value.size, 5);
        assert_memory_equal(record->value.data, "bytes", 5);
        assert_non_null(record->headers);
        assert_int_equal(rd_kafka_header_get_last(record->headers, "why", &value, &size),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
        assert_int_equal(size, 4);
        assert_memory_equal(value, "test", 4);
        return true;
    }
    assert_int_equal(record->key.size, 3);
    assert_null(record->value.data);
    return true;
}

static void test_what_is_sent_is_read(void **state)
{
    (void)state;
    const struct record_sender_options options = {.cluster = &fixture.cluster,
                                                  .delivery_timeout_ms = TIMEOUT_MS,
                                                  .quiet = true,
                                                  .delivered = note_delivery};
    const struct record_header why = {"why", "test"};
    const struct outgoing_record first = {
        .topic = "sent", .value = {(const uint8_t *)"bytes", 5}, .headers = &why, .header_count = 1};
    const struct outgoing_record second = {.topic = "sent", .key = {(const uint8_t *)"key", 3}};
    const struct topic_range all = {0, INT64_MAX};
    int64_t offsets[2] = {-1, -1}, deadline_ms = clock_monotonic_ms() + TIMEOUT_MS;
    struct record_sender sender = {0};
    struct error err;
    int count = 0;
    record_sender_close(&sender); // one that was never open
    assert_int_equal(record_sender_open(&sender, &options, &err), STATUS_OK);
    assert_int_equal(record_sender_warm_up(&sender, "sent", TIMEOUT_MS, &err), STATUS_OK);
    assert_int_equal(record_sender_send(&sender, &first, &offsets[0], &err), STATUS_OK);
    assert_int_equal(record_sender_send(&sender, &second, &offsets[1], &err), STATUS_OK);
    while (record_sender_waiting(&sender) > 0 && clock_monotonic_ms() < deadline_ms)
        record_sender_poll(&sender, 50);
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[1], 1);
    record_sender_close(&sender);
    struct topic_reader *reader = open_reader("sent", false);
    assert_int_equal(topic_reader_start(reader, &all, &err), STATUS_OK);
    const struct topic_taker taker = {check_sent, &count};
    assert_int_equal(topic_reader_read(reader, &taker, TIMEOUT_MS, &err), STATUS_OK);
    assert_int_equal(count, 2);
    topic_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_enough),
        cmocka_unit_test(test_following_goes_on_behind_the_end),
        cmocka_unit_test(test_what_is_sent_is_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
