// kafka.c: clients, topics and the triage of errors.
#include "common/services/kafka.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"

enum { LATELY_MS = 30000, TOLD_AGAIN_MS = 60000 };

// The newest of each, with its monotonic time; 0: never.
static atomic_llong throttled_at_ms, throttle_ms, throttle_told_ms, error_at_ms;
static atomic_int newest_error;
static atomic_bool topic_was_unknown;
static atomic_int consumers_ending;
static atomic_int newest_throttle_ms[2]; // by rd_kafka_type_t

static bool was_lately(atomic_llong *at_ms)
{
    long long at = atomic_load(at_ms);
    return at > 0 && clock_monotonic_ms() - at < LATELY_MS;
}

bool kafka_throttled_lately(char *sentence, size_t size)
{
    if (!was_lately(&throttled_at_ms))
        return false;
    snprintf(sentence, size, "a broker's quota makes requests wait, the newest one %lld ms",
             (long long)atomic_load(&throttle_ms));
    return true;
}

bool kafka_error_lately(char *sentence, size_t size)
{
    if (!was_lately(&error_at_ms))
        return false;
    snprintf(sentence, size, "%s", rd_kafka_err2str((rd_kafka_resp_err_t)atomic_load(&newest_error)));
    return true;
}

int kafka_newest_throttle_ms(rd_kafka_type_t type)
{
    return atomic_load(&newest_throttle_ms[type]);
}

// That no broker is there says less than what the brokers said before.
void kafka_note_error(rd_kafka_resp_err_t error)
{
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return;
    atomic_store(&newest_error, error);
    atomic_store(&error_at_ms, clock_monotonic_ms());
}

// Thread: the one that polls. 0 ms comes with the first reply that is not late any more.
static void on_throttle(rd_kafka_t *client, const char *broker, int32_t broker_id, int waited_ms,
                        void *opaque)
{
    (void)opaque;
    rd_kafka_type_t type = rd_kafka_type(client);
    atomic_store(&newest_throttle_ms[type], waited_ms);
    if (waited_ms == 0)
        return;
    int64_t now_ms = clock_monotonic_ms(), told_ms = atomic_load(&throttle_told_ms);
    atomic_store(&throttle_ms, waited_ms);
    atomic_store(&throttled_at_ms, now_ms);
    if (told_ms > 0 && now_ms - told_ms < TOLD_AGAIN_MS)
        return;
    atomic_store(&throttle_told_ms, now_ms);
    LOG_WARN("throttled", "client=%s broker=%" PRId32 " address=%s waited_ms=%d",
             type == RD_KAFKA_PRODUCER ? "producer" : "consumer", broker_id, broker, waited_ms);
}

void kafka_note_unknown_topic(struct kafka_topic_sign *topic)
{
    atomic_store(&topic->unknown_ms, clock_wall_ms());
    atomic_store(&topic_was_unknown, true);
}

// text: "[thrd:name]: topic [partition]: ...".
static bool is_about(const char *text, const char *topic)
{
    const char *behind = strstr(text, "]: ");
    const char *begin = strncmp(text, "[thrd:", 6) == 0 && behind ? behind + 3 : text;
    size_t length = strlen(topic);
    return strncmp(begin, topic, length) == 0 && strncmp(begin + length, " [", 2) == 0;
}

static void note_unknown_topics(struct kafka_signs *signs, const char *text)
{
    if (!strstr(text, rd_kafka_err2str(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)))
        return;
    for (int i = 0; i < KAFKA_SIGN_TOPICS; i++)
        if (signs->topics[i].name && is_about(text, signs->topics[i].name))
            kafka_note_unknown_topic(&signs->topics[i]);
}

// Thread: librdkafka's own.
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    const struct kafka_callbacks *callbacks = rd_kafka_opaque(client);
    struct kafka_signs *signs = callbacks ? callbacks->signs : NULL;
    bool trouble = strcmp(facility, "FAIL") == 0 || strcmp(facility, "REQTMOUT") == 0;
    if (signs && trouble)
        atomic_fetch_add(&signs->trouble, 1);
    if (signs && strcmp(facility, "BROKERUA") == 0) {
        note_unknown_topics(signs, text);
        atomic_fetch_add(&signs->refused_fetches, 1);
    }
    if (signs && strcmp(facility, "SESSTMOUT") == 0)
        atomic_store(&signs->session_out, true);
    enum log_level as = level <= 3 ? LOG_LEVEL_WARN : level <= 5 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
    log_event(as, "kafka", "facility=%s text=\"%s\"", facility, text);
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    (void)client;
    const struct kafka_callbacks *callbacks = opaque;
    if (callbacks && callbacks->signs)
        atomic_fetch_add(&callbacks->signs->trouble, 1);
    kafka_note_error((rd_kafka_resp_err_t)code);
    LOG_INFO("kafka_error", "code=%s reason=\"%s\"", rd_kafka_err2name(code), reason);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    const struct kafka_callbacks *callbacks = opaque;
    (void)client;
    callbacks->delivered(callbacks->context, message);
}

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t event,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    const struct kafka_callbacks *callbacks = opaque;
    callbacks->rebalanced(callbacks->context, consumer, event, partitions);
}

