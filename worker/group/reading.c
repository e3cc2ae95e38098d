// reading.c: the table, filled from librdkafka's statistics.
#include "worker/group/reading.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "worker/worker.h"

enum {
    REFUSED_OFFSET = -1, // both ends in the reply to a fetch that was refused; -1001 until the first reply
    ASK_MS = 1000,
    ASK_AGAIN_MS = 5000,
    STATISTICS_LIMIT = 32 << 20, // bytes, and values
    LABELS_SIZE = 96
};

static const char *const cause_names[] = {
    [READING_REFUSED] = "refused", [READING_TRANSACTION_OPEN] = "transaction_open"};
static const char *const blocked_names[] = {
    [BLOCKED_PLACE_UNKNOWN] = "place_unknown", [BLOCKED_UNREADABLE] = "unreadable"};
static const char *const priorities[] = {[TOPIC_ROUTINE] = "routine", [TOPIC_URGENT] = "urgent"};

void reading_init(struct reading *reading)
{
    memset(reading, 0, sizeof *reading);
    pthread_mutex_init(&reading->lock, NULL);
}

void reading_release(struct reading *reading)
{
    free(reading->partitions);
    pthread_mutex_destroy(&reading->lock);
}

// ---- what librdkafka tells -------------------------------------------------------------------------------

static int64_t offset_in(const cJSON *statistics, const char *name)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(statistics, name);
    return cJSON_IsNumber(number) && number->valuedouble >= 0 ? (int64_t)number->valuedouble : -1;
}

static bool is_refused(const cJSON *statistics)
{
    const cJSON *high = cJSON_GetObjectItemCaseSensitive(statistics, "hi_offset");
    return offset_in(statistics, "leader") < 0 ||
           (cJSON_IsNumber(high) && high->valuedouble == REFUSED_OFFSET);
}

// Everything that can be read was fetched, and the log goes on behind it.
static bool is_held_up(const struct reading_partition *now, const cJSON *statistics)
{
    return now->stable >= 0 && now->stable < now->high && offset_in(statistics, "next_offset") >= now->stable;
}

static struct reading_partition look_at(const struct reading_partition *before, const cJSON *statistics)
{
    struct reading_partition now = {.position = offset_in(statistics, "app_offset"),
                                    .high = offset_in(statistics, "hi_offset"),
                                    .stable = offset_in(statistics, "ls_offset")};
    if (now.position < 0)
        now.position = offset_in(statistics, "next_offset");
    if (is_refused(statistics))
        now.cause = READING_REFUSED;
    else if (is_held_up(&now, statistics))
        now.cause = READING_TRANSACTION_OPEN;
    bool lasts = before && before->cause == now.cause &&
                 (now.cause != READING_TRANSACTION_OPEN || before->stable == now.stable);
    now.since_ms = lasts ? before->since_ms : clock_monotonic_ms();
    now.told = lasts && before->told;
    return now;
}

static const struct reading_partition *find(const struct reading *reading, enum job_topic topic,
                                            int32_t partition)
{
    for (int i = 0; i < reading->count; i++)
        if (reading->partitions[i].topic == topic && reading->partitions[i].partition == partition)
            return &reading->partitions[i];
    return NULL;
}

static bool lasts_too_long(const struct worker *worker, const struct reading_partition *partition)
{
    return partition->cause != READING_GOES_ON &&
           clock_monotonic_ms() - partition->since_ms > config_integer(worker->config, "session_timeout_ms");
}

// Caller holds the lock.
static void explain(const struct worker *worker, const struct reading_partition *partition, char *text,
                    size_t size)
{
    const char *topic = job_topic_name(worker, partition->topic);
    struct error said = worker->reading.topics[partition->topic].reason;
    if (partition->cause == READING_REFUSED && !*said.message &&
        !kafka_error_lately(said.message, sizeof said.message))
        snprintf(said.message, sizeof said.message, "it has no leader, or its leader refuses it");
    if (partition->cause == READING_REFUSED)
        snprintf(text, size, "%s partition %d can't be read: %s", topic, partition->partition, said.message);
    else
        snprintf(text, size,
                 "%s partition %d: a transaction that began at offset %" PRId64
                 " is open: nothing from there to %" PRId64 " can be read until it ends",
                 topic, partition->partition, partition->stable, partition->high);
}

static void tell(const struct worker *worker, struct reading_partition *partition)
{
    char reason[sizeof(struct error)];
    if (partition->told || !lasts_too_long(worker, partition))
        return;
    partition->told = true;
    explain(worker, partition, reason, sizeof reason);
    LOG_WARN("partition_waits", "topic=%s partition=%d reason=\"%s\"",
             job_topic_name(worker, partition->topic), partition->partition, reason);
}

