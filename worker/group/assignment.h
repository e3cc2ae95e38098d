// assignment.h: the partitions this worker holds now, and how far each has come.
//
// Two locks. `membership` protects what neither a transaction nor a rebalance may see change halfway: which
// partitions are held, the consumer that is the group's member, and the publisher that commits for it. It is
// held through each of them, for seconds perhaps. The table's own lock is internal and short. Every
// assignment of a partition gets a new epoch; a job carries the epoch it was taken under and is dropped once
// that is no longer the partition's.
#ifndef SKINSIGHT_WORKER_GROUP_ASSIGNMENT_H
#define SKINSIGHT_WORKER_GROUP_ASSIGNMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/group/offsets.h"
#include "worker/job.h"

struct assigned {
    enum job_topic topic;
    int32_t partition;
    uint32_t epoch;
    struct offsets offsets;
    int64_t taken; // the last record taken; -1: none
    uint64_t taken_digest;
    bool refused;  // assignment_refuse
    bool disowned; // assignment_disown
};

// What is known to be committed of a partition, held by this worker or not.
struct committed {
    enum job_topic topic;
    int32_t partition;
    struct offsets offsets;
};

struct known_log {
    struct committed committed;
    int64_t seen_ms;         // Unix: when the log was last seen to be the one that was answered; 0: never
    bool anew;               // it was begun anew, and nothing is known to be committed since
    struct offsets replaced; // what was committed of the log before that one
};

struct assignment {
    pthread_mutex_t membership;
    pthread_mutex_t lock;
    struct known_log *known; // guarded by lock; of every partition this process has held
    int known_count;
    struct assigned *partitions; // guarded by lock
    int count;
    uint32_t last_epoch;
};

void assignment_init(struct assignment *assignment);
void assignment_release(struct assignment *assignment);

// Caller holds membership for these four.
void assignment_add(struct assignment *assignment, enum job_topic topic, int32_t partition,
                    const struct offsets *offsets);
void assignment_remove(struct assignment *assignment, enum job_topic topic, int32_t partition);
// Before it is removed: commits name no owner of it any more, or else the next owner would count a death.
void assignment_disown(struct assignment *assignment, enum job_topic topic, int32_t partition);
void assignment_clear(struct assignment *assignment); // eager protocol: all go at once

// Names the partition's present assignment, which a record that arrives now is of; 0: it is not ours.
uint32_t assignment_epoch(struct assignment *assignment, enum job_topic topic, int32_t partition);
enum assignment_take { TAKE_NEW, TAKE_ANSWERED, TAKE_NO_ROOM, TAKE_NOT_OURS };
// NOT_OURS also where the assignment that job->epoch names is over. Fills in job->attempt, careful and
// convicted on TAKE_NEW.
enum assignment_take assignment_take(struct assignment *assignment, struct job *job);
bool assignment_is_current(struct assignment *assignment, const struct job *job);
// The job's answer is committed.
void assignment_finish(struct assignment *assignment, const struct job *job);

// A broker that comes back may give away committed offsets before it has read all of them again. A worker
// that began there would answer a second time what has been answered. What this process has read or committed
// itself is remembered, and nothing behind that is believed.
void assignment_remember(struct assignment *assignment, const struct committed *committed);
// The same where the log is another one and is begun anew: replaced is of the log before.
void assignment_begin_anew(struct assignment *assignment, const struct committed *committed,
                           const struct offsets *replaced);
bool assignment_is_anew(struct assignment *assignment, enum job_topic topic, int32_t partition);
// The log was seen at that time (Unix) to be the one that was answered. A topic that was unknown before then
// has not been made again since. log_seen_ms: 0: never.
void assignment_saw_log(struct assignment *assignment, enum job_topic topic, int32_t partition,
                        int64_t at_ms);
int64_t assignment_log_seen_ms(struct assignment *assignment, enum job_topic topic, int32_t partition);
// Copies what is remembered of the partition that committed names; false: nothing is.
bool assignment_recall(struct assignment *assignment, struct committed *committed);
// Whether something that was known to be answered is open in it.
bool assignment_went_back(struct assignment *assignment, const struct committed *committed);
// After a commit whose outcome was not known: what it turns out to name is answered, also where the job is no
// longer held. Else the next commit would open it again. False: it names records that were never taken from
// the partition, so it is of another log, and nothing has changed.
bool assignment_catch_up(struct assignment *assignment, const struct committed *committed);
// What is committed of the partition does not fit what was taken from it: nothing of it is published or taken
// any more, and its jobs are stale, until the consume thread leaves it out. Entries keep their places, since
// that thread walks them without membership. Caller holds membership.
void assignment_refuse(struct assignment *assignment, enum job_topic topic, int32_t partition);

// The strongest caution any partition asks for.
enum offsets_caution assignment_caution(struct assignment *assignment);
// The partition has been read to its end: once none of its records is open, no record of it killed anyone.
// True: that cleared it of suspicion just now.
bool assignment_reach_end(struct assignment *assignment, enum job_topic topic, int32_t partition);
// The offset behind the last one taken; -1: the partition is not ours.
int64_t assignment_next(struct assignment *assignment, enum job_topic topic, int32_t partition);
bool assignment_holds(struct assignment *assignment, enum job_topic topic, int32_t partition);
// first of the job's partition is about to run alone, so that another death will convict it. Caller holds
// membership.
void assignment_set_alone(struct assignment *assignment, const struct job *job);
// The same while it is about to be read, until that gave nothing. held: a copy of its partition's entry.
void assignment_set_reading(struct assignment *assignment, const struct assigned *held, bool reading);

int assignment_count(struct assignment *assignment);
// A copy of entry index, for walking; false past the end. Stable only while the caller holds membership.
bool assignment_at(struct assignment *assignment, int index, struct assigned *copy);

#endif