static int on_statistics(rd_kafka_t *client, char *json, size_t size, void *opaque)
{
    const struct kafka_callbacks *callbacks = opaque;
    (void)client;
    callbacks->statistics(callbacks->context, (struct bytes){(const uint8_t *)json, size});
    return 0; // librdkafka frees the text
}

static void set_callbacks(rd_kafka_conf_t *conf, const struct kafka_callbacks *callbacks)
{
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_throttle_cb(conf, on_throttle);
    if (!callbacks)
        return;
    rd_kafka_conf_set_opaque(conf, (void *)(uintptr_t)callbacks); // handed back, not changed
    if (callbacks->delivered)
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (callbacks->rebalanced)
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    if (callbacks->statistics)
        rd_kafka_conf_set_stats_cb(conf, on_statistics);
}

struct conf_building {
    rd_kafka_conf_t *conf;
    enum status status;
    struct error *err;
};

static void set_property(struct conf_building *building, const char *property, const char *value)
{
    char text[256];
    if (building->status != STATUS_OK)
        return;
    if (rd_kafka_conf_set(building->conf, property, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        building->status = error_set(building->err, STATUS_REJECTED, "kafka.%s: %s", property, text);
}

// What exactly one answer for each job rests on; docs/RELIABILITY.md. The log is among it: its lines are
// signs of trouble (kafka.h).
static bool is_reserved(const char *property)
{
    static const char *const reserved[] = {"acks",
                                           "auto.offset.reset",
                                           "check.crcs",
                                           "debug",
                                           "delivery.timeout.ms", // another name of message.timeout.ms
                                           "enable.auto.commit",
                                           "enable.auto.offset.store",
                                           "enable.idempotence",
                                           "enable.partition.eof",
                                           "group.id",
                                           "group.instance.id",
                                           "isolation.level",
                                           "log.connection.close",
                                           "log.queue",
                                           "log_level",
                                           "max.in.flight",
                                           "max.in.flight.requests.per.connection",
                                           "message.timeout.ms",
                                           "partition.assignment.strategy",
                                           "request.required.acks",
                                           "retry.backoff.max.ms",
                                           "retry.backoff.ms",
                                           "transaction.timeout.ms",
                                           "transactional.id"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(property, reserved[i]) == 0)
            return true;
    return false;
}

enum status kafka_property_check(const char *property, const char *value, struct error *err)
{
    if (is_reserved(property))
        return error_set(err, STATUS_REJECTED,
                         "kafka.%s can't be set: exactly one answer for each job rests on it", property);
    struct conf_building building = {rd_kafka_conf_new(), STATUS_OK, err};
    set_property(&building, property, value);
    rd_kafka_conf_destroy(building.conf);
    return building.status;
}

enum status kafka_client_open(rd_kafka_t **client, const struct kafka_cluster *cluster,
                              const struct kafka_client_options *options, struct error *err)
{
    struct conf_building building = {rd_kafka_conf_new(), STATUS_OK, err};
    set_property(&building, "bootstrap.servers", cluster->brokers);
    set_property(&building, "client.software.name", "skinsight");
    set_property(&building, "client.software.version", "1");
    set_property(&building, "socket.nagle.disable", "true");
    set_property(&building, "socket.keepalive.enable", "true");
    set_property(&building, "reconnect.backoff.max.ms", "500");
    // A frozen broker keeps its connections. Until a request to it runs out, its partitions and groups are
    // not looked for elsewhere; the defaults are 60, 10 and 30 s.
    set_property(&building, "socket.timeout.ms", "5000");
    set_property(&building, "api.version.request.timeout.ms", "3000");
    set_property(&building, "socket.connection.setup.timeout.ms", "5000");
    set_property(&building, "log.connection.close", "true");
    set_property(&building, "message.max.bytes", "10485760");
    // More than the 100 MiB that brokers take in one request, or a record of that size would stop its
    // partition.
    set_property(&building, "receive.message.max.bytes", "115343360");
    if (options->quiet)
        set_property(&building, "log_level", "2");
    for (size_t i = 0; i < options->setting_count; i++)
        set_property(&building, options->settings[i].property, options->settings[i].value);
    for (size_t i = 0; i < cluster->property_count; i++)
        set_property(&building, cluster->properties[i].property, cluster->properties[i].value);
    if (building.status != STATUS_OK) {
        rd_kafka_conf_destroy(building.conf);
        return building.status;
    }
    set_callbacks(building.conf, options->callbacks);
    char text[256];
    *client = rd_kafka_new(options->type, building.conf, text, sizeof text);
    if (*client)
        return STATUS_OK;
    rd_kafka_conf_destroy(building.conf);
    return error_set(err, STATUS_REJECTED, "Kafka client: %s", text);
}

static void *end_consumer(void *consumer)
{
    rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    atomic_fetch_sub(&consumers_ending, 1);
    return NULL;
}

void kafka_consumer_end(rd_kafka_t *consumer)
{
    pthread_t thread;
    atomic_fetch_add(&consumers_ending, 1);
    if (!atomic_load(&topic_was_unknown))
        end_consumer(consumer);
    else if (pthread_create(&thread, NULL, end_consumer, consumer) == 0) // else it stays
        pthread_detach(thread);
}

bool kafka_consumers_ended(void)
{
    return atomic_load(&consumers_ending) == 0;
}

enum status kafka_ping(rd_kafka_t *client, const char *brokers, int64_t timeout_ms, struct error *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t result = rd_kafka_metadata(client, 0, NULL, &metadata, (int)timeout_ms);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "no Kafka broker answers at %s within %lld ms (%s)", brokers,
                         (long long)timeout_ms, rd_kafka_err2str(result));
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

static const rd_kafka_metadata_topic_t *find_topic(const struct rd_kafka_metadata *metadata, const char *name)
{
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, name) == 0)
            return &metadata->topics[i];
    return NULL;
}

