// reader.c: librdkafka's simple consumer, started at each place anew, with a queue of one message.
//
// The client asks for records while its queue is shorter than queued.min.messages. What lies there first
// after a start is a barrier (RD_KAFKA_OP_BARRIER, librdkafka 1.9 to 2.15), which only
// taking removes. So the queue's limit is the barrier and a message, and nothing is taken before both are
// there. With a limit of 1 the client asked for nothing until the barrier was gone, and noticed that only a
// second later.
//
// Taking the message makes room, and before the stop is done the client might ask for the next batch, which
// may be one that kills: it did in 3 to 9 reads of 100. So fillers lie behind the message when it is taken:
// results of calls that are refused at once, with no broker asked. Everything is taken as an event:
// rd_kafka_consume aborts the process where it meets anything but a message.
//
// A marker of a transaction counts as a message, and taking passes over it. A filler comes instead, and the
// reading begins anew behind the marker.
#include "worker/group/reader.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"

enum { POLL_MS = 1, BARRIER_AND_MESSAGE = 2, FILLERS = BARRIER_AND_MESSAGE };

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

static bool start(struct reader *reader, const struct reader_place *place)
{
    rd_kafka_topic_t *topic = reader->topics[place->topic];
    assert(!reader->queue);
    if (rd_kafka_consume_start(topic, place->partition, place->offset) != 0)
        return false;
    reader->place = *place;
    reader->queue =
        rd_kafka_queue_get_partition(reader->consumer, rd_kafka_topic_name(topic), place->partition);
    return true;
}

enum status reader_begin(struct reader *reader, const struct reader_place *place, struct error *err)
{
    if (!start(reader, place))
        return error_set(err, STATUS_REJECTED, "'%s' partition %d can't be read: %s",
                         rd_kafka_topic_name(reader->topics[place->topic]), place->partition,
                         rd_kafka_err2str(rd_kafka_last_error()));
    return STATUS_OK;
}

// NULL: what counted was a marker.
static rd_kafka_event_t *take(struct reader *reader)
{
    for (int i = 0; i < FILLERS; i++)
        rd_kafka_DeleteConsumerGroupOffsets(reader->consumer, NULL, 0, NULL, reader->queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(reader->queue, 0);
    if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_DELETECONSUMERGROUPOFFSETS_RESULT)
        return event;
    rd_kafka_event_destroy(event);
    return NULL;
}

static void start_behind_marker(struct reader *reader)
{
    struct reader_place place = reader->place;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *where = rd_kafka_topic_partition_list_add(
        list, rd_kafka_topic_name(reader->topics[place.topic]), place.partition);
    if (rd_kafka_position(reader->consumer, list) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        where->offset > place.offset)
        place.offset = where->offset;
    rd_kafka_topic_partition_list_destroy(list);
    stop(reader);
    if (!start(reader, &place))
        LOG_WARN("read_failed", "reason=\"%s\"", rd_kafka_err2str(rd_kafka_last_error()));
}

static void fill_in(struct reader_answer *answer, rd_kafka_event_t *event)
{
    *answer = (struct reader_answer){.record = rd_kafka_event_message_next(event), .event = event};
    if (answer->record) {
        answer->code = answer->record->err;
        answer->offset = answer->record->offset;
        return;
    }
    rd_kafka_topic_partition_t *where = rd_kafka_event_topic_partition(event);
    answer->code = rd_kafka_event_error(event);
    answer->offset = where ? where->offset : RD_KAFKA_OFFSET_INVALID;
    if (where)
        rd_kafka_topic_partition_destroy(where);
}

bool reader_poll(struct reader *reader, struct reader_answer *answer)
{
    *answer = (struct reader_answer){0};
    if (!reader->queue || rd_kafka_queue_length(reader->queue) < BARRIER_AND_MESSAGE)
        return false;
    rd_kafka_event_t *event = take(reader);
    if (!event) {
        start_behind_marker(reader);
        return false;
    }
    fill_in(answer, event);
    stop(reader);
    return true;
}

bool reader_wait(struct reader *reader, int64_t timeout_ms, struct reader_answer *answer)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    bool came;
    while (!(came = reader_poll(reader, answer)) && clock_monotonic_ms() < until_ms && !shutdown_requested())
        clock_sleep_ms(POLL_MS);
    return came;
}

void reader_answer_release(struct reader_answer *answer)
{
    if (answer->event)
        rd_kafka_event_destroy(answer->event);
    *answer = (struct reader_answer){0};
}

bool reader_means_damaged(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__BAD_MSG || code == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ||
           code == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED; // of a codec or a format
}
