// marks.h: what a commit says of a partition beside its offsets: that it runs here, that its first record
// runs alone, that its first record is being read. A death is laid to what is marked
// (worker/group/offsets.h), so a mark is committed before its work begins. A mark that could not be committed
// is logged. Thread: consume. A call may wait for a transaction or for a broker.
#ifndef SKINSIGHT_WORKER_GROUP_MARKS_H
#define SKINSIGHT_WORKER_GROUP_MARKS_H

#include "worker/group/committed.h"

// Every partition held runs here (COMMIT_RUNNING), or from now on nowhere (COMMIT_RELEASED). A few tries:
// what is not committed now is by the next owner, or with the next answers. Caller holds
// assignment.membership.
void marks_commit(struct worker *worker, enum commit_scope scope);
// The job is about to run alone. False: it must not run yet.
bool marks_alone(struct worker *worker, struct job *job);
// The partition's first record is about to be read alone, or is not read any more. False: not committed.
bool marks_reading(struct worker *worker, const struct assigned *held, bool reading);
// The end of a partition cleared it of suspicion. Where nothing comes in, nothing else would commit that, and
// the next death would count on top.
void marks_forgiven(struct worker *worker);

#endif
