// sender.c: librdkafka's idempotent producer as submit needs it. Callbacks run inside sender_poll, on the
// caller's thread.
#include "producer/sender.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

enum { CLOSE_TIMEOUT_MS = 1000 };

// The wish for silence of a program whose user reads one sentence instead of a log.
const char *sender_library_log_level(const struct config *config)
{
    return config_choice(config, "log_level") <= LOG_LEVEL_INFO ? "6" : "2";
}

static void on_delivery(void *context, const rd_kafka_message_t *message)
{
    struct sender *sender = context;
    struct delivery delivery = {message->err, message->partition, message->offset};
    sender->delivered(sender->context, message->_private, &delivery);
}

enum status sender_open(struct sender *sender, const struct config *config, const char *topic,
                        int64_t delivery_timeout_ms, struct error *err)
{
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%lld", (long long)delivery_timeout_ms);
    const struct kafka_setting settings[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        KAFKA_ONE_IN_FLIGHT,
        {"linger.ms", "0"},
        {"message.timeout.ms", timeout},
        {"queue.buffering.max.kbytes", "32768"}, // bounds what waits in memory
        {"log_level", sender_library_log_level(config)},
    };
    struct kafka_client_options options = {
        .type = RD_KAFKA_PRODUCER,
        .settings = settings,
        .setting_count = sizeof settings / sizeof settings[0],
        .callbacks = &sender->callbacks,
    };
    sender->callbacks = (struct kafka_callbacks){.delivered = on_delivery, .context = sender};
    enum status status = kafka_client_open(&sender->client, config_kafka(config), &options, err);
    if (status != STATUS_OK)
        return status;
    sender->topic = rd_kafka_topic_new(sender->client, topic, NULL);
    if (sender->topic)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "topic '%s': %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
}

enum status sender_warm_up(struct sender *sender, int64_t timeout_ms, struct error *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(sender->client, 0, sender->topic, &metadata, (int)timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "the broker does not say where topic '%s' is: %s",
                         rd_kafka_topic_name(sender->topic), rd_kafka_err2str(code));
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

enum status sender_send(struct sender *sender, const char *key, struct bytes value, void *item,
                        struct error *err)
{
    void *payload = (void *)(uintptr_t)value.data; // copied, not changed
    if (rd_kafka_produce(sender->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, value.size, key,
                         strlen(key), item) == 0)
        return STATUS_OK;
    rd_kafka_resp_err_t code = rd_kafka_last_error();
    enum status status = code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? STATUS_RETRY : STATUS_REJECTED;
    return error_set(err, status, "%s", rd_kafka_err2str(code));
}

void sender_poll(struct sender *sender, int64_t timeout_ms)
{
    rd_kafka_poll(sender->client, (int)timeout_ms);
}

void sender_wake(struct sender *sender, int fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(sender->client);
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof one);
    rd_kafka_queue_destroy(queue);
}

void sender_close(struct sender *sender)
{
    if (sender->topic)
        rd_kafka_topic_destroy(sender->topic);
    if (sender->client) {
        rd_kafka_purge(sender->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(sender->client, CLOSE_TIMEOUT_MS);
        rd_kafka_destroy(sender->client);
    }
    sender->topic = NULL;
    sender->client = NULL;
}
