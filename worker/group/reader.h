// reader.h: reads one record of a partition with a consumer of its own, which joins no group and fetches one
// batch and nothing behind it. A careful worker reads so: when the reader is closed nothing is on its way any
// more, and what the process does next it does with that one record. Thread: consume, which waits.
#ifndef SKINSIGHT_WORKER_GROUP_READER_H
#define SKINSIGHT_WORKER_GROUP_READER_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/program/config.h"
#include "common/services/kafka.h"

struct reader;

struct reader_place {
    const char *topic;
    int32_t partition;
    int64_t offset;
};

// Begins to read there. callbacks: of the signs, for what a broker refuses (kafka_consumer_end).
// REJECTED: a Kafka property is wrong.
enum status reader_open(struct reader **reader, const struct config *config,
                        const struct kafka_callbacks *callbacks, const struct reader_place *place,
                        struct error *err) MUST_CHECK;
// The first record at or behind offset, or an error in its place, as of librdkafka's consumer: the reader's,
// until it is closed. NULL: nothing came within timeout_ms, or a stop was asked for. Nobody polls meanwhile,
// so the group's rebalances wait as well.
const rd_kafka_message_t *reader_wait(struct reader *reader, int64_t timeout_ms);
void reader_close(struct reader *reader);

#endif
