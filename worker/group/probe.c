// probe.c: assigns one partition at one offset, and takes the first thing that comes.
#include "worker/group/probe.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/kafka.h"

enum { GIVE_UP_MS = 5000 };

struct probe {
    rd_kafka_t *consumer;
    int64_t offset;
    int64_t until_ms;
};

enum status probe_open(struct probe **probe, const struct config *config, struct error *err)
{
    const struct kafka_setting settings[] = {
        {"group.id", config_text(config, "group")}, // never joined
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"check.crcs", "true"},
        {"fetch.wait.max.ms", "100"},
        {"queued.max.messages.kbytes", "1024"},
        {"allow.auto.create.topics", "false"},
        {"enable.partition.eof", "true"},
    };
    struct kafka_client_options options = {
        .type = RD_KAFKA_CONSUMER, .settings = settings, .setting_count = sizeof settings / sizeof *settings};
    rd_kafka_t *consumer;
    enum status status = kafka_client_open(&consumer, config_kafka(config), &options, err);
    if (status != STATUS_OK)
        return status;
    rd_kafka_poll_set_consumer(consumer);
    *probe = memory_alloc(sizeof **probe);
    (*probe)->consumer = consumer;
    return STATUS_OK;
}

void probe_close(struct probe *probe)
{
    if (!probe)
        return;
    kafka_consumer_end(probe->consumer);
    free(probe);
}

void probe_begin(struct probe *probe, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_assign(probe->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    probe->offset = offset;
    probe->until_ms = clock_monotonic_ms() + GIVE_UP_MS;
}

void probe_cancel(struct probe *probe)
{
    rd_kafka_assign(probe->consumer, NULL);
}

bool probe_means_damaged(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__BAD_MSG || code == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ||
           code == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED; // of a codec or a format
}

// librdkafka also tells of offsets that it made of damaged bytes and that are refused, where that belongs to
// an earlier look too; then nothing may come of this one.
static enum probe_result result_of(const struct probe *probe, const rd_kafka_message_t *message)
{
    if (probe_means_damaged(message->err))
        return PROBE_DAMAGED;
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && message->offset == probe->offset)
        return PROBE_READABLE;
    return message->err == RD_KAFKA_RESP_ERR_NO_ERROR || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF
               ? PROBE_READABLE
               : PROBE_FAILED;
}

enum probe_result probe_poll(struct probe *probe, int64_t *base)
{
    enum probe_result result = PROBE_WAITING;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(probe->consumer, 0);
    if (message) {
        result = result_of(probe, message);
        *base = message->offset;
        rd_kafka_message_destroy(message);
    } else if (clock_monotonic_ms() >= probe->until_ms) {
        result = PROBE_FAILED;
    }
    if (result != PROBE_WAITING)
        probe_cancel(probe);
    return result;
}
