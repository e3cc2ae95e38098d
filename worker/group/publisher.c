// publisher.c: one transaction at a time, and what to do when its outcome is unknown.
//
// The rule (librdkafka speaks EndTxn v1, which a broker can't tie to a transaction): a request that
// librdkafka retried silently may arrive late and tear the next transaction. A retry can't come back before
// retry.backoff.ms, less a fifth of it by chance from librdkafka 2.3 on. So a call that took half of that, an
// error, or trouble on the wire means: finish, then go on with a new producer.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/services/kafka.h"
#include "worker/faults.h"
#include "worker/group/committed.h"
#include "worker/group/publisher.h"
#include "worker/stages/records.h"

enum {
    GROUP_LIMIT = 512,
    GROUP_BYTES = 32 << 20, // closes a group: with one more job still far from what the client queues
    RETRY_BACKOFF_MS =
        1500, // twice what send_offsets takes, three requests at most, at 200 ms each, and more
    SUSPICIOUS_MS = RETRY_BACKOFF_MS / 2,
    CALL_TIMEOUT_MS = 5000, // a frozen coordinator is left then, and another one looked for
    ABORT_TIMEOUT_MS = 2000
};

struct publisher {
    struct worker *worker;
    struct kafka_signs signs;         // of the producer,
    struct kafka_callbacks callbacks; // and what it tells
    rd_kafka_t *producer;             // NULL: to be made
    char transactional_id[CONFIG_TEXT_MAX + JOB_WORKER_SIZE + 2];
    struct job *jobs[GROUP_LIMIT];
    int count;
    size_t bytes;                // that they may become on Kafka
    bool unknown;                // the last transaction may or may not have been committed
    bool spoiled;                // a call said that this producer must not be called again
    unsigned failed_deliveries;  // in the transaction at hand; only touched inside flush and produce
    rd_kafka_resp_err_t refusal; // why the last of them failed
};

struct publisher *publisher_new(struct worker *worker)
{
    struct publisher *publisher = memory_alloc(sizeof *publisher);
    publisher->worker = worker;
    snprintf(publisher->transactional_id, sizeof publisher->transactional_id, "%s-%s",
             config_text(worker->config, "group"), worker->instance);
    return publisher;
}

static void discard_producer(struct publisher *publisher)
{
    if (!publisher->producer)
        return;
    rd_kafka_purge(publisher->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(publisher->producer);
    publisher->producer = NULL;
    publisher->spoiled = false;
    metrics_add(METRIC_PRODUCER_RENEWALS, 0, 1);
}

void publisher_drop(struct publisher *publisher)
{
    for (int i = 0; i < publisher->count; i++)
        worker_end_job(publisher->worker, publisher->jobs[i]);
    publisher->count = 0;
    publisher->bytes = 0;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    discard_producer(publisher);
    publisher_drop(publisher);
    free(publisher);
}

// An answer, and where the job failed its dead letter.
static size_t bytes_of(const struct job *job)
{
    return JOB_ANSWER_LIMIT + job->key.size + (job->code != JOB_OK ? job->key.size + job->value.size : 0);
}

bool publisher_has_room(const struct publisher *publisher)
{
    return publisher->count < GROUP_LIMIT && publisher->bytes < GROUP_BYTES;
}

bool publisher_add(struct publisher *publisher, struct job *job)
{
    worker_end_computing(publisher->worker, job);
    publisher->jobs[publisher->count++] = job;
    publisher->bytes += bytes_of(job);
    return publisher_has_room(publisher);
}

static void compare_clocks(struct worker *worker, const rd_kafka_message_t *message, const struct job *job)
{
    rd_kafka_timestamp_type_t type;
    int64_t stamp_ms = rd_kafka_message_timestamp(message, &type);
    if (strcmp(rd_kafka_topic_name(message->rkt), config_text(worker->config, "predictions_topic")) == 0)
        broker_clock_take(&worker->broker_clock, job->moments[MOMENT_PUBLISHED],
                          type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? stamp_ms : -1);
}

static void on_delivery(void *context, const rd_kafka_message_t *message)
{
    struct publisher *publisher = context;
    struct job *job = message->_private;
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        job->oversized = true;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        compare_clocks(publisher->worker, message, job);
    } else {
        publisher->failed_deliveries++;
        publisher->refusal = message->err;
        LOG_INFO("delivery_failed", "reason=\"%s\"", rd_kafka_err2str(message->err));
    }
}

