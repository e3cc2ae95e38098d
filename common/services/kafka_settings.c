// kafka_settings.c: one DescribeConfigs request, its reply copied into the caller's table.
#include "common/services/kafka_settings.h"

#include <stdio.h>
#include <string.h>

static void copy_values(struct kafka_resource *resource, const rd_kafka_ConfigResource_t *described)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(described, &count);
    for (size_t i = 0; i < resource->count; i++) {
        struct kafka_known_setting *setting = &resource->settings[i];
        setting->value[0] = '\0';
        for (size_t k = 0; k < count; k++) {
            const char *value = rd_kafka_ConfigEntry_value(entries[k]);
            if (value && strcmp(rd_kafka_ConfigEntry_name(entries[k]), setting->name) == 0)
                snprintf(setting->value, sizeof setting->value, "%s", value);
        }
    }
}

static enum status take_reply(rd_kafka_event_t *event, struct kafka_resource *resource, struct error *err)
{
    if (!event)
        return error_set(err, STATUS_RETRY, "no Kafka broker says what the settings of %s are",
                         resource->name);
    if (rd_kafka_event_error(event))
        return error_set(err, STATUS_RETRY, "settings of %s: %s", resource->name,
                         rd_kafka_event_error_string(event));
    size_t count;
    const rd_kafka_ConfigResource_t **described =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(described[0]))
        return error_set(err, STATUS_REJECTED, "settings of %s: %s", resource->name,
                         count == 1 ? rd_kafka_ConfigResource_error_string(described[0]) : "no reply");
    copy_values(resource, described[0]);
    return STATUS_OK;
}

enum status kafka_settings_read(rd_kafka_t *client, struct kafka_resource *resource, int64_t timeout_ms,
                                struct error *err)
{
    char text[256];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *admin = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *asked = rd_kafka_ConfigResource_new(resource->type, resource->name);
    rd_kafka_AdminOptions_set_request_timeout(admin, (int)timeout_ms, text, sizeof text);
    rd_kafka_DescribeConfigs(client, &asked, 1, admin, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)timeout_ms + 1000);
    enum status status = take_reply(event, resource, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(asked);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_queue_destroy(queue);
    return status;
}
