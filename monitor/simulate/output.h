// output.h: where simulated records go: three files in a new folder, or two topics of Kafka.
//
// Files: FOLDER/predictions.jsonl and feedback.jsonl, a record on a line, and truth.csv. They are written
// under FOLDER.part, which gets its name when all is there. Kafka: the keys are a worker's and a clinic's;
// the truth goes nowhere. One thread.
#ifndef SKINSIGHT_MONITOR_SIMULATE_OUTPUT_H
#define SKINSIGHT_MONITOR_SIMULATE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/services/record_sender.h"

enum output_kind { OUTPUT_PREDICTIONS, OUTPUT_FEEDBACK, OUTPUT_TRUTH, OUTPUT_KINDS };

struct output {
    const char *folder; // NULL: Kafka
    char *part;         // FOLDER.part
    FILE *files[OUTPUT_KINDS];

    const char *topics[OUTPUT_KINDS]; // of OUTPUT_TRUTH NULL
    struct record_sender sender;
    int64_t timeout_ms, heard_ms; // heard_ms: when the newest acknowledgement came, monotonic
    uint64_t sent, acknowledged, refused;
    const char *refusal; // the last one's reason
};

// REJECTED: the folder is there already. FATAL: it can't be made.
enum status output_open_files(struct output *output, const char *folder, struct error *err) MUST_CHECK;

struct output_topics {
    const struct kafka_cluster *cluster;
    const char *predictions, *feedback;
    int64_t timeout_ms; // without any acknowledgement
};
// RETRY: no broker answers. REJECTED: a topic is not there.
enum status output_open_topics(struct output *output, const struct output_topics *topics,
                               struct error *err) MUST_CHECK;

// Waits while Kafka's outgoing queue is full. RETRY: the broker acknowledges nothing any more, or a stop was
// asked for.
enum status output_add(struct output *output, enum output_kind kind, const char *key, struct bytes record,
                       struct error *err) MUST_CHECK;
// All records are safe: the folder has its name, or the broker has acknowledged each of them.
enum status output_finish(struct output *output, struct error *err) MUST_CHECK;
void output_close(struct output *output); // safe on a zeroed one

#endif
