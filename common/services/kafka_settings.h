// kafka_settings.h: the settings of a topic or a broker that are in force now, asked from the brokers.
#ifndef SKINSIGHT_COMMON_SERVICES_KAFKA_SETTINGS_H
#define SKINSIGHT_COMMON_SERVICES_KAFKA_SETTINGS_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

struct kafka_known_setting {
    const char *name;
    char value[64]; // cut to this; empty: the broker names none
};

struct kafka_resource {
    rd_kafka_ResourceType_t type; // RD_KAFKA_RESOURCE_TOPIC or _BROKER
    const char *name;             // the topic's, or the broker's number
    struct kafka_known_setting *settings;
    size_t count;
};

// Fills in the value of each setting that resource->settings names. RETRY: no broker answers within
// timeout_ms. REJECTED: there is no such resource, or this client may not see its settings.
enum status kafka_settings_read(rd_kafka_t *client, struct kafka_resource *resource, int64_t timeout_ms,
                                struct error *err) MUST_CHECK;

#endif
