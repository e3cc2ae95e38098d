// committed.h: what is committed of a partition: read from the group's coordinator, remembered, and listed
// for the next transaction. The publisher sends what is listed here (worker/publisher.h); what the metadata
// mean stands in worker/offsets.h. Caller holds assignment.rebalance.
#ifndef SKINSIGHT_WORKER_COMMITTED_H
#define SKINSIGHT_WORKER_COMMITTED_H

#include "worker/worker.h"

// The committed offset and metadata of a partition; a caller that takes them for true remembers them. Not
// found: offset 0, nothing answered. RETRY when no broker answers, or with what lies behind what is
// remembered; FATAL (and worker_fail) where the metadata can't be read.
enum status committed_read(struct worker *worker, enum job_topic topic, int32_t partition,
                           struct offsets *offsets, bool *found, struct error *err) MUST_CHECK;

struct committed_want {
    bool every;   // of every partition; false: of those that a job in jobs came from
    bool running; // marked as worked on by this process
};
// The offsets as they will be once the jobs are answered, with their metadata. The caller destroys the list.
rd_kafka_topic_partition_list_t *committed_list(struct worker *worker, struct job *const *jobs, int count,
                                                const struct committed_want *want);

// The list is committed: nothing behind it is believed from now on.
void committed_remember(struct worker *worker, const rd_kafka_topic_partition_list_t *offsets);

#endif