// The calls of the transaction protocol, tried again while librdkafka says that the same call may succeed.
enum txn_call { TXN_INIT, TXN_BEGIN, TXN_OFFSETS, TXN_COMMIT, TXN_ABORT };

// A member that has forgotten its name and generation is taken for a non-member, and brokers of Kafka 4 let
// non-members commit. The name is looked at too: a new assignment forgets that the one before was lost.
static bool place_is_lost(rd_kafka_t *consumer)
{
    char *name = rd_kafka_memberid(consumer);
    bool lost = rd_kafka_assignment_lost(consumer) || !name || !*name;
    if (name)
        rd_kafka_mem_free(consumer, name);
    return lost;
}

static rd_kafka_error_t *invoke(struct publisher *publisher, enum txn_call call,
                                const rd_kafka_topic_partition_list_t *offsets, int timeout_ms)
{
    switch (call) {
    case TXN_INIT:
        return rd_kafka_init_transactions(publisher->producer, timeout_ms);
    case TXN_BEGIN:
        return rd_kafka_begin_transaction(publisher->producer);
    case TXN_OFFSETS: {
        rd_kafka_consumer_group_metadata_t *group =
            rd_kafka_consumer_group_metadata(publisher->worker->consumer);
        // Asked after it.
        rd_kafka_error_t *error =
            place_is_lost(publisher->worker->consumer)
                ? rd_kafka_error_new(RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, "the assignment is lost")
                : rd_kafka_send_offsets_to_transaction(publisher->producer, offsets, group, timeout_ms);
        rd_kafka_consumer_group_metadata_destroy(group);
        return error;
    }
    case TXN_COMMIT:
        return rd_kafka_commit_transaction(publisher->producer, timeout_ms);
    case TXN_ABORT:
        return rd_kafka_abort_transaction(publisher->producer, timeout_ms);
    }
    return NULL;
}

static enum status call_producer(struct publisher *publisher, enum txn_call call,
                                 const rd_kafka_topic_partition_list_t *offsets, int64_t timeout_ms,
                                 struct error *err)
{
    static const char *const names[] = {"init_transactions", "begin_transaction", "send_offsets", "commit",
                                        "abort"};
    int64_t begun_ms = clock_monotonic_ms(), left_ms = timeout_ms;
    enum kafka_outcome outcome = KAFKA_AGAIN;
    while (outcome == KAFKA_AGAIN && left_ms > 0) {
        outcome = kafka_outcome_take(invoke(publisher, call, offsets, (int)left_ms), err);
        left_ms = timeout_ms - (clock_monotonic_ms() - begun_ms);
    }
    if (call != TXN_INIT && timeout_ms - left_ms >= SUSPICIOUS_MS)
        atomic_fetch_add(&publisher->signs.trouble, 1);
    if (outcome == KAFKA_DONE)
        return STATUS_OK;
    publisher->spoiled = outcome == KAFKA_RENEW;
    error_prefix(err, "%s", names[call]);
    return STATUS_RETRY;
}

