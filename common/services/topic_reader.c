// topic_reader.c: librdkafka's simple consumer, with one queue for all partitions. The end of a partition is
// told by librdkafka itself, since transaction markers take offsets that no record has.
#include "common/services/topic_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"

enum { PARTITIONS_LIMIT = 100000, RETRY_MS = 50, POLL_MS = 100 };

struct place {
    int64_t end;
    bool started;
    bool open; // started, and its end not reached
};

struct topic_reader {
    const struct kafka_cluster *cluster;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    int partitions;
    // between start and stop
    rd_kafka_queue_t *queue; // all partitions end here
    struct place *places;
    int open_count;
};

enum status topic_reader_open(struct topic_reader **reader, const struct topic_reader_options *options,
                              struct error *err)
{
    const struct kafka_setting settings[] = {
        {"isolation.level", "read_committed"},
        {"enable.partition.eof", options->follow ? "false" : "true"},
        {"fetch.wait.max.ms", "10"}, // a transaction's end does not always wake a waiting fetch
        {"fetch.error.backoff.ms", "50"},
        {"check.crcs", "true"},
        {"queued.max.messages.kbytes", "16384"}, // bounds what waits in memory
        {"auto.offset.reset", "earliest"},       // what is older than the topic's retention is gone
    };
    const struct kafka_client_options client_options = {.type = RD_KAFKA_CONSUMER,
                                                        .settings = settings,
                                                        .setting_count = sizeof settings / sizeof *settings,
                                                        .quiet = options->quiet};
    struct topic_reader *made = memory_alloc(sizeof *made);
    made->cluster = options->cluster;
    enum status status = kafka_client_open(&made->client, options->cluster, &client_options, err);
    if (status == STATUS_OK) {
        made->topic = rd_kafka_topic_new(made->client, options->topic, NULL);
        if (!made->topic)
            status = error_set(err, STATUS_REJECTED, "topic '%s': %s", options->topic,
                               rd_kafka_err2str(rd_kafka_last_error()));
    }
    if (status != STATUS_OK) {
        topic_reader_close(made);
        made = NULL;
    }
    *reader = made;
    return status;
}

void topic_reader_close(struct topic_reader *reader)
{
    if (!reader)
        return;
    topic_reader_stop(reader);
    if (reader->topic)
        rd_kafka_topic_destroy(reader->topic);
    if (reader->client)
        rd_kafka_destroy(reader->client);
    free(reader);
}

enum status topic_reader_count(struct topic_reader *reader, int64_t timeout_ms, int *partitions,
                               struct error *err)
{
    struct kafka_topic topic = {.name = rd_kafka_topic_name(reader->topic)};
    enum status status = kafka_ping(reader->client, reader->cluster->brokers, timeout_ms, err);
    if (status == STATUS_OK)
        status = kafka_topics_require(reader->client, &topic, 1, timeout_ms, err);
    if (status != STATUS_OK)
        return status;
    if (topic.partitions <= 0 || topic.partitions > PARTITIONS_LIMIT)
        return error_set(err, STATUS_REJECTED, "topic '%s' has %d partitions; from 1 to %d can be read",
                         topic.name, topic.partitions, PARTITIONS_LIMIT);
    *partitions = topic.partitions;
    return STATUS_OK;
}

enum status topic_reader_connect(struct topic_reader *reader, int64_t timeout_ms, int *partitions,
                                 struct error *err)
{
    assert(!reader->queue); // its places are as many as there were partitions
    enum status status = topic_reader_count(reader, timeout_ms, partitions, err);
    if (status == STATUS_OK)
        reader->partitions = *partitions;
    return status;
}

// A broker shows a topic that was made a moment ago before it serves its partitions.
static bool is_being_made(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
           code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static enum status find_bounds(struct topic_reader *reader, int partition, int64_t deadline_ms,
                               struct topic_range *range, struct error *err)
{
    const char *name = rd_kafka_topic_name(reader->topic);
    int64_t left_ms;
    rd_kafka_resp_err_t code;
    do {
        left_ms = deadline_ms - clock_monotonic_ms();
        code = rd_kafka_query_watermark_offsets(reader->client, name, partition, &range->first, &range->end,
                                                left_ms > 1 ? (int)left_ms : 1);
    } while (is_being_made(code) && left_ms > 0 && !shutdown_wait_ms(RETRY_MS));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, STATUS_RETRY, "the end of topic '%s', partition %d, can't be read: %s", name,
                     partition, rd_kafka_err2str(code));
}

// All bounds, and only then a start: a broker answers the requests of a connection in turn, and once a fetch
// waits there for records, the question for the next bounds waits behind it.
enum status topic_reader_find_bounds(struct topic_reader *reader, int64_t timeout_ms,
                                     struct topic_range *ranges, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    enum status status = STATUS_OK;
    for (int i = 0; i < reader->partitions && status == STATUS_OK; i++)
        status = find_bounds(reader, i, deadline_ms, &ranges[i], err);
    return status;
}

enum status topic_reader_find_ends(struct topic_reader *reader, int64_t timeout_ms,
                                   struct topic_range *ranges, struct error *err)
{
    enum status status = topic_reader_find_bounds(reader, timeout_ms, ranges, err);
    for (int i = 0; i < reader->partitions; i++)
        ranges[i] = (struct topic_range){ranges[i].end, INT64_MAX};
    return status;
}

