// rebalance.h: what happens when partitions come and go. Thread: consume (librdkafka's callback, inside a
// poll). Eager protocol: every assignment replaces the one before.
#ifndef SKINSIGHT_WORKER_REBALANCE_H
#define SKINSIGHT_WORKER_REBALANCE_H

#include "worker/worker.h"

// Reads each partition's committed offset and bitmap, starts there, and marks the partitions as running.
void rebalance_assign(struct worker *worker, rd_kafka_t *consumer,
                      rd_kafka_topic_partition_list_t *partitions);
// Publishes what is ready and clears the mark; where the assignment was lost, drops everything instead.
void rebalance_revoke(struct worker *worker, rd_kafka_t *consumer);

#endif
