// doctor.c: the things that the gateway depends on.
#include "producer/gateway/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/audit/signing.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/identity/api_keys.h"
#include "common/program/doctor.h"
#include "common/services/sql.h"
#include "producer/gateway/link.h"

enum { SUBJECT_KEY_LEAST = 16, SECRET_MOST = 1024 };

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
    return doctor_say("API keys", status, &err, found, "skinsight-producer keys add makes one");
}

static bool check_links(const struct config *config)
{
    struct link_signer signer;
    struct error err;
    const char *path = config_text(config, "link_key");
    enum status status = link_signer_init(&signer, config_text(config, "public_url"), path, &err);
    return doctor_say("links", status, &err,
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
    return doctor_say("subjects", status, &err, *path ? "keyed" : "none: references of patients are dropped",
                      "subject_key is a file of at least 16 bytes, for its owner alone");
}

static bool check_audit(const struct config *config)
{
    struct signer *signer = NULL;
    struct error err;
    const char *path = config_text(config, "audit_key");
    enum status status = *path ? signer_open(&signer, path, &err) : STATUS_OK;
    signer_close(signer);
    return doctor_say("audit", status, &err, *path ? "signed" : "not signed",
                      "openssl genpkey -algorithm ed25519 -out FILE makes audit_key");
}

static const char store_remedy[] = "check --store, and that the server runs or the folder can be written";

// To open it would make it.
static bool check_new_file(const char *path)
{
    struct error err;
    char *folder = memory_strdup(path);
    char *name = strrchr(folder, '/') + 1;
    *name = '\0';
    enum status status = STATUS_OK;
    if (access(folder, W_OK | X_OK) != 0)
        status = error_set(&err, STATUS_FATAL, "%s: %s", folder, strerror(errno));
    free(folder);
    return doctor_say("store", status, &err, "will be made", store_remedy);
}

static bool check_store(const struct config *config)
{
    static const char sqlite[] = "sqlite://";
    const char *url = config_text(config, "store"), *path = url + sizeof sqlite - 1;
    struct sql *sql = NULL;
    struct error err;
    const struct sql_options options = {.url = url, .timeout_ms = DOCTOR_TIMEOUT_MS};
    enum status status = sql_url_check(url, &err);
    if (status == STATUS_OK && strncmp(url, sqlite, sizeof sqlite - 1) == 0 && access(path, F_OK) != 0 &&
        errno == ENOENT)
        return check_new_file(path);
    if (status == STATUS_OK)
        status = sql_open(&sql, &options, &err);
    bool good = doctor_say("store", status, &err, sql ? sql_name(sql) : "", store_remedy);
    sql_close(sql);
    return good;
}

static bool check_kafka(const struct config *config)
{
    static const char *const topics[] = {"jobs_topic", "urgent_jobs_topic", "predictions_topic",
                                         "feedback_topic"};
    rd_kafka_t *client;
    bool good = doctor_check_kafka(config, topics, sizeof topics / sizeof *topics, &client);
    if (client)
        rd_kafka_destroy(client);
    return good;
}

enum status gateway_doctor(struct config *config, struct error *err)
{
    static const doctor_check checks[] = {check_keys,  check_links,          check_subjects, check_audit,
                                          check_store, doctor_check_objects, check_kafka,    NULL};
    return doctor_run(checks, "gateway", config, err);
}
