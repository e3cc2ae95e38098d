// member.c: the consumer's settings and its life.
#include "worker/group/member.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "worker/group/rebalance.h"
#include "worker/metrics_rows.h"

enum { GIVE_UP_MS = 5000, POLL_MS = 10 };

// How often a member asks for its topics, and so how late partitions that were added are heard of at most:
// the first of the group that sees them is enough. Each answer has some 40 bytes a partition: of 10,000
// workers with as many partitions that is 67 MB/s for all brokers together.
#define METADATA_MS "60000"

static enum status make_consumer(struct worker *worker, rd_kafka_t **made, struct error *err)
{
    char session[24], heartbeat[24];
    int64_t session_ms = config_integer(worker->config, "session_timeout_ms");
    snprintf(session, sizeof session, "%" PRId64, session_ms);
    // A member hears of a rebalance with a heartbeat: until then the group waits, and so do its records.
    snprintf(heartbeat, sizeof heartbeat, "%" PRId64, session_ms / 5 < 500 ? session_ms / 5 : 500);
    const char *instance = config_text(worker->config, "instance");
    const struct kafka_setting settings[] = {
        {"group.id", config_text(worker->config, "group")},
        {"session.timeout.ms", session},
        {"heartbeat.interval.ms", heartbeat},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"}, // an offset outside of the log is told of, never moved
        {"check.crcs", "true"},
        {"debug", "topic"},                         // kafka_signs: refused_fetches
        {"partition.assignment.strategy", "range"}, // eager: 2.0.2's cooperative assignor can loop for ever
        {"fetch.wait.max.ms", "100"},
        {"queued.max.messages.kbytes", "32768"},
        {"allow.auto.create.topics", "false"},
        {"topic.metadata.refresh.interval.ms", METADATA_MS},
        {"statistics.interval.ms", "1000"}, // worker/group/reading.h
        {"enable.partition.eof", "true"},   // an empty partition has nothing that kills
        {"group.instance.id", instance},    // last: left out for a dynamic member
    };
    size_t count = sizeof settings / sizeof *settings - (*instance ? 0 : 1);
    struct kafka_client_options options = {.type = RD_KAFKA_CONSUMER,
                                           .settings = settings,
                                           .setting_count = count,
                                           .callbacks = &worker->callbacks};
    enum status status = kafka_client_open(made, config_kafka(worker->config), &options, err);
    if (status == STATUS_OK)
        rd_kafka_poll_set_consumer(*made);
    return status;
}

enum status member_open(struct worker *worker, struct error *err)
{
    return make_consumer(worker, &worker->consumer, err);
}

// While it closes a consumer is told no committed offset, and the last transaction's outcome may be open:
// what is held is given up before that. Records that come meanwhile are left where they are.
static void give_up_assignment(struct worker *worker)
{
    int64_t until_ms = clock_monotonic_ms() + GIVE_UP_MS;
    if (rd_kafka_unsubscribe(worker->consumer) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    while (assignment_count(&worker->assignment) > 0 && clock_monotonic_ms() < until_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(worker->consumer, POLL_MS);
        if (message)
            rd_kafka_message_destroy(message);
    }
}

// The close is outside of the lock, which the callback takes.
static void replace(struct worker *worker, rd_kafka_t *next)
{
    give_up_assignment(worker);
    rd_kafka_consumer_close(worker->consumer);
    rebalance_change_member(worker, next);
}

void member_close(struct worker *worker)
{
    replace(worker, NULL);
}

enum status member_subscribe(struct worker *worker, struct error *err)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(TOPIC_COUNT);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        rd_kafka_topic_partition_list_add(topics, job_topic_name(worker, (enum job_topic)topic),
                                          RD_KAFKA_PARTITION_UA);
    member_is_revoked(worker); // of what it never had
    rd_kafka_resp_err_t result = rd_kafka_subscribe(worker->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, STATUS_FATAL, "subscribe: %s", rd_kafka_err2str(result));
}

enum status member_renew(struct worker *worker, struct error *err)
{
    rd_kafka_t *made = NULL;
    enum status status = make_consumer(worker, &made, err);
    if (status != STATUS_OK)
        return status;
    replace(worker, made);
    return member_subscribe(worker, err);
}

void member_is_assigned(struct worker *worker)
{
    atomic_store(&worker->signs.session_out, false);
    atomic_store(&worker->out_since_ms, 0);
}

void member_is_revoked(struct worker *worker)
{
    atomic_store(&worker->out_since_ms, clock_monotonic_ms());
}

// After a session without an answer librdkafka gives the place up by itself, unless a rebalance is going on.
bool member_is_out(struct worker *worker, char *reason, size_t size)
{
    bool session_out = atomic_load(&worker->signs.session_out);
    int64_t since_ms = atomic_load(&worker->out_since_ms);
    int64_t session_ms = config_integer(worker->config, "session_timeout_ms");
    char error[128] = "no error was told";
    kafka_error_lately(error, sizeof error);
    snprintf(reason, size, "%s: %s; waiting to be a member of group '%s' (%s)",
             config_text(worker->config, "brokers"),
             session_out ? "no broker answered for a whole session"
                         : "no broker answers, or another member holds the group up",
             config_text(worker->config, "group"), error);
    return session_out || (since_ms > 0 && clock_monotonic_ms() - since_ms > session_ms);
}

bool member_fenced_by_outage(const struct worker *worker)
{
    return atomic_load(&worker->signs.session_out) &&
           rd_kafka_fatal_error(worker->consumer, NULL, 0) == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
}
