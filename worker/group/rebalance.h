// rebalance.h: what happens when partitions come and go. Thread: consume (librdkafka's callback, inside a
// poll, or between two). Eager protocol: every assignment replaces the one before.
#ifndef SKINSIGHT_WORKER_GROUP_REBALANCE_H
#define SKINSIGHT_WORKER_GROUP_REBALANCE_H

#include "worker/worker.h"

// Finds out where each partition stands, starts there, and marks it as running. One whose place is not known
// is left out and stands in worker->blocked (BLOCKED_PLACE_UNKNOWN).
void rebalance_assign(struct worker *worker, rd_kafka_t *consumer,
                      const rd_kafka_topic_partition_list_t *partitions);
// A partition's log does not hold the offset that is read next. What is computed is published, what else was
// taken from the partition is dropped, and it is looked at again as those below.
void rebalance_leave_out(struct worker *worker, enum job_topic topic, int32_t partition);
// Between a poll and taking what it gave. Leaves out the partitions whose commits the publisher has refused.
// Where a broker has refused to give records, each log is looked at
// whether it is still the one that was read, and left out where it is not. True: some were, and nothing is
// paused any more.
bool rebalance_verify(struct worker *worker);
// Looks again, when it is time, where those stand that were left out, and takes in whose place is known by
// now. True: some were, so the consumer was assigned anew and nothing is paused any more. May take some
// seconds where a broker is silent.
bool rebalance_look_again(struct worker *worker);
// Gives the consumer its partitions anew, each from behind the last record taken of it: after a change of
// worker->blocked, or where reading for itself is over (worker.h, reads_alone). Nothing is paused any more.
void rebalance_read_again(struct worker *worker);
// Publishes what is ready and clears the mark; where the assignment was lost, drops everything instead.
void rebalance_revoke(struct worker *worker, rd_kafka_t *consumer);
// The consumer is closed, after a fatal error without a revoke. What it held may be another's by now, so it
// is dropped before the publisher can see the membership of the next one, which worker->consumer is
// from now on; NULL: none.
void rebalance_change_member(struct worker *worker, rd_kafka_t *next);

#endif
