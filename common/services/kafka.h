// kafka.h: what every Kafka client of SkinSight shares: its settings, what it tells its owner, logging,
// topics. The consuming and publishing themselves are others' (worker/stages/consume.c,
// worker/group/transactions.c, producer/).
#ifndef SKINSIGHT_COMMON_SERVICES_KAFKA_H
#define SKINSIGHT_COMMON_SERVICES_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

// When a broker did not know the topic, in Unix milliseconds; 0: never.
struct kafka_topic_sign {
    const char *name; // NULL: none
    atomic_llong unknown_ms;
};
enum { KAFKA_SIGN_TOPICS = 2 };

// Signs of trouble on the wire, counted by the client's own threads. The publisher renews its
// producer when the count has moved (docs/RELIABILITY.md, "Unknown outcome").
struct kafka_signs {
    atomic_uint trouble; // FAIL or REQTMOUT logged, or an error callback
    // A consumer's, with debug=topic: how often a broker refused to give records of a partition it did not
    // lead or know (BROKERUA logged), and when it did not know a topic.
    atomic_uint refused_fetches;
    struct kafka_topic_sign topics[KAFKA_SIGN_TOPICS]; // their names are the owner's to fill in
    atomic_bool session_out; // a consumer's: no coordinator answered for a whole session (SESSTMOUT logged)
};

// What a quota or an error of any client of this process was lately, as one sentence to add to another.
// False: none within the last 30 s. Any thread.
bool kafka_throttled_lately(char *sentence, size_t size);
bool kafka_error_lately(char *sentence, size_t size);
// A consumer's error that came as a message: the error callback has not seen it.
void kafka_note_error(rd_kafka_resp_err_t error);
// A broker did not know this topic just now.
void kafka_note_unknown_topic(struct kafka_topic_sign *topic);
// How long a quota made the newest request of this process's producers, or consumers, wait. Any thread.
int kafka_newest_throttle_ms(rd_kafka_type_t type);

// Of every producer. A broker takes any first sequence number from a producer it knows nothing of: where the
// first record of two on the way is refused, by a leader that is not ready yet, and the second is taken, the
// first one's repetition passes for a duplicate and is lost, acknowledged. So one is on the way at a time.
#define KAFKA_ONE_IN_FLIGHT                                                                                  \
    {                                                                                                        \
        "max.in.flight", "1"                                                                                 \
    }

struct kafka_setting {
    const char *property;
    const char *value;
};

// REJECTED: a property that librdkafka does not know, a value that it does not take, or a property that
// exactly one answer for each job rests on.
enum status kafka_property_check(const char *property, const char *value, struct error *err) MUST_CHECK;

// Where the brokers are, and what the operator sets on every client.
struct kafka_cluster {
    const char *brokers;
    const struct kafka_setting *properties; // stronger than a client's own settings
    size_t property_count;
};

// What a client tells its owner. NULL: not told. All but signs run inside a poll or a flush of the client, on
// the thread that calls it.
struct kafka_callbacks {
    struct kafka_signs *signs; // counted by the client's own threads
    void (*delivered)(void *context, const rd_kafka_message_t *message);
    void (*rebalanced)(void *context, rd_kafka_t *consumer, rd_kafka_resp_err_t event,
                       rd_kafka_topic_partition_list_t *partitions);
    void (*statistics)(void *context, struct bytes json);
    void *context;
};

struct kafka_client_options {
    rd_kafka_type_t type;
    const struct kafka_setting *settings;
    size_t setting_count;
    const struct kafka_callbacks *callbacks; // may be NULL; outlives the client
    // librdkafka logs only what is critical, and signs are not counted: of a command that says itself, in one
    // sentence, what went wrong.
    bool quiet;
};

// The client logs through log.h. REJECTED: properties that librdkafka refuses together.
enum status kafka_client_open(rd_kafka_t **client, const struct kafka_cluster *cluster,
                              const struct kafka_client_options *options, struct error *err) MUST_CHECK;

// Destroys a consumer that is closed, or never joined a group. librdkafka 2.0 may wait there for ever for a
// broker's thread where a topic was made again: once a topic was unknown, a thread of its own waits, and what
// options.callbacks pointed to has to stay until kafka_consumers_ended.
void kafka_consumer_end(rd_kafka_t *consumer);
bool kafka_consumers_ended(void);

// RETRY when no broker answers within timeout_ms: one sentence that names the brokers.
enum status kafka_ping(rd_kafka_t *client, const char *brokers, int64_t timeout_ms,
                       struct error *err) MUST_CHECK;

struct kafka_topic {
    const char *name;
    int partitions;           // wanted on creation; -1 described as absent
    int replicas;             // wanted on creation; 0: as the brokers are set
    const char *settings[10]; // name, value, name, value, ..., NULL
};

// Fills in the partitions each topic has now; -1: no such topic. RETRY when no broker answers.
enum status kafka_topics_describe(rd_kafka_t *client, struct kafka_topic *topics, size_t count,
                                  int64_t timeout_ms, struct error *err) MUST_CHECK;
// The same; REJECTED where one doesn't exist, with a sentence that says how to make it.
enum status kafka_topics_require(rd_kafka_t *client, struct kafka_topic *topics, size_t count,
                                 int64_t timeout_ms, struct error *err) MUST_CHECK;
// Creates those that don't exist; existing ones are left as they are.
enum status kafka_topics_create(rd_kafka_t *client, const struct kafka_topic *topics, size_t count,
                                int64_t timeout_ms, struct error *err) MUST_CHECK;

// What an error of a transactional call asks for (Confluent's documented triage, in one place), but for a
// time-out, which "may be called again": librdkafka 2.0 then takes a late reply to the first call for the
// second's, and its state machine can abort the process (rd_kafka_txn_endtxn_complete looks at the call's
// name).
enum kafka_outcome {
    KAFKA_DONE,
    KAFKA_AGAIN, // the same call again
    KAFKA_ABORT, // abort the transaction, begin anew
    KAFKA_RENEW, // destroy this producer, make a new one
};
// Takes the error away (destroys it); NULL is KAFKA_DONE. Writes its text to err.
enum kafka_outcome kafka_outcome_take(rd_kafka_error_t *error, struct error *err);

#endif
