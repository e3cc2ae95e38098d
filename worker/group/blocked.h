// blocked.h: the partitions that are this worker's and are not read for now, with the reason of each.
//
// One bad partition stops only itself: it is put here with a cause and a sentence, the others go on, and it
// is taken out when it is read again. The consume thread adds and removes; metrics and /readyz read. An
// assignment begins with an empty table. One lock, held for a moment.
#ifndef SKINSIGHT_WORKER_GROUP_BLOCKED_H
#define SKINSIGHT_WORKER_GROUP_BLOCKED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "worker/job.h"

enum blocked_cause {
    BLOCKED_PLACE_UNKNOWN, // the committed offset and the ends of the log can't be read, or don't fit
                           // together
    BLOCKED_UNREADABLE,    // a batch of records that no client can read
    BLOCKED_CAUSE_COUNT
};

struct blocked_partition {
    enum job_topic topic;
    int32_t partition;
    enum blocked_cause cause;
    int64_t since_ms; // monotonic: when the cause was first given
    struct error reason;
    struct error told; // the reason that was news last, and when
    int64_t told_ms;
};

struct blocked {
    pthread_mutex_t lock;
    struct blocked_partition *partitions; // guarded by lock
    int count;
};

void blocked_init(struct blocked *blocked);
void blocked_release(struct blocked *blocked);
void blocked_clear(struct blocked *blocked);

// Adds the partition, or changes its reason; another cause begins a new time. True: it is news, as is another
// reason some seconds after the last news: a log that grows changes its sentence all the time.
bool blocked_add(struct blocked *blocked, enum job_topic topic, int32_t partition, enum blocked_cause cause,
                 const struct error *reason);
// Where it is there for that cause: another that came meanwhile stays. True: it was.
bool blocked_remove(struct blocked *blocked, enum job_topic topic, int32_t partition,
                    enum blocked_cause cause);
bool blocked_holds(struct blocked *blocked, enum job_topic topic, int32_t partition);
// A copy of entry index, for walking; false past the end. An entry may be passed over or seen twice while the
// consume thread changes the table.
bool blocked_at(struct blocked *blocked, int index, struct blocked_partition *copy);

#endif
