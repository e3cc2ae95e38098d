// topics.c: the six topics, each a row of one table: which option names it, what it is for, how it is kept.
// One thread. Existing topics are never changed.
#include "producer/topics.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json_write.h"
#include "common/base/shutdown.h"
#include "common/base/text.h"
#include "common/services/kafka.h"
#include "producer/report.h"

const struct option topics_flags[] = {
    {"create", OPTION_SWITCH, .help = "make the topics that are missing"},
    {"partitions", OPTION_INTEGER, .initial = "8", .min = 1, .max = 1000, .value = "N",
     .help = "partitions of a topic that is made; control always has one"},
    {"replication_factor", OPTION_INTEGER, .initial = "0", .max = 100, .value = "N",
     .help = "copies of each partition of a topic that is made; 0: as the brokers are set"},
    {"json", OPTION_SWITCH, .help = "print one line of JSON for each topic"},
    {"timeout_ms", OPTION_INTEGER, .initial = "15000", .min = 1, .max = 600 * 1000, .value = "MS",
     .help = "limit of the whole command"},
    {0},
};

#define SEVEN_DAYS_MS  "604800000"
#define THIRTY_DAYS_MS "2592000000"
#define NINETY_DAYS_MS "7776000000" // confirmed diagnoses come weeks later, and are matched with answers
#define FOR_EVER_MS    "-1"
#define LARGEST_RECORD "max.message.bytes", "10485760"
// The broker unpacks what comes in compressed, so a batch that no client could unpack gets no further.
#define UNPACKED    "compression.type", "uncompressed"
#define BROKER_TIME "message.timestamp.type", "LogAppendTime"

static const struct row {
    const char *option;
    const char *purpose;
    int partitions; // 0: as asked for
    const char *settings[10];
} rows[] = {
    {"jobs_topic", "routine jobs", 0, {LARGEST_RECORD, "retention.ms", SEVEN_DAYS_MS, UNPACKED, BROKER_TIME}},
    {"urgent_jobs_topic",
     "urgent jobs",
     0,
     {LARGEST_RECORD, "retention.ms", SEVEN_DAYS_MS, UNPACKED, BROKER_TIME}},
    {"predictions_topic", "answers", 0, {LARGEST_RECORD, "retention.ms", NINETY_DAYS_MS, BROKER_TIME}},
    {"dead_letters_topic", "jobs that failed", 0, {LARGEST_RECORD, "retention.ms", THIRTY_DAYS_MS}},
    {"feedback_topic", "confirmed labels", 0, {LARGEST_RECORD, "retention.ms", FOR_EVER_MS, BROKER_TIME}},
    {"control_topic", "model in service", 1, {LARGEST_RECORD, "cleanup.policy", "compact"}},
};

enum { ROWS = sizeof rows / sizeof rows[0], POLL_MS = 50 };

static void topics_from_rows(const struct config *config, struct kafka_topic topics[ROWS])
{
    for (int i = 0; i < ROWS; i++) {
        topics[i] = (struct kafka_topic){.name = config_text(config, rows[i].option), .partitions = -1};
        memcpy(topics[i].settings, rows[i].settings, sizeof rows[i].settings);
    }
}

static int count_missing(const struct kafka_topic topics[ROWS])
{
    int missing = 0;
    for (int i = 0; i < ROWS; i++)
        missing += topics[i].partitions < 0;
    return missing;
}

