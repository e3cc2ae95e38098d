// reader.c: librdkafka's simple consumer, started at each place anew, with a queue of one message.
//
// The client asks for records while its queue is shorter than queued.min.messages. What lies there first
// after a start is a barrier (RD_KAFKA_OP_BARRIER, librdkafka 1.9 to 2.15), which only
// taking removes. So the queue's limit is the barrier and a message, and nothing is taken before both are
// there. With a limit of 1 the client asked for nothing until the barrier was gone, and noticed that only a
// second later.
//
// Taking the message makes room, and before the stop is done the client might ask for the next batch, which
// may be one that kills: it did in 3 to 9 reads of 100. So the queue is kept full of something else
// meanwhile.
#include "worker/group/reader.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/shutdown.h"

enum { POLL_MS = 1, BARRIER_AND_MESSAGE = 2 };

struct reader {
    rd_kafka_t *consumer;
    rd_kafka_topic_t *topics[TOPIC_COUNT]; // kept: without one its leaders would be asked for each time
    rd_kafka_queue_t *queue;               // of the partition that is read; NULL: none is
    struct reader_place place;
};

enum status reader_open(struct reader **reader, struct worker *worker,
                        const struct kafka_callbacks *callbacks, struct error *err)
{
    const struct kafka_setting settings[] = {
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"check.crcs", "true"},
        {"debug", "topic"}, // kafka_signs: refused_fetches
        {"fetch.wait.max.ms", "10"},
        {"fetch.message.max.bytes", "1"}, // brokers give one whole batch all the same
        {"queued.min.messages", "2"},     // BARRIER_AND_MESSAGE
        {"allow.auto.create.topics", "false"},
        {"enable.partition.eof", "true"},
    };
    const struct kafka_client_options options = {.type = RD_KAFKA_CONSUMER,
                                                 .settings = settings,
                                                 .setting_count = sizeof settings / sizeof *settings,
                                                 .callbacks = callbacks};
    rd_kafka_t *consumer;
    enum status status = kafka_client_open(&consumer, config_kafka(worker->config), &options, err);
    if (status != STATUS_OK)
        return status;
    struct reader *made = memory_alloc(sizeof *made);
    made->consumer = consumer;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        made->topics[topic] =
            rd_kafka_topic_new(consumer, job_topic_name(worker, (enum job_topic)topic), NULL);
    *reader = made;
    return STATUS_OK;
}

// What is left in the queue came with the record, in its batch, or is ours; asking for it frees it.
static void stop(struct reader *reader)
{
    rd_kafka_consume_stop(reader->topics[reader->place.topic], reader->place.partition);
    for (rd_kafka_event_t *event; (event = rd_kafka_queue_poll(reader->queue, 0));)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(reader->queue);
    reader->queue = NULL;
}

void reader_close(struct reader *reader)
{
    if (!reader)
        return;
    if (reader->queue)
        stop(reader);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        rd_kafka_topic_destroy(reader->topics[topic]);
    kafka_consumer_end(reader->consumer);
    free(reader);
}

enum status reader_begin(struct reader *reader, const struct reader_place *place, struct error *err)
{
    rd_kafka_topic_t *topic = reader->topics[place->topic];
    assert(!reader->queue);
    if (rd_kafka_consume_start(topic, place->partition, place->offset) != 0)
        return error_set(err, STATUS_REJECTED, "'%s' partition %d can't be read: %s",
                         rd_kafka_topic_name(topic), place->partition,
                         rd_kafka_err2str(rd_kafka_last_error()));
    reader->place = *place;
    reader->queue =
        rd_kafka_queue_get_partition(reader->consumer, rd_kafka_topic_name(topic), place->partition);
    return STATUS_OK;
}

// Behind the barrier and the message: the results of calls that are refused at once, with no broker asked.
static void keep_full(struct reader *reader)
{
    for (int i = 0; i < BARRIER_AND_MESSAGE; i++)
        rd_kafka_DeleteConsumerGroupOffsets(reader->consumer, NULL, 0, NULL, reader->queue);
}

rd_kafka_message_t *reader_poll(struct reader *reader)
{
    if (!reader->queue || rd_kafka_queue_length(reader->queue) < BARRIER_AND_MESSAGE)
        return NULL;
    keep_full(reader);
    rd_kafka_message_t *message =
        rd_kafka_consume(reader->topics[reader->place.topic], reader->place.partition, 0);
    stop(reader);
    return message;
}

rd_kafka_message_t *reader_wait(struct reader *reader, int64_t timeout_ms)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    rd_kafka_message_t *message;
    while (!(message = reader_poll(reader)) && clock_monotonic_ms() < until_ms && !shutdown_requested())
        clock_sleep_ms(POLL_MS);
    return message;
}

bool reader_means_damaged(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__BAD_MSG || code == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ||
           code == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED; // of a codec or a format
}
