// transactions.c: the transactional producer: made, called, and made anew.
#include "worker/group/transactions.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/faults.h"

enum {
    RETRY_BACKOFF_MS =
        1500, // twice what send_offsets takes, three requests at most, at 200 ms each, and more
    SUSPICIOUS_MS = RETRY_BACKOFF_MS / 2,
    CALL_TIMEOUT_MS = 5000, // a frozen coordinator is left then, and another one looked for
    ABORT_TIMEOUT_MS = 2000
};

void transactions_init(struct transactions *transactions, struct worker *worker,
                       transactions_delivered *delivered)
{
    *transactions = (struct transactions){.worker = worker, .delivered = delivered};
    snprintf(transactions->id, sizeof transactions->id, "%s-%s", config_text(worker->config, "group"),
             worker->instance);
}

void transactions_release(struct transactions *transactions)
{
    if (!transactions->producer)
        return;
    rd_kafka_purge(transactions->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(transactions->producer);
    transactions->producer = NULL;
    transactions->spoiled = false;
    metrics_add(METRIC_PRODUCER_RENEWALS, 0, 1);
}

static int64_t call_timeout_ms(const struct transactions *transactions)
{
    int64_t timeout_ms = transactions->worker->transaction_timeout_ms;
    return timeout_ms < CALL_TIMEOUT_MS ? timeout_ms : CALL_TIMEOUT_MS;
}

static void on_delivery(void *context, const rd_kafka_message_t *message)
{
    struct transactions *transactions = context;
    transactions->delivered(transactions->worker, message);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    transactions->failed_deliveries++;
    transactions->refusal = message->err;
    LOG_INFO("delivery_failed", "reason=\"%s\"", rd_kafka_err2str(message->err));
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

static rd_kafka_error_t *invoke(struct transactions *transactions, enum txn_call call,
                                const rd_kafka_topic_partition_list_t *offsets, int timeout_ms)
{
    switch (call) {
    case TXN_INIT:
        return rd_kafka_init_transactions(transactions->producer, timeout_ms);
    case TXN_BEGIN:
        return rd_kafka_begin_transaction(transactions->producer);
    case TXN_OFFSETS: {
        rd_kafka_consumer_group_metadata_t *group =
            rd_kafka_consumer_group_metadata(transactions->worker->consumer);
        // Asked after it.
        rd_kafka_error_t *error =
            place_is_lost(transactions->worker->consumer)
                ? rd_kafka_error_new(RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, "the assignment is lost")
                : rd_kafka_send_offsets_to_transaction(transactions->producer, offsets, group, timeout_ms);
        rd_kafka_consumer_group_metadata_destroy(group);
        return error;
    }
    case TXN_COMMIT:
        return rd_kafka_commit_transaction(transactions->producer, timeout_ms);
    case TXN_ABORT:
        return rd_kafka_abort_transaction(transactions->producer, timeout_ms);
    }
    return NULL;
}

static enum status call_producer(struct transactions *transactions, enum txn_call call,
                                 const rd_kafka_topic_partition_list_t *offsets, int64_t timeout_ms,
                                 struct error *err)
{
    static const char *const names[] = {"init_transactions", "begin_transaction", "send_offsets", "commit",
                                        "abort"};
    int64_t begun_ms = clock_monotonic_ms(), left_ms = timeout_ms;
    enum kafka_outcome outcome = KAFKA_AGAIN;
    while (outcome == KAFKA_AGAIN && left_ms > 0) {
        outcome = kafka_outcome_take(invoke(transactions, call, offsets, (int)left_ms), err);
        left_ms = timeout_ms - (clock_monotonic_ms() - begun_ms);
    }
    if (call != TXN_INIT && timeout_ms - left_ms >= SUSPICIOUS_MS)
        atomic_fetch_add(&transactions->signs.trouble, 1);
    if (outcome == KAFKA_DONE)
        return STATUS_OK;
    transactions->spoiled = outcome == KAFKA_RENEW;
    error_prefix(err, "%s", names[call]);
    return STATUS_RETRY;
}

static enum status warm_topic(struct transactions *transactions, const char *option, struct error *err)
{
    // A transactional producer's first record to a topic waits a second unless its metadata is there.
    const char *name = config_text(transactions->worker->config, option);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(transactions->producer, name, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(transactions->producer, 0, topic, &metadata,
                                                   (int)transactions->worker->transaction_timeout_ms);
    rd_kafka_topic_destroy(topic);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "metadata of '%s': %s", name, rd_kafka_err2str(result));
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

static enum status make_producer(struct transactions *transactions, struct error *err)
{
    char timeout[24], delivery[24], backoff[24], request[24];
    int64_t timeout_ms = transactions->worker->transaction_timeout_ms;
    snprintf(timeout, sizeof timeout, "%" PRId64, timeout_ms);
    snprintf(delivery, sizeof delivery, "%" PRId64, timeout_ms * 6 / 10);
    snprintf(backoff, sizeof backoff, "%d", RETRY_BACKOFF_MS);
    snprintf(request, sizeof request, "%" PRId64, call_timeout_ms(transactions));
    const struct kafka_setting settings[] = {
        {"transactional.id", transactions->id},
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
                                           .callbacks = &transactions->callbacks};
    transactions->callbacks = (struct kafka_callbacks){
        .signs = &transactions->signs, .delivered = on_delivery, .context = transactions};
    enum status status =
        kafka_client_open(&transactions->producer, config_kafka(transactions->worker->config), &options, err);
    if (status == STATUS_OK)
        status = warm_topic(transactions, "predictions_topic", err);
    if (status == STATUS_OK)
        status = warm_topic(transactions, "dead_letters_topic", err);
    if (status == STATUS_OK)
        status = call_producer(transactions, TXN_INIT, NULL, timeout_ms, err);
    if (status != STATUS_OK)
        transactions_release(transactions);
    atomic_store(&transactions->signs.trouble, 0);
    return status;
}

enum status transactions_make_ready(struct transactions *transactions, struct error *err)
{
    bool doubtful = transactions->unknown || atomic_load(&transactions->signs.trouble) > 0;
    if (doubtful && !fault_is_on(FAULT_NO_RENEWAL))
        transactions_release(transactions);
    return transactions->producer ? STATUS_OK : make_producer(transactions, err);
}

enum status transactions_begin(struct transactions *transactions, struct error *err)
{
    transactions->failed_deliveries = 0;
    transactions->committing = false;
    return call_producer(transactions, TXN_BEGIN, NULL, call_timeout_ms(transactions), err);
}

enum status transactions_deliver(struct transactions *transactions, struct error *err)
{
    int64_t timeout_ms = transactions->worker->transaction_timeout_ms;
    if (rd_kafka_flush(transactions->producer, (int)timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "answers were not acknowledged within %" PRId64 " ms",
                         timeout_ms);
    if (transactions->failed_deliveries > 0)
        return error_set(err, STATUS_RETRY, "%u records were refused: %s", transactions->failed_deliveries,
                         rd_kafka_err2str(transactions->refusal));
    return STATUS_OK;
}

enum status transactions_commit(struct transactions *transactions,
                                const rd_kafka_topic_partition_list_t *offsets, struct error *err)
{
    int64_t timeout_ms = call_timeout_ms(transactions);
    enum status status = call_producer(transactions, TXN_OFFSETS, offsets, timeout_ms, err);
    transactions->committing = status == STATUS_OK;
    if (status == STATUS_OK)
        status = call_producer(transactions, TXN_COMMIT, NULL, timeout_ms, err);
    if (status == STATUS_OK)
        metrics_add(METRIC_TRANSACTIONS, TXN_COMMITTED, 1);
    return status;
}

void transactions_give_up(struct transactions *transactions)
{
    struct error ignored;
    transactions->unknown = true;
    rd_kafka_purge(transactions->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    bool aborted = !transactions->committing && !transactions->spoiled &&
                   call_producer(transactions, TXN_ABORT, NULL, ABORT_TIMEOUT_MS, &ignored) == STATUS_OK;
    metrics_add(METRIC_TRANSACTIONS, aborted ? TXN_ABORTED : TXN_UNKNOWN, 1);
}
