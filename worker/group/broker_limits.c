// broker_limits.c: settings of brokers and job topics, held against the window and against each other.
#include "worker/group/broker_limits.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/services/kafka_settings.h"
#include "worker/group/offsets.h"

enum { MINUTE_MS = 60 * 1000 };

enum status broker_limits_judge(const struct broker_limits *limits, int window, struct error *err)
{
    int needed = offsets_text_most(window);
    if (!*limits->metadata_bytes || strtoll(limits->metadata_bytes, NULL, 10) >= needed)
        return STATUS_OK;
    return error_set(
        err, STATUS_REJECTED,
        "offset.metadata.max.bytes is %s, but with window=%d commits need up to %d: raise it, or "
        "lower window",
        limits->metadata_bytes, window, needed);
}

bool broker_limits_forget(const struct broker_limits *limits, const char *topic, struct error *note)
{
    if (!*limits->retention_minutes || !*limits->jobs_retention_ms)
        return false;
    long long offsets_ms = strtoll(limits->retention_minutes, NULL, 10) * MINUTE_MS;
    long long jobs_ms = strtoll(limits->jobs_retention_ms, NULL, 10);
    if (jobs_ms >= 0 && jobs_ms <= offsets_ms)
        return false;
    (void)error_set(
        note, STATUS_OK,
        "offsets.retention.minutes=%s is shorter than retention.ms=%s of %s: where no worker runs "
        "for that long, its jobs are answered again",
        limits->retention_minutes, limits->jobs_retention_ms, topic);
    return true;
}

// The first failure to see a setting becomes the note; nobody else needs the others.
static void read_settings(rd_kafka_t *client, struct kafka_resource *resource, int64_t timeout_ms,
                          struct error *note)
{
    struct error err;
    if (kafka_settings_read(client, resource, timeout_ms, &err) != STATUS_OK && !note->message[0])
        *note = err;
}

static void copy_text(char target[24], const struct kafka_known_setting *setting)
{
    snprintf(target, 24, "%.23s", setting->value);
}

static enum status check_broker(rd_kafka_t *client, int32_t broker, int window, int64_t timeout_ms,
                                struct broker_limits *limits, struct error *note, struct error *err)
{
    char name[16];
    struct kafka_known_setting settings[] = {{.name = "offset.metadata.max.bytes"},
                                             {.name = "offsets.retention.minutes"}};
    struct kafka_resource resource = {RD_KAFKA_RESOURCE_BROKER, name, settings, 2};
    snprintf(name, sizeof name, "%" PRId32, broker);
    read_settings(client, &resource, timeout_ms, note);
    copy_text(limits->metadata_bytes, &settings[0]);
    copy_text(limits->retention_minutes, &settings[1]);
    enum status status = broker_limits_judge(limits, window, err);
    if (status != STATUS_OK)
        error_prefix(err, "Kafka broker %s", name);
    return status;
}

static void check_topic(rd_kafka_t *client, const char *topic, int64_t timeout_ms,
                        struct broker_limits *limits, struct error *note)
{
    struct kafka_known_setting setting = {.name = "retention.ms"};
    struct kafka_resource resource = {RD_KAFKA_RESOURCE_TOPIC, topic, &setting, 1};
    struct error forgotten;
    read_settings(client, &resource, timeout_ms, note);
    copy_text(limits->jobs_retention_ms, &setting);
    if (broker_limits_forget(limits, topic, &forgotten))
        *note = forgotten;
}

enum status broker_limits_check(rd_kafka_t *client, const struct config *config, int64_t timeout_ms,
                                struct error *note, struct error *err)
{
    static const char *const topics[] = {"jobs_topic", "urgent_jobs_topic"};
    const struct rd_kafka_metadata *cluster = NULL;
    enum status status = STATUS_OK;
    note->message[0] = '\0';
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, NULL, &cluster, (int)timeout_ms);
    if (code) {
        (void)error_set(note, STATUS_RETRY, "settings of the brokers: %s", rd_kafka_err2str(code));
        return STATUS_OK;
    }
    for (int i = 0; status == STATUS_OK && i < cluster->broker_cnt; i++) {
        struct broker_limits limits = {.metadata_bytes = ""};
        status = check_broker(client, cluster->brokers[i].id, (int)config_integer(config, "window"),
                              timeout_ms, &limits, note, err);
        for (int k = 0; status == STATUS_OK && i == 0 && k < 2; k++)
            check_topic(client, config_text(config, topics[k]), timeout_ms, &limits, note);
    }
    rd_kafka_metadata_destroy(cluster);
    return status;
}
