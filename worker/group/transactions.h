// transactions.h: Kafka transactions, one after the other, and whether it is known how the newest ended.
//
// The rule (librdkafka speaks EndTxn v1, which a broker can't tie to a transaction): a request that
// librdkafka retried silently may arrive late and tear the next transaction. A retry can't come back before
// retry.backoff.ms, less a fifth of it by chance from librdkafka 2.3 on. So a call that took half of that, an
// error, or trouble on the wire means: finish, then go on with a new producer, whose epoch fences what is
// late.
//
// This module knows no answer. Every call wants assignment.membership held. RETRY: nothing is known to be
// committed.
#ifndef SKINSIGHT_WORKER_GROUP_TRANSACTIONS_H
#define SKINSIGHT_WORKER_GROUP_TRANSACTIONS_H

#include "worker/worker.h"

// What is told of each record that a broker took or refused, before its transaction goes on.
typedef void transactions_delivered(struct worker *worker, const rd_kafka_message_t *message);

struct transactions {
    rd_kafka_t *producer; // for the records of the one that has begun; NULL: to be made
    bool unknown;         // the newest may or may not have been committed; the caller clears it once it knows
    // their own
    struct worker *worker;
    transactions_delivered *delivered;
    struct kafka_signs signs;         // of the producer,
    struct kafka_callbacks callbacks; // and what it tells
    char id[CONFIG_TEXT_MAX + JOB_WORKER_SIZE + 2];
    bool committing;             // the newest was asked to commit
    bool spoiled;                // a call said that this producer must not be called again
    unsigned failed_deliveries;  // in the newest; only touched inside flush and produce
    rd_kafka_resp_err_t refusal; // why the last of them failed
};

// Offsets go to the group of worker->consumer. Connects when first made ready.
void transactions_init(struct transactions *transactions, struct worker *worker,
                       transactions_delivered *delivered);
void transactions_release(struct transactions *transactions); // ends the producer; it can be made anew

// There is a producer that may begin one; after trouble a new one. REJECTED: a Kafka property is wrong.
enum status transactions_make_ready(struct transactions *transactions, struct error *err) MUST_CHECK;
// In this order, with the records between the first two. Where one fails, transactions_give_up follows.
enum status transactions_begin(struct transactions *transactions, struct error *err) MUST_CHECK;
enum status transactions_deliver(struct transactions *transactions, struct error *err) MUST_CHECK;
enum status transactions_commit(struct transactions *transactions,
                                const rd_kafka_topic_partition_list_t *offsets, struct error *err) MUST_CHECK;
// Aborts it where that is still possible; its outcome is unknown from now on.
void transactions_give_up(struct transactions *transactions);

#endif
