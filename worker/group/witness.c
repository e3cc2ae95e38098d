// witness.c: digests of records, and a consumer that reads one record of each log.
#include "worker/group/witness.h"

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/log.h"
#include "worker/group/probe.h"

uint64_t witness_digest(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    const int64_t numbers[] = {rd_kafka_message_timestamp(message, &type), (int64_t)message->len};
    struct digest_stream *stream = digest_stream_new();
    digest_stream_add(stream, message->key, message->key_len);
    digest_stream_add(stream, numbers, sizeof numbers);
    struct digest digest = digest_stream_finish(stream);
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof first; i++)
        first = first << 8 | digest.value[i];
    return first ? first : 1;
}

static enum status open_reader(struct worker *worker, rd_kafka_t **reader, struct error *err)
{
    const struct kafka_setting settings[] = {
        {"group.id", config_text(worker->config, "group")}, // librdkafka wants a name to assign
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"check.crcs", "true"},
        {"allow.auto.create.topics", "false"},
        {"fetch.wait.max.ms", "10"},
        {"fetch.message.max.bytes", "1"}, // one batch
        {"queued.min.messages", "1"},
    };
    const struct kafka_client_options options = {
        .type = RD_KAFKA_CONSUMER, .settings = settings, .setting_count = sizeof settings / sizeof *settings};
    enum status status = kafka_client_open(reader, config_kafka(worker->config), &options, err);
    if (status == STATUS_OK)
        rd_kafka_poll_set_consumer(*reader);
    return status;
}

// The first record from witness->offset on. True: it answers the question.
static bool compare(struct witness *witness, const rd_kafka_message_t *message)
{
    if (witness->answer != WITNESS_UNKNOWN)
        return false;
    if (probe_means_damaged(message->err)) {
        witness->answer = WITNESS_DAMAGED;
        return true;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    rd_kafka_timestamp_type_t type;
    int64_t stamp_ms = rd_kafka_message_timestamp(message, &type);
    witness->time_ms = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? stamp_ms : 0;
    bool same = message->offset == witness->offset && witness_digest(message) == witness->digest;
    witness->answer = same ? WITNESS_SAME : WITNESS_OTHER;
    return true;
}

static bool hear(struct worker *worker, struct witness *witnesses, int count,
                 const rd_kafka_message_t *message)
{
    for (int i = 0; message->rkt && i < count; i++)
        if (witnesses[i].topic == job_topic_of(worker, rd_kafka_topic_name(message->rkt)) &&
            witnesses[i].partition == message->partition)
            return compare(&witnesses[i], message);
    return false;
}

static void read_all(struct worker *worker, rd_kafka_t *reader, struct witness *witnesses, int count,
                     int64_t until_ms)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, job_topic_name(worker, witnesses[i].topic),
                                          witnesses[i].partition)
            ->offset = witnesses[i].offset;
    int open = rd_kafka_assign(reader, list) == RD_KAFKA_RESP_ERR_NO_ERROR ? count : 0;
    rd_kafka_topic_partition_list_destroy(list);
    for (int64_t left_ms; open > 0 && (left_ms = until_ms - clock_monotonic_ms()) > 0;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, (int)left_ms);
        if (!message)
            continue;
        open -= hear(worker, witnesses, count, message);
        rd_kafka_message_destroy(message);
    }
}

void witness_ask(struct worker *worker, struct witness *witnesses, int count, int64_t timeout_ms)
{
    rd_kafka_t *reader;
    struct error err;
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    if (count == 0)
        return;
    if (open_reader(worker, &reader, &err) != STATUS_OK) {
        LOG_WARN("witness_not_read", "reason=\"%s\"", err.message);
        return;
    }
    read_all(worker, reader, witnesses, count, until_ms);
    kafka_consumer_end(reader);
}
