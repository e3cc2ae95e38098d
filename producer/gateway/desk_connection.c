// desk_connection.c: the desk's connection to Kafka: made, asked whether it is still there, and made anew.
//
// librdkafka waits for absent brokers in silence, so they are asked every other second. A new connection
// reads the predictions from when the oldest request that is waited for was accepted, so that nothing is
// missed.
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "producer/gateway/desk_internal.h"
#include "producer/gateway/metrics_rows.h"

enum {
    CONNECT_MS = 1000,
    CONNECT_AGAIN_MS = 1000,
    FIND_MS = 2000,
    PROBE_EVERY_MS = 2000,
    PROBE_MS = 500,   // the desk does nothing else meanwhile
    DEAF_MS = 7000,   // three questions without an answer: no new requests
    CLOCKS_MS = 60000 // by which brokers' clocks may be off
};

// ---- the connection ----

static void note_verdict(void *context, void *item, const struct delivery *delivery)
{
    struct outgoing *outgoing = item;
    outgoing->delivered(context, outgoing, delivery);
}

static enum status open_sender(struct desk *desk, struct error *err)
{
    const struct record_sender_options options = {.cluster = config_kafka(desk->gateway->options.config),
                                                  .delivery_timeout_ms = DESK_DELIVERY_MS,
                                                  .delivered = note_verdict,
                                                  .context = desk};
    return desk->sender.client ? STATUS_OK : record_sender_open(&desk->sender, &options, err);
}

static enum status connect_both(struct desk *desk, struct error *err)
{
    const struct config *config = desk->gateway->options.config;
    int partitions = 0;
    topic_reader_stop(desk->reader);
    enum status status = open_sender(desk, err);
    if (status == STATUS_OK)
        status = topic_reader_connect(desk->reader, CONNECT_MS, &partitions, err);
    if (status == STATUS_OK)
        status = record_sender_warm_up(&desk->sender, config_text(config, "jobs_topic"), CONNECT_MS, err);
    if (status == STATUS_OK)
        status =
            record_sender_warm_up(&desk->sender, config_text(config, "urgent_jobs_topic"), CONNECT_MS, err);
    if (status != STATUS_OK)
        return status;
    record_sender_wake(&desk->sender, desk->wake_fd);
    free(desk->ranges);
    desk->ranges = memory_alloc((size_t)partitions * sizeof *desk->ranges);
    desk->partitions = partitions;
    return STATUS_OK;
}

static void note_oldest(void *context, struct waiting *entry)
{
    int64_t *oldest = context;
    if (entry->row.accepted_at < *oldest)
        *oldest = entry->row.accepted_at;
}

// A partition without a record since then is read from its end, which is looked for first: what is written in
// between lies behind it.
static enum status find_oldest(struct desk *desk, struct error *err)
{
    size_t size = (size_t)desk->partitions * sizeof *desk->ranges;
    struct topic_range *ends = memory_alloc(size);
    int64_t oldest = INT64_MAX;
    waiting_each(&desk->table, note_oldest, &oldest);
    enum status status = topic_reader_find_ends(desk->reader, FIND_MS, ends, err);
    memcpy(desk->ranges, ends, size);
    if (status == STATUS_OK && oldest < INT64_MAX) {
        int64_t since = oldest > CLOCKS_MS ? oldest - CLOCKS_MS : 0;
        status = topic_reader_find_time(desk->reader, since, FIND_MS, desk->ranges, err);
    }
    for (int i = 0; i < desk->partitions; i++)
        if (desk->ranges[i].first == RD_KAFKA_OFFSET_END)
            desk->ranges[i] = ends[i];
    free(ends);
    return status;
}

static enum status follow(struct desk *desk, struct error *err)
{
    topic_reader_stop(desk->reader);
    enum status status = find_oldest(desk, err);
    if (status == STATUS_OK)
        status = topic_reader_start(desk->reader, desk->ranges, err);
    if (status != STATUS_OK)
        return status;
    topic_reader_wake(desk->reader, desk->wake_fd);
    desk->following = true;
    desk->followed_at = desk->attentive_at = clock_wall_ms();
    desk->heard_ms = clock_monotonic_ms();
    desk->next_probe_ms = desk->heard_ms + PROBE_EVERY_MS;
    return STATUS_OK;
}

void desk_follow_anew(struct desk *desk)
{
    desk->following = false;
    desk->next_connect_ms = 0;
}

static void connect_anew(struct desk *desk)
{
    desk->partitions = 0;
    desk_follow_anew(desk);
}

static void connect_if_due(struct desk *desk)
{
    struct error err;
    if (desk->following || clock_monotonic_ms() < desk->next_connect_ms)
        return;
    enum status status = desk->partitions ? STATUS_OK : connect_both(desk, &err);
    if (status == STATUS_OK)
        status = follow(desk, &err);
    if (status == STATUS_OK)
        return;
    metrics_add(GATEWAY_TROUBLE, SERVICE_KAFKA, 1);
    LOG_WARN("kafka_away", "reason=\"%s\"", err.message);
    desk->next_connect_ms = clock_monotonic_ms() + CONNECT_AGAIN_MS;
}

// ---- whether it is still there ----

// After an error that librdkafka can't mend, an idempotent producer sends nothing for the rest of its life.
// What it had is told as undelivered.
static void bury_dead_sender(struct desk *desk)
{
    char reason[256];
    if (!desk->sender.client || !record_sender_is_dead(&desk->sender, reason, sizeof reason))
        return;
    metrics_add(GATEWAY_TROUBLE, SERVICE_KAFKA, 1);
    LOG_ERROR("sender_dead", "reason=\"%s\"", reason);
    record_sender_close(&desk->sender);
    connect_anew(desk);
}

static bool hears_all_partitions(struct desk *desk)
{
    struct error err;
    struct topic_range *ends = memory_alloc((size_t)desk->partitions * sizeof *ends);
    bool all = topic_reader_find_ends(desk->reader, PROBE_MS, ends, &err) == STATUS_OK;
    free(ends);
    return all;
}

// An attempt that is late is given up only where its answer would have been heard.
static void probe(struct desk *desk)
{
    struct error err;
    int partitions = 0;
    desk->next_probe_ms = clock_monotonic_ms() + PROBE_EVERY_MS;
    enum status status = topic_reader_count(desk->reader, PROBE_MS, &partitions, &err);
    if (status == STATUS_OK)
        desk->heard_ms = clock_monotonic_ms();
    if (status != STATUS_OK || (desk->late && !hears_all_partitions(desk)))
        desk->attentive_at = clock_wall_ms();
    if (status == STATUS_OK && partitions != desk->partitions) {
        LOG_INFO("partitions_changed", "before=%d now=%d", desk->partitions, partitions);
        connect_anew(desk);
    }
}

static void note_connected(struct desk *desk)
{
    int64_t silent_ms = clock_monotonic_ms() - desk->heard_ms;
    bool connected = desk->following && silent_ms < DEAF_MS;
    bool before = atomic_exchange(&desk->gateway->connected, connected);
    if (before && !connected && desk->following)
        LOG_WARN("kafka_away", "reason=\"no broker has answered for %lld ms\"", (long long)silent_ms);
}

void desk_stay_connected(struct desk *desk)
{
    bury_dead_sender(desk);
    connect_if_due(desk);
    if (desk->following && clock_monotonic_ms() >= desk->next_probe_ms)
        probe(desk);
    note_connected(desk);
}
