// followed.h: one topic on its way into the archive: where to start, what has come since, and the offsets
// that go with it into the transaction. Owned by collect.c; one thread.
//
//     open -> take, steps, (archive_append) -> committed -> take ... -> close
//
// The record in front of the place where reading goes on is read once more: where it is another one than it
// was, or is gone without retention, the topic was made anew.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_FOLLOWED_H
#define SKINSIGHT_MONITOR_ARCHIVE_FOLLOWED_H

#include <stdatomic.h>

#include "common/services/topic_reader.h"
#include "monitor/archive/archive.h"

enum followed_kind { FOLLOWED_PREDICTIONS, FOLLOWED_FEEDBACK, FOLLOWED_KINDS };

// What outlives an opening. Zeros: nothing yet.
struct followed_told {
    int64_t refused[ARCHIVE_PARTITIONS_MOST]; // up to this offset, not included, refused records were told of
};

struct followed_options {
    const struct kafka_cluster *cluster;
    const char *topic;
    enum followed_kind kind;
    bool to_the_end; // what is there now; else for ever
    bool again;      // what was read before too, from the first record that the broker still has
    int wake_fd;     // becomes readable when there is something to take
    int64_t timeout_ms;
    struct followed_told *told; // the caller's
};

struct followed_place {
    struct archive_position known;   // in the archive
    struct archive_position reached; // with what was taken
    int64_t refused;                 // taken since, and none
    bool moved;                      // taken since
    bool asked;                      // the record in front of the known place is still to be read once more
};

struct followed {
    struct followed_options options;
    int64_t log;
    struct topic_reader *reader;
    int partitions;
    struct followed_place *places;
    bool made_anew; // some record is another one than it was
    bool ended;     // to_the_end: there is nothing left
    size_t told;    // refused records that were told one by one
    // of the present take
    struct archive_batch *batch;
    size_t taken;
    enum status status;
    struct error *err;
};

// Makes the topic's log, where it has none. RETRY: a broker or the database is away. REJECTED: there is no
// such topic. followed_close takes one that failed.
enum status followed_open(struct followed *followed, const struct followed_options *options,
                          struct archive *archive, struct error *err) MUST_CHECK;
void followed_close(struct followed *followed);

// Gives what has arrived to the batch, which is empty of this kind; at most as much as it holds.
enum status followed_take(struct followed *followed, struct archive_batch *batch,
                          struct error *err) MUST_CHECK;
// Each partition is the one that was read before.
bool followed_is_sure(const struct followed *followed);
// Appends a step for each partition that moved; returns their number.
size_t followed_steps(const struct followed *followed, struct archive_step *steps);
int64_t followed_refused(const struct followed *followed); // in these steps
void followed_committed(struct followed *followed);        // the steps are in the archive

#endif
