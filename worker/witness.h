// witness.h: whether a partition's log is still the one that was answered. The commit metadata hold the
// digest of the newest answered record (worker/offsets.h); another log, made anew under the same name or
// grown again after it lost its end, has another record at that offset.
#ifndef SKINSIGHT_WORKER_WITNESS_H
#define SKINSIGHT_WORKER_WITNESS_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

// Over a record's key, time stamp and size; never 0.
uint64_t witness_digest(const rd_kafka_message_t *message);

#endif