// Makes the missing ones, then waits until the broker shows them all: it answers before it has spread the
// word.
static enum status create_missing(rd_kafka_t *client, const struct config *config,
                                  struct kafka_topic topics[ROWS], int64_t deadline_ms, struct error *err)
{
    struct kafka_topic wanted[ROWS];
    size_t count = 0;
    for (int i = 0; i < ROWS; i++) {
        if (topics[i].partitions >= 0)
            continue;
        wanted[count] = topics[i];
        wanted[count].replicas = (int)config_integer(config, "replication_factor");
        wanted[count++].partitions =
            rows[i].partitions ? rows[i].partitions : (int)config_integer(config, "partitions");
    }
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    enum status status = kafka_topics_create(client, wanted, count, left_ms > 1 ? left_ms : 1, err);
    while (status == STATUS_OK) {
        left_ms = deadline_ms - clock_monotonic_ms();
        status = kafka_topics_describe(client, topics, ROWS, left_ms > 1 ? left_ms : 1, err);
        if (status != STATUS_OK || count_missing(topics) == 0)
            break;
        if (left_ms <= 0 || shutdown_wait_ms(POLL_MS))
            status = error_set(err, STATUS_RETRY, "the new topics are not yet shown by the broker");
    }
    return status;
}

static void write_json(const struct kafka_topic *topic, const struct row *row, bool created)
{
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    json_add_text(writer, "topic", topic->name);
    json_add_text(writer, "option", row->option);
    if (topic->partitions < 0)
        json_add_null(writer, "partitions");
    else
        json_add_integer(writer, "partitions", topic->partitions);
    json_add_bool(writer, "created", created);
    json_line_end(&line, stdout);
}

static void write_row(const struct kafka_topic *topic, const struct row *row, bool created, size_t columns)
{
    char name[256];
    text_clean(topic->name, name, sizeof name);
    text_write_tail(stdout, name, columns);
    if (topic->partitions < 0)
        printf("  %-16s     missing\n", row->purpose);
    else
        printf("  %-16s  %10d%s\n", row->purpose, topic->partitions, created ? "  created" : "");
}

static void show(const struct config *config, const struct kafka_topic topics[ROWS],
                 const bool was_missing[ROWS])
{
    size_t columns = 5;
    for (int i = 0; i < ROWS; i++)
        if (text_columns(topics[i].name) > columns)
            columns = text_columns(topics[i].name);
    bool json = config_switch(config, "json");
    if (!json) {
        text_write_tail(stdout, "topic", columns);
        printf("  %-16s  partitions\n", "for");
    }
    for (int i = 0; i < ROWS; i++) {
        bool created = was_missing[i] && topics[i].partitions >= 0;
        if (json)
            write_json(&topics[i], &rows[i], created);
        else
            write_row(&topics[i], &rows[i], created, columns);
    }
}

static enum status look_and_create(rd_kafka_t *client, const struct config *config,
                                   struct kafka_topic topics[ROWS], bool was_missing[ROWS], struct error *err)
{
    int64_t timeout_ms = config_integer(config, "timeout_ms");
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    enum status status =
        kafka_ping(client, config_text(config, "brokers"), timeout_ms < 5000 ? timeout_ms : 5000, err);
    if (status == STATUS_OK)
        status = kafka_topics_describe(client, topics, ROWS, timeout_ms, err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < ROWS; i++)
        was_missing[i] = topics[i].partitions < 0;
    if (count_missing(topics) > 0 && config_switch(config, "create"))
        status = create_missing(client, config, topics, deadline_ms, err);
    return status;
}

enum status topics_run(struct config *config, struct error *err)
{
    const struct kafka_client_options options = {.type = RD_KAFKA_PRODUCER, .quiet = report_is_quiet(config)};
    struct kafka_topic topics[ROWS];
    bool was_missing[ROWS] = {false};
    rd_kafka_t *client = NULL;
    shutdown_install();
    topics_from_rows(config, topics);
    enum status status = kafka_client_open(&client, config_kafka(config), &options, err);
    if (status == STATUS_OK)
        status = look_and_create(client, config, topics, was_missing, err);
    if (status == STATUS_OK)
        show(config, topics, was_missing);
    if (client)
        rd_kafka_destroy(client);
    if (status == STATUS_OK && count_missing(topics) > 0)
        status = error_set(err, STATUS_REJECTED,
                           "%d of %d topics are missing; 'skinsight-producer topics --create' makes them",
                           count_missing(topics), (int)ROWS);
    return status;
}