static void tell_of_the_end(const struct worker *worker, const struct reading_partition *before)
{
    if (before && before->told)
        LOG_WARN("partition_goes_on", "topic=%s partition=%d", job_topic_name(worker, before->topic),
                 before->partition);
}

// Caller holds the lock. next has room for all.
static int take_topic(struct worker *worker, enum job_topic topic, const cJSON *statistics,
                      struct reading_partition *next, int count)
{
    struct reading *reading = &worker->reading;
    const cJSON *of_topic = cJSON_GetObjectItemCaseSensitive(statistics, job_topic_name(worker, topic));
    const cJSON *entry;
    bool refused = reading->topics[topic].missing;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(of_topic, "partitions"))
    {
        int64_t number = offset_in(entry, "partition");
        if (number < 0 || !assignment_holds(&worker->assignment, topic, (int32_t)number))
            continue;
        const struct reading_partition *before = find(reading, topic, (int32_t)number);
        struct reading_partition *now = &next[count++];
        *now = look_at(before, entry);
        now->topic = topic;
        now->partition = (int32_t)number;
        refused |= now->cause == READING_REFUSED;
        if (now->cause == READING_GOES_ON)
            tell_of_the_end(worker, before);
        tell(worker, now);
        reading->topics[topic].missing = false;
    }
    if (!refused) // what was said is over
        *reading->topics[topic].reason.message = '\0';
    return count;
}

static void take(struct worker *worker, const cJSON *statistics)
{
    struct reading *reading = &worker->reading;
    struct reading_partition *next =
        memory_alloc((size_t)assignment_count(&worker->assignment) * sizeof *next + 1);
    const cJSON *topics = cJSON_GetObjectItemCaseSensitive(statistics, "topics");
    int count = 0;
    pthread_mutex_lock(&reading->lock);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        count = take_topic(worker, (enum job_topic)topic, topics, next, count);
    free(reading->partitions);
    reading->partitions = next;
    reading->count = count;
    pthread_mutex_unlock(&reading->lock);
}

void reading_take_statistics(void *worker, struct bytes json)
{
    const struct json_limits limits = {STATISTICS_LIMIT, STATISTICS_LIMIT, 16};
    cJSON *statistics;
    struct error err;
    if (json_parse(json, &limits, &statistics, &err) == STATUS_OK) {
        take(worker, statistics);
        cJSON_Delete(statistics);
    } else {
        LOG_WARN("statistics_unreadable", "reason=\"%s\"", err.message);
    }
}

void reading_note_error(struct worker *worker, const rd_kafka_message_t *message)
{
    if (!message->rkt)
        return;
    struct reading_topic *topic =
        &worker->reading.topics[job_topic_of(worker, rd_kafka_topic_name(message->rkt))];
    pthread_mutex_lock(&worker->reading.lock);
    snprintf(topic->reason.message, sizeof topic->reason.message, "%s", rd_kafka_message_errstr(message));
    topic->missing |= message->partition == RD_KAFKA_PARTITION_UA;
    topic->asked_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&worker->reading.lock);
}

static bool is_time_to_ask(struct reading *reading, int topic)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&reading->lock);
    struct reading_topic *asked = &reading->topics[topic];
    bool due = asked->missing && now_ms - asked->asked_ms > ASK_AGAIN_MS;
    if (due)
        asked->asked_ms = now_ms;
    pthread_mutex_unlock(&reading->lock);
    return due;
}

void reading_look_for_topics(struct worker *worker)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        struct kafka_topic asked = {.name = job_topic_name(worker, (enum job_topic)topic)};
        struct error ignored;
        if (!is_time_to_ask(&worker->reading, topic) ||
            kafka_topics_describe(worker->consumer, &asked, 1, ASK_MS, &ignored) != STATUS_OK ||
            asked.partitions < 0)
            continue;
        pthread_mutex_lock(&worker->reading.lock);
        worker->reading.topics[topic].missing = false;
        pthread_mutex_unlock(&worker->reading.lock);
        LOG_WARN("topic_is_back", "topic=%s partitions=%d", asked.name, asked.partitions);
    }
}

// ---- what is said of it ----------------------------------------------------------------------------------

// Caller holds the lock. Of the partitions that librdkafka reads, or would; the first sentence found is put
// into reason.
static int count_held_up(const struct worker *worker, char *reason, size_t size)
{
    int count = 0;
    for (int i = 0; i < worker->reading.count; i++) {
        const struct reading_partition *partition = &worker->reading.partitions[i];
        if (lasts_too_long(worker, partition) && count++ == 0)
            explain(worker, partition, reason, size);
    }
    return count;
}

