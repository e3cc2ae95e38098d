// reader.c: librdkafka's simple consumer, with a queue of one message.
#include "worker/group/reader.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"

enum { POLL_MS = 1, ASK_TIMEOUT_MS = 2000 };

struct reader {
    rd_kafka_t *consumer;
    rd_kafka_topic_t *topic;
    int32_t partition;
    rd_kafka_message_t *message;
};

enum status reader_open(struct reader **reader, const struct config *config,
                        const struct kafka_callbacks *callbacks, const struct reader_place *place,
                        struct error *err)
{
    const struct kafka_setting settings[] = {
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"check.crcs", "true"},
        {"debug", "topic"}, // kafka_signs: refused_fetches
        {"fetch.wait.max.ms", "10"},
        {"fetch.message.max.bytes", "1"}, // brokers give one whole batch all the same
        {"queued.min.messages", "1"},     // and with one message there the client asks for no other
        {"allow.auto.create.topics", "false"},
        {"enable.partition.eof", "true"},
    };
    struct reader *made = memory_alloc(sizeof *made);
    const struct kafka_client_options options = {.type = RD_KAFKA_CONSUMER,
                                                 .settings = settings,
                                                 .setting_count = sizeof settings / sizeof *settings,
                                                 .callbacks = callbacks};
    enum status status = kafka_client_open(&made->consumer, config_kafka(config), &options, err);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    made->partition = place->partition;
    made->topic = rd_kafka_topic_new(made->consumer, place->topic, NULL);
    *reader = made;
    if (rd_kafka_consume_start(made->topic, place->partition, place->offset) == 0)
        return STATUS_OK;
    status = error_set(err, STATUS_REJECTED, "'%s' partition %d can't be read: %s", place->topic,
                       place->partition, rd_kafka_err2str(rd_kafka_last_error()));
    reader_close(made);
    return status;
}

// While a message lies in the queue the client asks for no more. The broker's thread may not have seen it
// there yet; once it has brought the answer to another question it has.
static void wait_until_seen(struct reader *reader)
{
    int64_t low, high;
    rd_kafka_query_watermark_offsets(reader->consumer, rd_kafka_topic_name(reader->topic), reader->partition,
                                     &low, &high, ASK_TIMEOUT_MS);
}

const rd_kafka_message_t *reader_wait(struct reader *reader, int64_t timeout_ms)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    rd_kafka_queue_t *queue =
        rd_kafka_queue_get_partition(reader->consumer, rd_kafka_topic_name(reader->topic), reader->partition);
    while (!reader->message && clock_monotonic_ms() < until_ms && !shutdown_requested()) {
        if (rd_kafka_queue_length(queue) == 0) {
            clock_sleep_ms(POLL_MS);
            continue;
        }
        wait_until_seen(reader);
        reader->message =
            rd_kafka_consume(reader->topic, reader->partition, 0); // NULL: an event of the client
    }
    rd_kafka_queue_destroy(queue);
    return reader->message;
}

void reader_close(struct reader *reader)
{
    if (reader->message)
        rd_kafka_message_destroy(reader->message);
    rd_kafka_consume_stop(reader->topic, reader->partition);
    rd_kafka_topic_destroy(reader->topic);
    kafka_consumer_end(reader->consumer);
    free(reader);
}