enum status kafka_topics_describe(rd_kafka_t *client, struct kafka_topic *topics, size_t count,
                                  int64_t timeout_ms, struct error *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t result = rd_kafka_metadata(client, 1, NULL, &metadata, (int)timeout_ms);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "no Kafka broker answers within %lld ms (%s)",
                         (long long)timeout_ms, rd_kafka_err2str(result));
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_metadata_topic_t *found = find_topic(metadata, topics[i].name);
        topics[i].partitions = found && found->err == RD_KAFKA_RESP_ERR_NO_ERROR ? found->partition_cnt : -1;
    }
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

enum status kafka_topics_require(rd_kafka_t *client, struct kafka_topic *topics, size_t count,
                                 int64_t timeout_ms, struct error *err)
{
    enum status status = kafka_topics_describe(client, topics, count, timeout_ms, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (topics[i].partitions < 0)
            status = error_set(err, STATUS_REJECTED,
                               "topic '%s' does not exist; 'skinsight-producer topics --create' makes it",
                               topics[i].name);
    return status;
}

static rd_kafka_NewTopic_t *new_topic(const struct kafka_topic *topic)
{
    char text[256];
    rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(
        topic->name, topic->partitions, topic->replicas ? topic->replicas : -1, text, sizeof text);
    for (int i = 0; made && topic->settings[i]; i += 2)
        rd_kafka_NewTopic_set_config(made, topic->settings[i], topic->settings[i + 1]);
    return made;
}

static enum status read_created(rd_kafka_event_t *event, struct error *err)
{
    if (!event)
        return error_set(err, STATUS_RETRY, "no Kafka broker answered the request to create topics");
    if (rd_kafka_event_error(event))
        return error_set(err, STATUS_RETRY, "topics can't be created: %s",
                         rd_kafka_event_error_string(event));
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return error_set(err, STATUS_REJECTED, "topic '%s' can't be created: %s",
                             rd_kafka_topic_result_name(results[i]),
                             rd_kafka_topic_result_error_string(results[i]));
    }
    return STATUS_OK;
}

enum { TOPICS_MAX = 16 };

enum status kafka_topics_create(rd_kafka_t *client, const struct kafka_topic *topics, size_t count,
                                int64_t timeout_ms, struct error *err)
{
    rd_kafka_NewTopic_t *made[TOPICS_MAX];
    size_t made_count = 0;
    for (size_t i = 0; i < count && i < TOPICS_MAX; i++) {
        made[made_count] = new_topic(&topics[i]);
        if (!made[made_count]) {
            rd_kafka_NewTopic_destroy_array(made, made_count);
            return error_set(err, STATUS_REJECTED, "'%s' with %d partitions is not a topic Kafka can make",
                             topics[i].name, topics[i].partitions);
        }
        made_count++;
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *admin = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    char text[256];
    rd_kafka_AdminOptions_set_request_timeout(admin, (int)timeout_ms, text, sizeof text);
    rd_kafka_AdminOptions_set_operation_timeout(admin, (int)timeout_ms, text, sizeof text);
    rd_kafka_CreateTopics(client, made, made_count, admin, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)timeout_ms + 1000);
    enum status status = read_created(event, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(made, made_count);
    return status;
}

enum kafka_outcome kafka_outcome_take(rd_kafka_error_t *error, struct error *err)
{
    if (!error)
        return KAFKA_DONE;
    enum kafka_outcome outcome = KAFKA_RENEW;
    if (rd_kafka_error_is_fatal(error) || rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        outcome = KAFKA_RENEW;
    else if (rd_kafka_error_is_retriable(error))
        outcome = KAFKA_AGAIN;
    else if (rd_kafka_error_txn_requires_abort(error) ||
             rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST)
        outcome = KAFKA_ABORT;
    error_set(err, STATUS_RETRY, "%s: %s", rd_kafka_error_name(error), rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return outcome;
}
