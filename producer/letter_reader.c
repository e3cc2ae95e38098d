// letter_reader.c: librdkafka's consumer with explicit partitions and offsets, as in answers.c: no group has
// to be allowed, created or forgotten. The end of a partition is told by librdkafka itself, since transaction
// markers take offsets that no record has.
#include "producer/letter_reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/kafka.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/shutdown.h"
#include "producer/sender.h"

enum { PARTITIONS_LIMIT = 100000, POLL_MS = 100 };

struct letter_reader {
    const struct config *config;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    int partitions;
};

enum status letter_reader_open(struct letter_reader **reader, const struct config *config, struct error *err)
{
    const struct kafka_setting settings[] = {
        {"isolation.level", "read_committed"},
        {"enable.partition.eof", "true"},
        {"fetch.wait.max.ms", "10"},
        {"fetch.error.backoff.ms", "50"},
        {"check.crcs", "true"},
        {"queued.max.messages.kbytes", "16384"}, // bounds what waits in memory
        {"auto.offset.reset", "earliest"},       // what is older than the topic's retention is gone
        {"log_level", sender_library_log_level(config)},
    };
    struct kafka_client_options options = {
        .type = RD_KAFKA_CONSUMER,
        .settings = settings,
        .setting_count = sizeof settings / sizeof settings[0],
    };
    const char *name = config_text(config, "dead_letters_topic");
    struct letter_reader *made = memory_alloc(sizeof *made);
    made->config = config;
    enum status status = kafka_client_open(&made->client, config_kafka(config), &options, err);
    if (status == STATUS_OK) {
        made->topic = rd_kafka_topic_new(made->client, name, NULL);
        if (!made->topic)
            status = error_set(err, STATUS_REJECTED, "topic '%s': %s", name,
                               rd_kafka_err2str(rd_kafka_last_error()));
    }
    if (status != STATUS_OK) {
        letter_reader_close(made);
        made = NULL;
    }
    *reader = made;
    return status;
}

void letter_reader_close(struct letter_reader *reader)
{
    if (!reader)
        return;
    if (reader->topic)
        rd_kafka_topic_destroy(reader->topic);
    if (reader->client)
        rd_kafka_destroy(reader->client);
    free(reader);
}

enum status letter_reader_connect(struct letter_reader *reader, int64_t timeout_ms, int *partitions,
                                  struct error *err)
{
    struct kafka_topic topic = {.name = rd_kafka_topic_name(reader->topic)};
    enum status status = kafka_ping(reader->client, config_text(reader->config, "brokers"), timeout_ms, err);
    if (status == STATUS_OK)
        status = kafka_topics_describe(reader->client, &topic, 1, timeout_ms, err);
    if (status != STATUS_OK)
        return status;
    if (topic.partitions <= 0 || topic.partitions > PARTITIONS_LIMIT)
        return error_set(err, STATUS_REJECTED,
                         "topic '%s' does not exist; 'skinsight-producer topics --create' makes it",
                         topic.name);
    *partitions = reader->partitions = topic.partitions;
    return STATUS_OK;
}

enum status letter_reader_find(struct letter_reader *reader, int64_t since, int64_t timeout_ms,
                               int64_t *offsets, struct error *err)
{
    const char *name = rd_kafka_topic_name(reader->topic);
    for (int i = 0; i < reader->partitions; i++)
        offsets[i] = RD_KAFKA_OFFSET_BEGINNING;
    if (since < 0)
        return STATUS_OK;
    // A letter's record is stamped after the moment in its header, so none of since lies before this.
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(reader->partitions);
    for (int i = 0; i < reader->partitions; i++)
        rd_kafka_topic_partition_list_add(list, name, i)->offset = since;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(reader->client, list, (int)timeout_ms);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        code = list->elems[i].err;
        offsets[list->elems[i].partition] = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, STATUS_RETRY, "the broker does not say where the letters of that time are: %s",
                     rd_kafka_err2str(code));
}

// One scan: which partitions are still open.
struct scanning {
    struct letter_reader *reader;
    const struct letter_scan *scan;
    rd_kafka_queue_t *queue; // all partitions end here
    bool *open;              // being read, and its end not reached
    int open_count;
};

static enum status start_partitions(struct scanning *scanning, struct error *err)
{
    for (int i = 0; i < scanning->reader->partitions; i++) {
        int64_t offset = scanning->scan->offsets[i];
        if (offset == RD_KAFKA_OFFSET_END)
            continue;
        if (rd_kafka_consume_start_queue(scanning->reader->topic, i, offset, scanning->queue) != 0)
            return error_set(err, STATUS_FATAL, "topic '%s', partition %d, can't be read: %s",
                             rd_kafka_topic_name(scanning->reader->topic), i,
                             rd_kafka_err2str(rd_kafka_last_error()));
        scanning->open[i] = true;
        scanning->open_count++;
    }
    return STATUS_OK;
}

// False when the taker has had enough.
static bool take_message(struct scanning *scanning, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        scanning->open_count -= scanning->open[message->partition];
        scanning->open[message->partition] = false;
        return true;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) { // librdkafka goes on by itself; the time-out decides
        LOG_INFO("letters_trouble", "partition=%d reason=\"%s\"", message->partition,
                 rd_kafka_message_errstr(message));
        return true;
    }
    if (!scanning->open[message->partition])
        return true; // came after the end was reached
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        headers = NULL;
    struct letter_record record = {.partition = message->partition,
                                   .offset = message->offset,
                                   .timestamp = rd_kafka_message_timestamp(message, NULL),
                                   .headers = headers,
                                   .key = {message->key, message->key_len},
                                   .value = {message->payload, message->len}};
    return scanning->scan->take(scanning->scan->context, &record);
}

static enum status read_to_the_end(struct scanning *scanning, struct error *err)
{
    int64_t heard_ms = clock_monotonic_ms();
    while (scanning->open_count > 0) {
        if (shutdown_requested())
            return error_set(err, STATUS_FATAL, "interrupted");
        rd_kafka_poll(scanning->reader->client, 0);
        rd_kafka_message_t *message = rd_kafka_consume_queue(scanning->queue, POLL_MS);
        if (!message) {
            if (clock_monotonic_ms() - heard_ms >= scanning->scan->timeout_ms)
                return error_set(err, STATUS_RETRY, "nothing came from the broker for %" PRId64 " ms",
                                 scanning->scan->timeout_ms);
            continue;
        }
        bool heard =
            message->err == RD_KAFKA_RESP_ERR_NO_ERROR || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        bool enough = !take_message(scanning, message);
        rd_kafka_message_destroy(message);
        if (heard)
            heard_ms = clock_monotonic_ms();
        if (enough)
            return STATUS_OK;
    }
    return STATUS_OK;
}

enum status letter_reader_scan(struct letter_reader *reader, const struct letter_scan *scan,
                               struct error *err)
{
    struct scanning scanning = {.reader = reader,
                                .scan = scan,
                                .queue = rd_kafka_queue_new(reader->client),
                                .open = memory_alloc((size_t)reader->partitions * sizeof(bool))};
    enum status status = start_partitions(&scanning, err);
    if (status == STATUS_OK)
        status = read_to_the_end(&scanning, err);
    for (int i = 0; i < reader->partitions; i++)
        if (scan->offsets[i] != RD_KAFKA_OFFSET_END)
            rd_kafka_consume_stop(reader->topic, i); // one that was never started is an error without harm
    rd_kafka_queue_destroy(scanning.queue);
    free(scanning.open);
    return status;
}
