// publisher.c: the group of answers that goes next, and how it is settled when an outcome is unknown.
#include "worker/group/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/faults.h"
#include "worker/group/records.h"
#include "worker/group/transactions.h"

enum {
    GROUP_LIMIT = 512,
    GROUP_BYTES = 32 << 20 // closes a group: with one more job still far from what the client queues
};

struct publisher {
    struct worker *worker;
    struct transactions transactions;
    struct job *jobs[GROUP_LIMIT];
    int count;
    size_t bytes; // that they may become on Kafka
};

static void compare_clocks(struct worker *worker, const rd_kafka_message_t *message, const struct job *job)
{
    rd_kafka_timestamp_type_t type;
    int64_t stamp_ms = rd_kafka_message_timestamp(message, &type);
    if (strcmp(rd_kafka_topic_name(message->rkt), config_text(worker->config, "predictions_topic")) == 0)
        broker_clock_take(&worker->broker_clock, job->moments[MOMENT_PUBLISHED],
                          type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? stamp_ms : -1);
}

static void take_delivery(struct worker *worker, const rd_kafka_message_t *message)
{
    struct job *job = message->_private;
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        job->oversized = true;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        compare_clocks(worker, message, job);
}

struct publisher *publisher_new(struct worker *worker)
{
    struct publisher *publisher = memory_alloc(sizeof *publisher);
    publisher->worker = worker;
    transactions_init(&publisher->transactions, worker, take_delivery);
    return publisher;
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
    transactions_release(&publisher->transactions);
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

// Those that are refused wrongly are read again: their records stay open. Stale ones are anyway.
static void remove_stale(struct publisher *publisher)
{
    struct worker *worker = publisher->worker;
    for (int i = publisher->count - 1; i >= 0; i--) {
        const struct job *job = publisher->jobs[i];
        bool current = assignment_is_current(&worker->assignment, job);
        if (current && is_refused_wrongly(worker, job))
            atomic_store(&worker->reads_again, true);
        if (!current || must_not_go_out(worker, job))
            remove_job(publisher, i);
    }
}

static void account_prediction(const struct decision *decision)
{
    metrics_add(METRIC_PREDICTIONS, decision->primary, 1);
    metrics_add(METRIC_ACTIONS, decision->action, 1);
    metrics_observe(METRIC_CONFIDENCE, 0, decision->confidence);
    for (int i = 0; i < ABSTAIN_REASON_COUNT; i++)
        if (decision->abstains[i])
            metrics_add(METRIC_ABSTENTIONS, i, 1);
    if (decision->review_within_h > 0)
        metrics_add(METRIC_REVIEWS, 0, 1);
}

static void account(const struct job *job)
{
    bool failed = job->code != JOB_OK;
    if (!failed)
        account_prediction(&job->decision);
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
    account(publisher->jobs[index]);
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
    publisher->transactions.unknown = false;
    return STATUS_OK;
}

static enum status produce_all(struct publisher *publisher, struct error *err)
{
    rd_kafka_t *producer = publisher->transactions.producer;
    enum status status = STATUS_OK;
    for (int i = 0; i < publisher->count && status == STATUS_OK; i++)
        status = records_produce(producer, publisher->worker, publisher->jobs[i], err);
    if (status == STATUS_OK)
        status = transactions_deliver(&publisher->transactions, err);
    for (int i = 0; i < publisher->count && status == STATUS_OK; i++)
        if (must_not_go_out(publisher->worker, publisher->jobs[i]))
            status = error_set(err, STATUS_RETRY,
                               "meanwhile the clock was found wrong that refused deadlines, or the device");
    return status;
}

static enum status transact(struct publisher *publisher, const rd_kafka_topic_partition_list_t *offsets,
                            struct error *err)
{
    struct transactions *transactions = &publisher->transactions;
    enum status status = STATUS_OK;
    if (fault_is_on(FAULT_COMMIT_FIRST)) { // what a worker must not do: for the test that guards it
        status = transactions_begin(transactions, err);
        if (status == STATUS_OK)
            status = transactions_commit(transactions, offsets, err);
    }
    if (status == STATUS_OK)
        status = transactions_begin(transactions, err);
    if (status == STATUS_OK)
        status = produce_all(publisher, err);
    if (status == STATUS_OK)
        status = transactions_commit(transactions, offsets, err);
    if (status == STATUS_OK)
        committed_remember(publisher->worker, offsets);
    else
        transactions_give_up(transactions);
    return status;
}

static enum status try_to_publish(struct publisher *publisher, enum commit_scope scope, struct error *err)
{
    remove_stale(publisher);
    if (publisher->count == 0 && scope == COMMIT_ANSWERED)
        return STATUS_OK;
    enum status status = transactions_make_ready(&publisher->transactions, err);
    if (status == STATUS_OK && publisher->transactions.unknown)
        status = reconcile(publisher, err);
    if (status != STATUS_OK || (publisher->count == 0 && scope == COMMIT_ANSWERED))
        return status;
    rd_kafka_topic_partition_list_t *offsets =
        committed_list(publisher->worker, publisher->jobs, publisher->count, scope);
    if (offsets->cnt > 0)
        status = transact(publisher, offsets, err);
    rd_kafka_topic_partition_list_destroy(offsets);
    for (int i = publisher->count - 1; status == STATUS_OK && i >= 0; i--)
        finish_job(publisher, i);
    return status;
}

enum status publisher_publish(struct publisher *publisher, enum commit_scope scope, struct error *err)
{
    enum status status = try_to_publish(publisher, scope, err);
    if (status != STATUS_OK && status != STATUS_RETRY)
        worker_fail(publisher->worker, "%s", err->message);
    return status;
}