enum status topic_reader_find_time(struct topic_reader *reader, int64_t since, int64_t timeout_ms,
                                   struct topic_range *ranges, struct error *err)
{
    const char *name = rd_kafka_topic_name(reader->topic);
    for (int i = 0; i < reader->partitions; i++)
        ranges[i] = (struct topic_range){RD_KAFKA_OFFSET_BEGINNING, INT64_MAX};
    if (since < 0)
        return STATUS_OK;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(reader->partitions);
    for (int i = 0; i < reader->partitions; i++)
        rd_kafka_topic_partition_list_add(list, name, i)->offset = since;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(reader->client, list, (int)timeout_ms);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        code = list->elems[i].err;
        ranges[list->elems[i].partition].first = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, STATUS_RETRY, "the broker does not say where topic '%s' was at that time: %s", name,
                     rd_kafka_err2str(code));
}

enum status topic_reader_start(struct topic_reader *reader, const struct topic_range *ranges,
                               struct error *err)
{
    reader->queue = rd_kafka_queue_new(reader->client);
    reader->places = memory_alloc((size_t)reader->partitions * sizeof *reader->places);
    reader->open_count = 0;
    for (int i = 0; i < reader->partitions; i++) {
        struct place *place = &reader->places[i];
        place->end = ranges[i].end;
        if (ranges[i].first == RD_KAFKA_OFFSET_END || ranges[i].first >= ranges[i].end)
            continue;
        if (rd_kafka_consume_start_queue(reader->topic, i, ranges[i].first, reader->queue) != 0)
            return error_set(err, STATUS_FATAL, "topic '%s', partition %d, can't be read: %s",
                             rd_kafka_topic_name(reader->topic), i, rd_kafka_err2str(rd_kafka_last_error()));
        place->started = place->open = true;
        reader->open_count++;
    }
    return STATUS_OK;
}

void topic_reader_stop(struct topic_reader *reader)
{
    if (!reader->queue)
        return;
    for (int i = 0; i < reader->partitions; i++)
        if (reader->places[i].started)
            rd_kafka_consume_stop(reader->topic, i);
    rd_kafka_queue_destroy(reader->queue);
    free(reader->places);
    reader->queue = NULL;
    reader->places = NULL;
}

void topic_reader_wake(struct topic_reader *reader, int fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(reader->queue, fd, &one, sizeof one);
}

static void close_place(struct topic_reader *reader, struct place *place)
{
    reader->open_count -= place->open;
    place->open = false;
}

// False when the taker has had enough.
static bool take_record(struct topic_reader *reader, const rd_kafka_message_t *message,
                        const struct topic_taker *taker)
{
    struct place *place = &reader->places[message->partition];
    if (message->offset >= place->end)
        close_place(reader, place);
    if (!place->open)
        return true; // it lies behind the end
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        headers = NULL;
    struct topic_record record = {.partition = message->partition,
                                  .offset = message->offset,
                                  .timestamp = rd_kafka_message_timestamp(message, NULL),
                                  .headers = headers,
                                  .key = {message->key, message->key_len},
                                  .value = {message->payload, message->len}};
    return taker->take(taker->context, &record);
}

// False when the taker has had enough. *heard: it tells that the broker gives records.
static bool take_message(struct topic_reader *reader, const rd_kafka_message_t *message,
                         const struct topic_taker *taker, bool *heard)
{
    *heard = true;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return take_record(reader, message, taker);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        close_place(reader, &reader->places[message->partition]);
        return true;
    }
    *heard = false; // librdkafka goes on by itself; a time-out decides
    LOG_INFO("reader_trouble", "topic=%s partition=%d reason=\"%s\"", rd_kafka_topic_name(reader->topic),
             message->partition, rd_kafka_message_errstr(message));
    return true;
}

void topic_reader_take(struct topic_reader *reader, const struct topic_taker *taker)
{
    rd_kafka_message_t *message;
    bool more = true, heard;
    rd_kafka_poll(reader->client, 0);
    while (more && (message = rd_kafka_consume_queue(reader->queue, 0))) {
        more = take_message(reader, message, taker, &heard);
        rd_kafka_message_destroy(message);
    }
}

enum status topic_reader_read(struct topic_reader *reader, const struct topic_taker *taker,
                              int64_t timeout_ms, struct error *err)
{
    int64_t heard_ms = clock_monotonic_ms();
    while (reader->open_count > 0) {
        if (shutdown_requested())
            return error_set(err, STATUS_FATAL, "interrupted");
        rd_kafka_poll(reader->client, 0);
        rd_kafka_message_t *message = rd_kafka_consume_queue(reader->queue, POLL_MS);
        if (!message) {
            if (clock_monotonic_ms() - heard_ms >= timeout_ms)
                return error_set(err, STATUS_RETRY, "nothing came from the broker for %" PRId64 " ms",
                                 timeout_ms);
            continue;
        }
        bool heard, more = take_message(reader, message, taker, &heard);
        rd_kafka_message_destroy(message);
        if (!more)
            return STATUS_OK;
        if (heard)
            heard_ms = clock_monotonic_ms();
    }
    return STATUS_OK;
}
