// places.h: where partitions are to be read from: what is committed of each, and the ends of its log.
//
// Asked in few requests of bounded time: a partition without a leader, a silent broker and offsets that don't
// fit the log concern only the partitions they belong to. A topic that was deleted and made again begins
// anew. Thread: consume, also inside a rebalance.
#ifndef SKINSIGHT_WORKER_GROUP_PLACES_H
#define SKINSIGHT_WORKER_GROUP_PLACES_H

#include "worker/group/witness.h"

struct place {
    struct committed committed; // of topic and partition: offsets is where to begin, if status is OK
    bool found;                 // something is committed
    int32_t leader;             // a broker's number
    int64_t low, high;          // the log's first offset, and the one behind its last
    struct witness witness;     // offset -1: none to be asked
    enum status status;
    struct error reason;
};

// Finds out about all of them; each has its own status. RETRY: not known now; REJECTED: what is
// committed can't be believed; reason says why. What was read from the group is remembered
// (assignment_remember). Each answer is waited for ask_ms at most; for that of a leader that did not answer
// lately, not at all.
enum { PLACES_ASK_MS = 1000 };
void places_find(struct worker *worker, struct place *places, int count, int64_t ask_ms);
// Whether the logs are still those that committed.offsets tells of; RETRY where not, or where it is not
// known.
void places_verify(struct worker *worker, struct place *places, int count);

#endif
