// record_sender.c: librdkafka's idempotent producer. Callbacks run inside record_sender_poll, on the caller's
// thread.
#include "common/services/record_sender.h"

#include <stdio.h>

enum { CLOSE_TIMEOUT_MS = 1000 };

static void on_delivery(void *context, const rd_kafka_message_t *message)
{
    const struct record_sender *sender = context;
    struct delivery delivery = {message->err, message->partition, message->offset};
    sender->options.delivered(sender->options.context, message->_private, &delivery);
}

enum status record_sender_open(struct record_sender *sender, const struct record_sender_options *options,
                               struct error *err)
{
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%lld", (long long)options->delivery_timeout_ms);
    const struct kafka_setting settings[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        KAFKA_ONE_IN_FLIGHT,
        {"linger.ms", "0"},
        {"message.timeout.ms", timeout},
        {"queue.buffering.max.kbytes", "32768"}, // bounds what waits in memory
    };
    const struct kafka_client_options client_options = {
        .type = RD_KAFKA_PRODUCER,
        .settings = settings,
        .setting_count = sizeof settings / sizeof *settings,
        .callbacks = &sender->callbacks,
        .quiet = options->quiet,
    };
    sender->options = *options;
    sender->callbacks = (struct kafka_callbacks){.delivered = on_delivery, .context = sender};
    return kafka_client_open(&sender->client, options->cluster, &client_options, err);
}

enum status record_sender_warm_up(struct record_sender *sender, const char *topic, int64_t timeout_ms,
                                  struct error *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(sender->client, topic, NULL);
    rd_kafka_resp_err_t code = handle
                                   ? rd_kafka_metadata(sender->client, 0, handle, &metadata, (int)timeout_ms)
                                   : rd_kafka_last_error();
    if (handle)
        rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "the broker does not say where topic '%s' is: %s", topic,
                         rd_kafka_err2str(code));
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

enum status record_sender_send(struct record_sender *sender, const struct outgoing_record *record, void *item,
                               struct error *err)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
    for (size_t i = 0; i < record->header_count; i++)
        rd_kafka_header_add(headers, record->headers[i].name, -1, record->headers[i].value, -1);
    void *value = (void *)(uintptr_t)record->value.data; // copied, not changed
    const void *key = record->key.data;
    rd_kafka_resp_err_t code = rd_kafka_producev(
        sender->client, RD_KAFKA_V_TOPIC(record->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(key, record->key.size), RD_KAFKA_V_VALUE(value, record->value.size),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(item), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK; // the headers are the record's now
    rd_kafka_headers_destroy(headers);
    return error_set(err, code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? STATUS_RETRY : STATUS_REJECTED, "%s",
                     rd_kafka_err2str(code));
}

bool record_sender_is_dead(const struct record_sender *sender, char *reason, size_t size)
{
    return rd_kafka_fatal_error(sender->client, reason, size) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

int record_sender_waiting(const struct record_sender *sender)
{
    return rd_kafka_outq_len(sender->client);
}

void record_sender_poll(struct record_sender *sender, int64_t timeout_ms)
{
    rd_kafka_poll(sender->client, (int)timeout_ms);
}

void record_sender_wake(struct record_sender *sender, int fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(sender->client);
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof one);
    rd_kafka_queue_destroy(queue);
}

void record_sender_close(struct record_sender *sender)
{
    if (!sender->client)
        return;
    rd_kafka_purge(sender->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(sender->client, CLOSE_TIMEOUT_MS);
    rd_kafka_destroy(sender->client);
    sender->client = NULL;
}
