// record_sender.h: an idempotent Kafka producer with delivery reports. Used by one thread.
#ifndef SKINSIGHT_COMMON_SERVICES_RECORD_SENDER_H
#define SKINSIGHT_COMMON_SERVICES_RECORD_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/services/kafka.h"

// The broker's verdict on one record.
struct delivery {
    rd_kafka_resp_err_t error; // RD_KAFKA_RESP_ERR_NO_ERROR: stored on all in-sync replicas
    int32_t partition;
    int64_t offset;
};

struct record_sender_options {
    const struct kafka_cluster *cluster;
    int64_t delivery_timeout_ms; // how long a record may stay unacknowledged
    bool quiet;                  // as in struct kafka_client_options
    // Called once for each item that record_sender_send took, from record_sender_poll or _close.
    void (*delivered)(void *context, void *item, const struct delivery *delivery);
    void *context;
};

struct record_header {
    const char *name, *value;
};

struct outgoing_record {
    const char *topic;
    struct bytes key, value; // data NULL: null
    const struct record_header *headers;
    size_t header_count;
};

struct record_sender {
    rd_kafka_t *client; // NULL: not open
    struct record_sender_options options;
    struct kafka_callbacks callbacks;
};

// Connects in the background. The sender stays where it is until it is closed.
enum status record_sender_open(struct record_sender *sender, const struct record_sender_options *options,
                               struct error *err) MUST_CHECK;
// Fetches the topic's partitions, without which the first record would wait a second.
enum status record_sender_warm_up(struct record_sender *sender, const char *topic, int64_t timeout_ms,
                                  struct error *err) MUST_CHECK;
// Copies the record. RETRY: the outgoing queue is full (poll, then try again). REJECTED: it can't be sent.
enum status record_sender_send(struct record_sender *sender, const struct outgoing_record *record, void *item,
                               struct error *err) MUST_CHECK;
// Whether librdkafka has given the producer up for good, and why: nothing can be sent until it is closed and
// opened again.
bool record_sender_is_dead(const struct record_sender *sender, char *reason, size_t size);
int record_sender_waiting(const struct record_sender *sender); // records neither acknowledged nor refused
void record_sender_poll(struct record_sender *sender, int64_t timeout_ms);
// From now on fd (an eventfd) becomes readable when there is something to poll.
void record_sender_wake(struct record_sender *sender, int fd);
// Gives up what is not acknowledged: delivered is called with an error. Safe on a zeroed sender.
void record_sender_close(struct record_sender *sender);

#endif
