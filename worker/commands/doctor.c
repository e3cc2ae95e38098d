// doctor.c: the things that the worker depends on. Notes are for what works but could be set better; they
// leave the exit code alone.
#include <stdio.h>
#include <string.h>

#include "common/program/doctor.h"
#include "common/services/kafka_settings.h"
#include "worker/cache/cache.h"
#include "worker/commands/commands.h"
#include "worker/descriptors.h"
#include "worker/device/known_images.h"
#include "worker/group/broker_limits.h"
#include "worker/worker.h"

static bool check_descriptors(const struct config *config)
{
    struct error err;
    char found[64];
    enum status status = descriptors_claim(config, &err);
    snprintf(found, sizeof found, "the %ld that are needed", descriptors_needed(config));
    return doctor_say("open files", status, &err, found, "raise the limit of open files (ulimit -Hn)");
}

static bool check_engine(const struct config *config)
{
    struct engine engine;
    struct error err;
    char found[800] = "";
    enum status status = engine_open(&engine, config, 1, EXPLAIN_NOTHING, &err);
    if (status == STATUS_OK)
        status = known_images_check_once(&engine, &err);
    if (status == STATUS_OK)
        snprintf(found, sizeof found, "%s%s%s, %s%s%s%s on %s (%s)", engine.model->manifest.model_version,
                 engine.model->manifest.trained ? "" : " (untrained: its diagnoses mean nothing)",
                 engine.model->reference ? "" : " (no reference: nothing is told to be out of distribution)",
                 precision_names[engine.plan->precision], engine.precision_reason[0] ? " (auto: " : "",
                 engine.precision_reason, engine.precision_reason[0] ? ")" : "", engine.backend->name,
                 engine.backend->device);
    bool good = doctor_say(
        "model, device", status, &err, found,
        "skinsight-trainer import makes a model directory; --backend and --precision choose the device");
    engine_close(&engine);
    return good;
}

static bool check_policy(const struct config *config)
{
    struct policy policy;
    struct error err;
    enum status status = policy_load(&policy, config_text(config, "policy"), &err);
    return doctor_say("policy", status, &err, policy.version, "docs/FORMATS.md describes the policy file");
}

static bool check_cache(const struct config *config)
{
    const char *url = config_text(config, "cache");
    struct redis *redis = NULL;
    struct cache_terms terms;
    struct error err;
    if (strcmp(url, "none") == 0)
        return doctor_say("cache", STATUS_OK, &err, "none (answers are computed each time)", "");
    enum status status = cache_check(config, &err);
    if (status == STATUS_OK)
        status = cache_read_secret(&terms, config, &err);
    if (status == STATUS_OK)
        status = redis_open(&redis, url, config_integer(config, "cache_timeout_ms"), 1, &err);
    if (status == STATUS_OK)
        status = redis_ping(redis, &err);
    redis_close(redis);
    return doctor_say("cache", status, &err, "answers",
                      "check --cache and --cache-secret; without Redis the worker is slower, nothing else");
}

static bool check_topic_names(const struct config *config)
{
    struct error err;
    return doctor_say("topic names", worker_check_topics(config, &err), &err, "each role its own",
                      "give every role a topic of its own");
}

// What a topic had better be set to; without it the worker works, but is easier to disturb.
static const struct advice {
    const char *topic; // the option that names it
    const char *setting, *value;
    const char *why;
} advices[] = {
    {"jobs_topic", "compression.type", "uncompressed",
     "a batch that inflates without end gets in, and stops its partition until it is given up"},
    {"urgent_jobs_topic", "compression.type", "uncompressed",
     "a batch that inflates without end gets in, and stops its partition until it is given up"},
    {"jobs_topic", "message.timestamp.type", "LogAppendTime", "clients say when a record was written"},
    {"urgent_jobs_topic", "message.timestamp.type", "LogAppendTime", "clients say when a record was written"},
    {"predictions_topic", "message.timestamp.type", "LogAppendTime",
     "the worker's clock can't be compared with the broker's"},
};

static void advise(rd_kafka_t *client, const char *topic, const struct advice *advice)
{
    struct kafka_known_setting setting = {.name = advice->setting};
    struct kafka_resource resource = {RD_KAFKA_RESOURCE_TOPIC, topic, &setting, 1};
    struct error err;
    if (kafka_settings_read(client, &resource, DOCTOR_TIMEOUT_MS, &err) != STATUS_OK)
        printf("note  %-14s %s\n", "topic setting", err.message);
    else if (strcmp(setting.value, advice->value) != 0)
        printf("note  %-14s %s has %s=%s, not %s: %s\n      %-14s -> kafka-configs.sh --alter --topic %s "
               "--add-config %s=%s\n",
               "topic setting", topic, advice->setting, setting.value, advice->value, advice->why, "", topic,
               advice->setting, advice->value);
}

static void advise_on_topics(rd_kafka_t *client, const struct config *config)
{
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        advise(client, config_text(config, advices[i].topic), &advices[i]);
}

static bool check_broker_limits(rd_kafka_t *client, const struct config *config)
{
    struct error err, note;
    enum status status = broker_limits_check(client, config, DOCTOR_TIMEOUT_MS, &note, &err);
    if (note.message[0])
        printf("note  %-14s %s\n", "brokers", note.message);
    return doctor_say("brokers", status, &err, "they take the commits of a full window",
                      "set it on every broker, or lower --window");
}

static bool check_kafka(const struct config *config)
{
    rd_kafka_t *client;
    bool good = doctor_check_kafka(config, worker_topic_options, WORKER_TOPIC_COUNT, &client);
    if (good) {
        advise_on_topics(client, config);
        good = check_broker_limits(client, config);
    }
    if (client)
        rd_kafka_destroy(client);
    return good;
}

enum status doctor_command(struct config *config, struct error *err)
{
    static const doctor_check checks[] = {check_descriptors,    check_engine, check_policy,
                                          doctor_check_objects, check_cache,  check_topic_names,
                                          check_kafka,          NULL};
    return doctor_run(checks, "worker", config, err);
}
