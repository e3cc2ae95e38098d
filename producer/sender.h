// sender.h: an idempotent Kafka producer of job records with delivery reports. Used by one thread.
#ifndef SKINSIGHT_PRODUCER_SENDER_H
#define SKINSIGHT_PRODUCER_SENDER_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/config.h"
#include "common/kafka.h"
#include "common/status.h"

// The broker's verdict on one record.
struct delivery {
    rd_kafka_resp_err_t error; // RD_KAFKA_RESP_ERR_NO_ERROR: stored on all in-sync replicas
    int32_t partition;
    int64_t offset;
};

struct sender {
    struct kafka_callbacks callbacks;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    void (*delivered)(void *context, void *item, const struct delivery *delivery);
    void *context;
};

// librdkafka's own log level: silent unless the user asked to see more, since the commands here say what went
// wrong in a sentence.
const char *sender_library_log_level(const struct config *config);

// Connects in the background; delivered and context must be set before. delivery_timeout_ms: how long a
// record may stay unacknowledged.
enum status sender_open(struct sender *sender, const struct config *config, const char *topic,
                        int64_t delivery_timeout_ms, struct error *err) MUST_CHECK;
// Fetches the topic's partitions, without which the first record would wait a second.
enum status sender_warm_up(struct sender *sender, int64_t timeout_ms, struct error *err) MUST_CHECK;
// Copies key and value. RETRY: the outgoing queue is full (poll, then try again). REJECTED: this record can't
// be sent. Once OK, delivered is called for item exactly once, from sender_poll or sender_close.
enum status sender_send(struct sender *sender, const char *key, struct bytes value, void *item,
                        struct error *err) MUST_CHECK;
void sender_poll(struct sender *sender, int64_t timeout_ms);
// From now on fd (an eventfd) becomes readable when there is something to poll.
void sender_wake(struct sender *sender, int fd);
// Gives up what is not acknowledged: delivered is called with an error. Safe on a zeroed sender.
void sender_close(struct sender *sender);

#endif