static bool misses_a_topic(const struct worker *worker, char *reason, size_t size)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if (!worker->reading.topics[topic].missing)
            continue;
        snprintf(reason, size, "topic '%s' can't be read: %s", job_topic_name(worker, (enum job_topic)topic),
                 worker->reading.topics[topic].reason.message);
        return true;
    }
    return false;
}

enum reading_state reading_say(struct worker *worker, char *reason, size_t size)
{
    struct blocked_partition blocked;
    int served = assignment_count(&worker->assignment);
    *reason = '\0';
    pthread_mutex_lock(&worker->reading.lock);
    int held_up = count_held_up(worker, reason, size);
    bool bad = held_up > 0 || misses_a_topic(worker, reason, size);
    pthread_mutex_unlock(&worker->reading.lock);
    served -= held_up;
    for (int i = 0; blocked_at(&worker->blocked, i, &blocked); i++) {
        if (assignment_holds(&worker->assignment, blocked.topic, blocked.partition))
            served--;
        snprintf(reason, size, "%s", blocked.reason.message);
        bad = true;
    }
    return !bad ? ALL_READ : served > 0 ? SOME_NOT_READ : NOTHING_READ;
}

static void label(char labels[LABELS_SIZE], enum job_topic topic, int32_t partition, const char *cause)
{
    int length =
        snprintf(labels, LABELS_SIZE, "priority=\"%s\",partition=\"%d\"", priorities[topic], partition);
    if (cause)
        snprintf(labels + length, LABELS_SIZE - (size_t)length, ",cause=\"%s\"", cause);
}

static void sample_blocked(struct worker *worker, struct metrics_writer *writer)
{
    char labels[LABELS_SIZE];
    struct blocked_partition blocked;
    for (int i = 0; blocked_at(&worker->blocked, i, &blocked); i++) {
        label(labels, blocked.topic, blocked.partition, blocked_names[blocked.cause]);
        metrics_sample(writer, METRIC_PARTITION_BLOCKED, labels, 1);
    }
    pthread_mutex_lock(&worker->reading.lock);
    for (int i = 0; i < worker->reading.count; i++) {
        const struct reading_partition *partition = &worker->reading.partitions[i];
        label(labels, partition->topic, partition->partition, cause_names[partition->cause]);
        if (lasts_too_long(worker, partition))
            metrics_sample(writer, METRIC_PARTITION_BLOCKED, labels, 1);
    }
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        snprintf(labels, sizeof labels, "priority=\"%s\",partition=\"all\",cause=\"refused\"",
                 priorities[topic]);
        if (worker->reading.topics[topic].missing)
            metrics_sample(writer, METRIC_PARTITION_BLOCKED, labels, 1);
    }
    pthread_mutex_unlock(&worker->reading.lock);
}

static void sample_committed(struct worker *worker, struct metrics_writer *writer)
{
    char labels[LABELS_SIZE];
    struct assigned held;
    for (int i = 0; assignment_at(&worker->assignment, i, &held); i++) {
        label(labels, held.topic, held.partition, NULL);
        metrics_sample(writer, METRIC_PARTITION_COMMITTED, labels, (double)held.offsets.first);
    }
}

static void sample_offsets(struct worker *worker, unsigned metric, struct metrics_writer *writer)
{
    char labels[LABELS_SIZE];
    pthread_mutex_lock(&worker->reading.lock);
    for (int i = 0; i < worker->reading.count; i++) {
        const struct reading_partition *partition = &worker->reading.partitions[i];
        int64_t offset = metric == METRIC_PARTITION_POSITION ? partition->position
                         : metric == METRIC_PARTITION_HIGH   ? partition->high
                                                             : partition->stable;
        label(labels, partition->topic, partition->partition, NULL);
        if (offset >= 0)
            metrics_sample(writer, metric, labels, (double)offset);
    }
    pthread_mutex_unlock(&worker->reading.lock);
}

static void sample(void *context, unsigned metric, struct metrics_writer *writer)
{
    if (metric == METRIC_PARTITION_BLOCKED)
        sample_blocked(context, writer);
    else if (metric == METRIC_PARTITION_COMMITTED)
        sample_committed(context, writer);
    else
        sample_offsets(context, metric, writer);
}

void reading_publish_metrics(struct worker *worker)
{
    metrics_set_sampler(sample, worker);
}
