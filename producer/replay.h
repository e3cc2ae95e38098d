// replay.h: sends letters again: the job's own bytes, to the topic it came from, with the record headers
// "replayed" ("true") and "replayed_from" ("<partition>/<offset>" of the letter). Used by one thread.
#ifndef SKINSIGHT_PRODUCER_REPLAY_H
#define SKINSIGHT_PRODUCER_REPLAY_H

#include "common/program/config.h"
#include "common/services/topic_reader.h"
#include "producer/letter_list.h"
#include "producer/report.h"

struct replay_options {
    const struct config *config;
    struct topic_reader *reader; // connected and stopped; so it is afterwards
    int partitions;              // of the dead letters topic
    int64_t timeout_ms;          // most time without an acknowledgement or a letter
    struct report *report;       // troubles, lines of JSON and the progress bar
};

// Reads every entry of fate LETTER_SEND again and sends it; at the end each of them is LETTER_SENT or
// LETTER_FAILED. What was found in the list is all that is sent: a job that fails once more meanwhile makes a
// new letter, which is left alone. Any error is for the rest of the letters, not for those sent before.
enum status replay_run(const struct replay_options *options, struct letter_list *list,
                       struct error *err) MUST_CHECK;

#endif
