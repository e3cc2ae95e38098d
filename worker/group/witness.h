// witness.h: whether a partition's log is still the one that was answered. The commit metadata hold the
// digest of the newest answered record (worker/group/offsets.h); another log, made anew under the same name
// or grown again after it lost its end, has another record at that offset.
#ifndef SKINSIGHT_WORKER_GROUP_WITNESS_H
#define SKINSIGHT_WORKER_GROUP_WITNESS_H

#include "worker/worker.h"

// Over a record's key, time stamp and size; never 0.
uint64_t witness_digest(const rd_kafka_message_t *message);

// DAMAGED: no client can read the batch it lies in, so nothing is known of it.
enum witness_answer { WITNESS_UNKNOWN, WITNESS_SAME, WITNESS_OTHER, WITNESS_DAMAGED };
struct witness {
    enum job_topic topic;
    int32_t partition;
    int64_t offset; // lies in the log
    uint64_t digest;
    enum witness_answer answer; // UNKNOWN at first
    int64_t time_ms; // the broker's, of the record or of the next one where there is none; 0: a client's
};
// Reads the record of each and compares; what can't be read within timeout_ms stays UNKNOWN. By a consumer of
// its own, which joins no group.
void witness_ask(struct worker *worker, struct witness *witnesses, int count, int64_t timeout_ms);

#endif
