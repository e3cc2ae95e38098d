// committed.h: what is committed of a partition: read from the group's coordinator, remembered, and listed
// for the next transaction. The publisher sends what is listed here (worker/group/publisher.h); what the
// metadata mean stands in worker/group/offsets.h. committed_list and committed_remember are called with
// assignment.membership held.
#ifndef SKINSIGHT_WORKER_GROUP_COMMITTED_H
#define SKINSIGHT_WORKER_GROUP_COMMITTED_H

#include "worker/worker.h"

// What a broker gave as committed of a partition (rd_kafka_committed); a caller that takes it for true
// remembers it. Not found: offset 0, nothing answered. RETRY with the entry's error; REJECTED where the
// metadata can't be read: going on without what they say would answer jobs twice.
enum status committed_take(struct worker *worker, const rd_kafka_topic_partition_t *entry,
                           struct committed *committed, bool *found, struct error *err) MUST_CHECK;
// REJECTED for what lies behind what is remembered of the partition.
enum status committed_believe(struct worker *worker, const struct committed *committed,
                              struct error *err) MUST_CHECK;
// Asks for one partition, which committed names, takes it and believes it. RETRY also when no broker answers.
enum status committed_read(struct worker *worker, struct committed *committed, bool *found,
                           struct error *err) MUST_CHECK;

// Which partitions a commit names, and who works on them from then on.
enum commit_scope {
    COMMIT_ANSWERED, // those that a job in jobs came from: this process
    COMMIT_RUNNING,  // all that are held: this process
    COMMIT_RELEASED, // all that are held: nobody
};
// The offsets as they will be once the jobs are answered, with their metadata. The caller destroys the list.
rd_kafka_topic_partition_list_t *committed_list(struct worker *worker, struct job *const *jobs, int count,
                                                enum commit_scope scope);

// The list is committed: nothing behind it is believed from now on.
void committed_remember(struct worker *worker, const rd_kafka_topic_partition_list_t *offsets);

#endif
