// follow.h: the two topics that listen reads, feedback and predictions, into its index. Each step is one
// transaction: what was read, and the offsets behind it. Main thread.
//
// Partitions that are new since it was opened are read when it is opened again. Records that retention
// removed before they were read, and a topic that was made anew, are told of with a warning when reading
// starts: the last record read is read once more then, and another one in its place tells of another log.
#ifndef SKINSIGHT_TRAINER_LISTEN_FOLLOW_H
#define SKINSIGHT_TRAINER_LISTEN_FOLLOW_H

#include "common/services/kafka.h"
#include "trainer/listen/feedback_index.h"

struct follow;

struct follow_options {
    const struct kafka_cluster *cluster; // outlives it
    const char *feedback_topic, *predictions_topic;
    struct feedback_index *index;
    bool to_the_end;    // reads what is there now; else goes on for ever
    int64_t timeout_ms; // with to_the_end: most time without a record
};

// Connects, and starts where the index ends. RETRY: no broker answers; REJECTED: there is no such topic.
enum status follow_open(struct follow **follow, const struct follow_options *options,
                        struct error *err) MUST_CHECK;
void follow_close(struct follow *follow); // NULL is allowed

struct follow_news {
    size_t records; // read in this step
    bool labels;    // some may change what is known of an image
    bool ended;     // to_the_end: both topics are read
    bool stale;     // a topic was made anew: close, and open again to read it
};
// Reads some records; waits for the first at most wait_ms. Unless OK nothing of the step is in the index, and
// the reading is to be opened anew.
enum status follow_step(struct follow *follow, int64_t wait_ms, struct follow_news *news,
                        struct error *err) MUST_CHECK;

#endif
