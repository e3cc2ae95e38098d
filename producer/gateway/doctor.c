// doctor.c: one line for each thing the gateway depends on. It changes nothing but a probe in the object
// store.
#include "producer/gateway/doctor.h"

#include <stdio.h>
#include <string.h>

#include "common/audit/signing.h"
#include "common/base/file.h"
#include "common/identity/api_keys.h"
#include "common/program/finding.h"
#include "common/services/kafka.h"
#include "common/services/object_store.h"
#include "common/services/sql.h"
#include "producer/gateway/link.h"

enum { DOCTOR_TIMEOUT_MS = 3000, SUBJECT_KEY_LEAST = 16, SECRET_MOST = 1024 };

static bool check_keys(const struct config *config)
{
    struct api_keys keys;
    struct error err;
    char found[64];
    enum status status = api_keys_read(config_text(config, "api_keys"), &keys, &err);
    size_t good = 0;
    for (size_t i = 0; status == STATUS_OK && i < keys.count; i++)
        good += !keys.keys[i].revoked_at;
    api_keys_release(&keys);
    snprintf(found, sizeof found, "%zu in force", good);
    if (status == STATUS_OK && good == 0)
        status = error_set(&err, STATUS_REJECTED, "there is none, so nobody gets in with one");
    return finding_print("API keys", status, &err, found, "skinsight-producer keys add makes one");
}

static bool check_links(const struct config *config)
{
    struct link_signer signer;
    struct error err;
    const char *path = config_text(config, "link_key");
    enum status status = link_signer_init(&signer, config_text(config, "public_url"), path, &err);
    return finding_print("links", status, &err,
                         !*path ? "a random key: links end with the process, and with one gateway"
                         : signer.key_count > 1 ? "two keys"
                                                : "one key",
                         "link_key is a file of one or two lines, for its owner alone");
}

static bool check_subjects(const struct config *config)
{
    struct buffer key;
    struct error err;
    const char *path = config_text(config, "subject_key");
    buffer_init(&key, SECRET_MOST);
    enum status status = *path ? file_read_secret(path, SUBJECT_KEY_LEAST, &key, &err) : STATUS_OK;
    if (key.data)
        explicit_bzero(key.data, key.capacity);
    buffer_release(&key);
    return finding_print("subjects", status, &err,
                         *path ? "keyed" : "none: references of patients are dropped",
                         "subject_key is a file of at least 16 bytes, for its owner alone");
}

static bool check_audit(const struct config *config)
{
    struct signer *signer = NULL;
    struct error err;
    const char *path = config_text(config, "audit_key");
    enum status status = *path ? signer_open(&signer, path, &err) : STATUS_OK;
    signer_close(signer);
    return finding_print("audit", status, &err, *path ? "signed" : "not signed",
                         "openssl genpkey -algorithm ed25519 -out FILE makes audit_key");
}

static bool check_store(const struct config *config)
{
    struct sql *sql = NULL;
    struct error err;
    const struct sql_options options = {.url = config_text(config, "store"), .timeout_ms = DOCTOR_TIMEOUT_MS};
    enum status status = sql_open(&sql, &options, &err);
    bool good = finding_print("store", status, &err, sql ? sql_name(sql) : "",
                              "check --store, and that the server runs or the folder can be written");
    sql_close(sql);
    return good;
}

static bool check_objects(const struct config *config)
{
    struct object_store *store = NULL;
    struct error err;
    struct object_store_options options = {.root = config_objects_root(config),
                                           .s3_endpoint = config_text(config, "s3_endpoint"),
                                           .s3_region = config_text(config, "s3_region"),
                                           .timeout_ms = config_integer(config, "object_timeout_ms")};
    enum status status = object_store_open(&store, &options, &err);
    if (status == STATUS_OK)
        status = object_store_check(store, &err);
    object_store_close(store);
    return finding_print("object store", status, &err, options.root,
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
    return finding_print("topic", status, &err, found, "skinsight-producer topics --create makes it");
}

static bool check_kafka(const struct config *config)
{
    static const char *const topics[] = {"jobs_topic", "urgent_jobs_topic", "predictions_topic",
                                         "feedback_topic"};
    rd_kafka_t *client = NULL;
    struct error err;
    struct kafka_client_options options = {.type = RD_KAFKA_PRODUCER, .quiet = true};
    enum status status = kafka_client_open(&client, config_kafka(config), &options, &err);
    if (status == STATUS_OK)
        status = kafka_ping(client, config_text(config, "brokers"), DOCTOR_TIMEOUT_MS, &err);
    bool good = finding_print("Kafka", status, &err, config_text(config, "brokers"),
                              "check --brokers and that Kafka runs");
    bool reached = good;
    for (size_t i = 0; reached && i < sizeof topics / sizeof *topics; i++)
        good &= check_topic(client, config_text(config, topics[i]));
    if (client)
        rd_kafka_destroy(client);
    return good;
}

enum status doctor_run(struct config *config, struct error *err)
{
    int wrong = 0;
    wrong += !check_keys(config);
    wrong += !check_links(config);
    wrong += !check_subjects(config);
    wrong += !check_audit(config);
    wrong += !check_store(config);
    wrong += !check_objects(config);
    wrong += !check_kafka(config);
    if (wrong == 0)
        puts("Everything the gateway depends on is there.");
    return wrong == 0 ? STATUS_OK : error_said(err);
}
