// answers.c: the reader of the predictions topic. librdkafka's consumer with explicit partitions and offsets:
// no group is joined, so no group has to be allowed, created or forgotten, and nothing is waited for.
#include "producer/answers.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/kafka.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/shutdown.h"
#include "producer/sender.h"

enum { PARTITIONS_LIMIT = 100000, RETRY_MS = 50 };

struct answers {
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue; // all partitions end here
    int started;             // partitions 0..started - 1 are being read
};

enum status answers_open(struct answers **answers, const struct config *config, struct error *err)
{
    const struct kafka_setting settings[] = {
        {"isolation.level", "read_committed"},
        {"fetch.min.bytes", "1"},
        {"fetch.wait.max.ms", "10"}, // a transaction's end does not always wake a waiting fetch
        {"fetch.error.backoff.ms", "50"},
        {"check.crcs", "true"},
        {"queued.max.messages.kbytes", "16384"}, // bounds what waits in memory
        {"auto.offset.reset", "earliest"},       // an answer is never skipped, whatever happens to the topic
        {"log_level", sender_library_log_level(config)},
    };
    struct kafka_client_options options = {
        .type = RD_KAFKA_CONSUMER,
        .settings = settings,
        .setting_count = sizeof settings / sizeof settings[0],
    };
    struct answers *made = memory_alloc(sizeof *made);
    enum status status = kafka_client_open(&made->client, config_kafka(config), &options, err);
    if (status != STATUS_OK)
        goto done;
    const char *name = config_text(config, "predictions_topic");
    made->topic = rd_kafka_topic_new(made->client, name, NULL);
    if (!made->topic) {
        status =
            error_set(err, STATUS_REJECTED, "topic '%s': %s", name, rd_kafka_err2str(rd_kafka_last_error()));
        goto done;
    }
    made->queue = rd_kafka_queue_new(made->client);
    *answers = made;
    made = NULL;
done:
    answers_close(made);
    return status;
}

static enum status count_partitions(struct answers *answers, int64_t timeout_ms, int *count,
                                    struct error *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(answers->client, 0, answers->topic, &metadata, (int)timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[0];
        code = metadata->topic_cnt == 1 ? topic->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        *count = code == RD_KAFKA_RESP_ERR_NO_ERROR ? topic->partition_cnt : 0;
        rd_kafka_metadata_destroy(metadata);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR || *count <= 0 || *count > PARTITIONS_LIMIT)
        return error_set(err, STATUS_RETRY, "the partitions of topic '%s' can't be read: %s",
                         rd_kafka_topic_name(answers->topic), rd_kafka_err2str(code));
    return STATUS_OK;
}

// A broker shows a topic that was made a moment ago before it serves its partitions.
static bool is_being_made(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
           code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static enum status find_end(struct answers *answers, int partition, int64_t deadline_ms, int64_t *end,
                            struct error *err)
{
    const char *name = rd_kafka_topic_name(answers->topic);
    int64_t first, left_ms;
    rd_kafka_resp_err_t code;
    do {
        left_ms = deadline_ms - clock_monotonic_ms();
        code = rd_kafka_query_watermark_offsets(answers->client, name, partition, &first, end,
                                                left_ms > 1 ? (int)left_ms : 1);
    } while (is_being_made(code) && left_ms > 0 && !shutdown_wait_ms(RETRY_MS));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, STATUS_RETRY, "the end of topic '%s', partition %d, can't be read: %s", name,
                     partition, rd_kafka_err2str(code));
}

static enum status start_partition(struct answers *answers, int partition, int64_t offset, struct error *err)
{
    if (rd_kafka_consume_start_queue(answers->topic, partition, offset, answers->queue) != 0)
        return error_set(err, STATUS_FATAL, "topic '%s', partition %d, can't be read: %s",
                         rd_kafka_topic_name(answers->topic), partition,
                         rd_kafka_err2str(rd_kafka_last_error()));
    answers->started = partition + 1;
    return STATUS_OK;
}

// All ends first, then all starts: a broker answers the requests of a connection in turn, and once a fetch
// waits there for records, the question for the next end waits behind it.
enum status answers_start(struct answers *answers, int64_t timeout_ms, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    int count = 0;
    enum status status = count_partitions(answers, timeout_ms, &count, err);
    if (status != STATUS_OK)
        return status;
    int64_t *ends = memory_alloc((size_t)count * sizeof *ends);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = find_end(answers, i, deadline_ms, &ends[i], err);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = start_partition(answers, i, ends[i], err);
    free(ends);
    return status;
}

void answers_wake(struct answers *answers, int fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(answers->queue, fd, &one, sizeof one);
}

void answers_take(struct answers *answers, void (*take)(void *context, struct bytes key, struct bytes value),
                  void *context)
{
    rd_kafka_poll(answers->client, 0);
    rd_kafka_message_t *message;
    while ((message = rd_kafka_consume_queue(answers->queue, 0))) {
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take(context, (struct bytes){message->key, message->key_len},
                 (struct bytes){message->payload, message->len});
        else // librdkafka goes on by itself; the caller's time-out decides
            LOG_INFO("answers_trouble", "partition=%d reason=\"%s\"", message->partition,
                     rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
}

void answers_close(struct answers *answers)
{
    if (!answers)
        return;
    for (int i = 0; i < answers->started; i++)
        rd_kafka_consume_stop(answers->topic, i);
    if (answers->queue)
        rd_kafka_queue_destroy(answers->queue);
    if (answers->topic)
        rd_kafka_topic_destroy(answers->topic);
    if (answers->client)
        rd_kafka_destroy(answers->client);
    free(answers);
}