static enum status warm_topic(struct publisher *publisher, const char *option, struct error *err)
{
    // A transactional producer's first record to a topic waits a second unless its metadata is there.
    const char *name = config_text(publisher->worker->config, option);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(publisher->producer, name, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(publisher->producer, 0, topic, &metadata,
                                                   (int)publisher->worker->transaction_timeout_ms);
    rd_kafka_topic_destroy(topic);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "metadata of '%s': %s", name, rd_kafka_err2str(result));
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

static enum status make_producer(struct publisher *publisher, struct error *err)
{
    char timeout[24], delivery[24], backoff[24], request[24];
    int64_t timeout_ms = publisher->worker->transaction_timeout_ms;
    snprintf(timeout, sizeof timeout, "%" PRId64, timeout_ms);
    snprintf(delivery, sizeof delivery, "%" PRId64, timeout_ms * 6 / 10);
    snprintf(backoff, sizeof backoff, "%d", RETRY_BACKOFF_MS);
    snprintf(request, sizeof request, "%" PRId64,
             timeout_ms < CALL_TIMEOUT_MS ? timeout_ms : CALL_TIMEOUT_MS);
    const struct kafka_setting settings[] = {
        {"transactional.id", publisher->transactional_id},
        {"transaction.timeout.ms", timeout},
        {"message.timeout.ms", delivery},
        {"socket.timeout.ms", request}, // no longer than the transaction's
        {"retry.backoff.ms", backoff},
        {"linger.ms", "0"},
        {"acks", "all"},
        KAFKA_ONE_IN_FLIGHT,
        {"message.max.bytes", "12582912"}, // a dead letter is a record plus headers
        {"queue.buffering.max.kbytes", "65536"},
        {"retry.backoff.max.ms", backoff}, // stronger than retry.backoff.ms, and 1 s unless it is set
    };
    size_t count = sizeof settings / sizeof *settings;
    if (rd_kafka_version() < 0x02030000) // which brought the last one
        count--;
    struct kafka_client_options options = {.type = RD_KAFKA_PRODUCER,
                                           .settings = settings,
                                           .setting_count = count,
                                           .callbacks = &publisher->callbacks};
    publisher->callbacks =
        (struct kafka_callbacks){.signs = &publisher->signs, .delivered = on_delivery, .context = publisher};
    enum status status =
        kafka_client_open(&publisher->producer, config_kafka(publisher->worker->config), &options, err);
    if (status == STATUS_OK)
        status = warm_topic(publisher, "predictions_topic", err);
    if (status == STATUS_OK)
        status = warm_topic(publisher, "dead_letters_topic", err);
    if (status == STATUS_OK)
        status = call_producer(publisher, TXN_INIT, NULL, timeout_ms, err);
    if (status != STATUS_OK)
        discard_producer(publisher);
    atomic_store(&publisher->signs.trouble, 0);
    return status;
}

static void remove_job(struct publisher *publisher, int index)
{
    publisher->bytes -= bytes_of(publisher->jobs[index]);
    worker_end_job(publisher->worker, publisher->jobs[index]);
    publisher->jobs[index] = publisher->jobs[--publisher->count];
}

// A deadline refused before the first answer told that the clock is wrong.
static bool is_refused_wrongly(const struct worker *worker, const struct job *job)
{
    return job->code == JOB_DEADLINE_EXCEEDED && !broker_clock_agrees(&worker->broker_clock);
}

static bool must_not_go_out(struct worker *worker, const struct job *job)
{
    return is_refused_wrongly(worker, job) || worker_suspects(worker, job);
}

// Those that are refused wrongly are read again: their records stay open.
static void remove_stale(struct publisher *publisher)
{
    struct worker *worker = publisher->worker;
    for (int i = publisher->count - 1; i >= 0; i--) {
        const struct job *job = publisher->jobs[i];
        if (is_refused_wrongly(worker, job))
            atomic_store(&worker->reads_again, true);
        if (must_not_go_out(worker, job) || !assignment_is_current(&worker->assignment, job))
            remove_job(publisher, i);
    }
}

static void account_prediction(const struct worker *worker, const struct job *job)
{
    struct decision decision;
    policy_decide(&worker->policy, job->probabilities, &decision);
    metrics_add(METRIC_PREDICTIONS, decision.primary, 1);
    metrics_add(METRIC_ACTIONS, decision.action, 1);
    metrics_observe(METRIC_CONFIDENCE, 0, decision.confidence);
}

static void account(const struct worker *worker, const struct job *job)
{
    bool failed = job->code != JOB_OK;
    if (!failed)
        account_prediction(worker, job);
    metrics_add(METRIC_JOBS_ANSWERED, failed ? ANSWERED_ERROR : ANSWERED_PREDICTION, 1);
    metrics_observe(METRIC_STAGE_SECONDS, STAGE_TOTAL, (double)(clock_monotonic_us() - job->taken_us) / 1e6);
    if (failed) {
        metrics_add(METRIC_JOB_ERRORS, job->code, 1);
        metrics_add(METRIC_DEAD_LETTERS, 0, 1);
    }
}

static void finish_job(struct publisher *publisher, int index)
{
    assignment_finish(&publisher->worker->assignment, publisher->jobs[index]);
    account(publisher->worker, publisher->jobs[index]);
    remove_job(publisher, index);
}

// REJECTED: what is committed does not fit the partition as this worker has read it.
static enum status reconcile_partition(struct publisher *publisher, const struct assigned *held,
                                       struct error *err)
{
    struct worker *worker = publisher->worker;
    struct committed committed = {.topic = held->topic, .partition = held->partition};
    bool found;
    enum status status = committed_read(worker, &committed, &found, err);
    if (status != STATUS_OK || !found)
        return status;
    if (!assignment_catch_up(&worker->assignment, &committed))
        return error_set(err, STATUS_REJECTED,
                         "%s partition %d: records before %lld are committed as answered, but only those "
                         "before %lld were read: they are another log's",
                         job_topic_name(worker, held->topic), held->partition,
                         (long long)committed.offsets.next, (long long)held->offsets.next);
    assignment_remember(&worker->assignment, &committed);
    for (int i = publisher->count - 1; i >= 0; i--) {
        const struct job *job = publisher->jobs[i];
        if (job->topic == held->topic && job->partition == held->partition &&
            offsets_is_finished(&committed.offsets, job->offset))
            finish_job(publisher, i);
    }
    return STATUS_OK;
}

// After an unknown outcome: what the committed offsets name was published; the rest was not. A partition
// whose offsets are refused stops only itself.
static enum status reconcile(struct publisher *publisher, struct error *err)
{
    struct assignment *assignment = &publisher->worker->assignment;
    struct assigned held;
    for (int i = 0; assignment_at(assignment, i, &held); i++) {
        enum status status = held.refused ? STATUS_OK : reconcile_partition(publisher, &held, err);
        if (status == STATUS_REJECTED) {
            LOG_WARN("commit_refused", "reason=\"%s\"", err->message);
            assignment_refuse(assignment, held.topic, held.partition);
        } else if (status != STATUS_OK) {
            return status;
        }
    }
    remove_stale(publisher); // those of refused partitions
    publisher->unknown = false;
    return STATUS_OK;
}

static enum status ready_producer(struct publisher *publisher, struct error *err)
{
    bool doubtful = publisher->unknown || atomic_load(&publisher->signs.trouble) > 0;
    if (doubtful && !fault_is_on(FAULT_NO_RENEWAL))
        discard_producer(publisher);
    enum status status = publisher->producer ? STATUS_OK : make_producer(publisher, err);
    if (status == STATUS_OK && publisher->unknown)
        status = reconcile(publisher, err);
    return status;
}

static enum status produce_all(struct publisher *publisher, struct error *err)
{
    publisher->failed_deliveries = 0;
    for (int i = 0; i < publisher->count; i++) {
        enum status status = records_produce(publisher->producer, publisher->worker, publisher->jobs[i], err);
        if (status != STATUS_OK)
            return status;
    }
    int64_t timeout_ms = publisher->worker->transaction_timeout_ms;
    if (rd_kafka_flush(publisher->producer, (int)timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "answers were not acknowledged within %" PRId64 " ms",
                         timeout_ms);
    if (publisher->failed_deliveries > 0)
        return error_set(err, STATUS_RETRY, "%u records were refused: %s", publisher->failed_deliveries,
                         rd_kafka_err2str(publisher->refusal));
    for (int i = 0; i < publisher->count; i++)
        if (must_not_go_out(publisher->worker, publisher->jobs[i]))
            return error_set(err, STATUS_RETRY,
                             "meanwhile the clock was found wrong that refused deadlines, or the device");
    return STATUS_OK;
}

// What a worker must not do: a fault for the test that guards it.
static enum status commit_alone(struct publisher *publisher, const rd_kafka_topic_partition_list_t *offsets,
                                int64_t timeout_ms, struct error *err)
{
    enum status status = call_producer(publisher, TXN_BEGIN, NULL, timeout_ms, err);
    if (status == STATUS_OK)
        status = call_producer(publisher, TXN_OFFSETS, offsets, timeout_ms, err);
    return status == STATUS_OK ? call_producer(publisher, TXN_COMMIT, NULL, timeout_ms, err) : status;
}

static enum status transact(struct publisher *publisher, const rd_kafka_topic_partition_list_t *offsets,
                            struct error *err)
{
    int64_t timeout_ms = publisher->worker->transaction_timeout_ms;
    if (timeout_ms > CALL_TIMEOUT_MS)
        timeout_ms = CALL_TIMEOUT_MS;
    struct error ignored;
    enum status status = STATUS_OK;
    if (fault_is_on(FAULT_COMMIT_FIRST))
        status = commit_alone(publisher, offsets, timeout_ms, err);
    if (status == STATUS_OK)
        status = call_producer(publisher, TXN_BEGIN, NULL, timeout_ms, err);
    if (status == STATUS_OK)
        status = produce_all(publisher, err);
    if (status == STATUS_OK)
        status = call_producer(publisher, TXN_OFFSETS, offsets, timeout_ms, err);
    bool committing = status == STATUS_OK;
    if (committing)
        status = call_producer(publisher, TXN_COMMIT, NULL, timeout_ms, err);
    if (status == STATUS_OK) {
        committed_remember(publisher->worker, offsets);
        metrics_add(METRIC_TRANSACTIONS, TXN_COMMITTED, 1);
        return STATUS_OK;
    }
    publisher->unknown = true;
    rd_kafka_purge(publisher->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    bool aborted = !committing && !publisher->spoiled &&
                   call_producer(publisher, TXN_ABORT, NULL, ABORT_TIMEOUT_MS, &ignored) == STATUS_OK;
    metrics_add(METRIC_TRANSACTIONS, aborted ? TXN_ABORTED : TXN_UNKNOWN, 1);
    return status;
}

static enum status try_to_publish(struct publisher *publisher, bool every, bool running, struct error *err)
{
    remove_stale(publisher);
    if (publisher->count == 0 && !every)
        return STATUS_OK;
    enum status status = ready_producer(publisher, err);
    if (status != STATUS_OK || (publisher->count == 0 && !every))
        return status;
    const struct committed_want want = {.every = every, .running = running};
    rd_kafka_topic_partition_list_t *offsets =
        committed_list(publisher->worker, publisher->jobs, publisher->count, &want);
    if (offsets->cnt > 0)
        status = transact(publisher, offsets, err);
    rd_kafka_topic_partition_list_destroy(offsets);
    for (int i = publisher->count - 1; status == STATUS_OK && i >= 0; i--)
        finish_job(publisher, i);
    return status;
}

static enum status publish(struct publisher *publisher, bool every, bool running, struct error *err)
{
    enum status status = try_to_publish(publisher, every, running, err);
    if (status != STATUS_OK && status != STATUS_RETRY)
        worker_fail(publisher->worker, err);
    return status;
}

enum status publisher_publish(struct publisher *publisher, struct error *err)
{
    return publish(publisher, false, true, err);
}

enum status publisher_mark(struct publisher *publisher, bool running, struct error *err)
{
    return publish(publisher, true, running, err);
}
