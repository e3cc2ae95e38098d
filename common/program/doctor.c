// doctor.c: lines in green or red, for people.
#include "common/program/doctor.h"

#include <stdio.h>
#include <unistd.h>

#include "common/services/kafka.h"
#include "common/services/object_store.h"

enum status doctor_run(const doctor_check *checks, const char *program, const struct config *config,
                       struct error *err)
{
    bool good = true;
    for (; *checks; checks++)
        good &= (*checks)(config);
    if (!good)
        return error_said(err);
    printf("Everything the %s depends on is there.\n", program);
    return STATUS_OK;
}

bool doctor_say(const char *what, enum status status, const struct error *err, const char *found,
                const char *mend)
{
    bool colour = isatty(STDOUT_FILENO);
    if (status == STATUS_OK)
        printf("%s %-14s %s\n", colour ? "\033[32mok   \033[0m" : "ok   ", what, found);
    else
        printf("%s %-14s %s\n      %-14s -> %s\n", colour ? "\033[31mwrong\033[0m" : "wrong", what,
               err->message, "", mend);
    return status == STATUS_OK;
}

bool doctor_check_objects(const struct config *config)
{
    struct object_store *store = NULL;
    struct error err;
    struct object_store_options options;
    config_objects(config, &options);
    enum status status = object_store_open(&store, &options, &err);
    if (status == STATUS_OK)
        status = object_store_check(store, &err);
    object_store_close(store);
    return doctor_say("object store", status, &err, options.root,
                      "check --objects, the bucket, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
}

static bool check_topic(rd_kafka_t *client, const char *name)
{
    struct kafka_topic topic = {.name = name};
    struct error err;
    char found[300];
    enum status status = kafka_topics_describe(client, &topic, 1, DOCTOR_TIMEOUT_MS, &err);
    if (status == STATUS_OK && topic.partitions < 0)
        status = error_set(&err, STATUS_REJECTED, "%s does not exist", name);
    snprintf(found, sizeof found, "%s, %d partitions", name, topic.partitions);
    return doctor_say("topic", status, &err, found, "skinsight-producer topics --create makes it");
}

bool doctor_check_kafka(const struct config *config, const char *const *topic_options, size_t count,
                        rd_kafka_t **client)
{
    const struct kafka_client_options options = {.type = RD_KAFKA_PRODUCER, .quiet = true};
    struct error err;
    *client = NULL;
    enum status status = kafka_client_open(client, config_kafka(config), &options, &err);
    if (status == STATUS_OK)
        status = kafka_ping(*client, config_text(config, "brokers"), DOCTOR_TIMEOUT_MS, &err);
    bool good = doctor_say("Kafka", status, &err, config_text(config, "brokers"),
                           "check --brokers and that Kafka runs");
    if (!good && *client) {
        rd_kafka_destroy(*client);
        *client = NULL;
    }
    for (size_t i = 0; *client && i < count; i++)
        good &= check_topic(*client, config_text(config, topic_options[i]));
    return good;
}
