// collect.h: the topics of predictions and feedback into the archive, for as long as the monitor runs, on a
// thread of its own with a connection of its own.
//
// What has arrived goes into one transaction with the offsets behind it. Where the database or the brokers
// are away, the disk is full, or a commit was not answered, the collector holds still, says so once, and goes
// on from what the archive knows. It ends by itself only when another monitor writes to the same archive, or
// when the archive can't be used at all.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_COLLECT_H
#define SKINSIGHT_MONITOR_ARCHIVE_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/program/config.h"
#include "common/services/kafka.h"

struct collect_options {
    const struct kafka_cluster *cluster; // outlives the collector, as the texts do
    const char *predictions_topic, *feedback_topic;
    const char *store;
    int64_t retention_days; // 0: nothing is forgotten
    int64_t timeout_ms;     // of one call to a broker
};

struct collect_figures {
    int64_t predictions, feedback; // records taken since the start
    int64_t refused;               // of them: none
    int64_t forgotten;             // rows that retention has dropped
    int64_t committed_at;          // Unix ms, of the newest transaction; -1: none yet
    bool reads;                    // the topics are followed
    char trouble[512];             // why not; "": nothing is wrong
    bool ended;                    // for good, with this trouble
};

struct collector;

// Starts the thread. FATAL: there is none to be had.
enum status collector_start(struct collector **collector, const struct collect_options *options,
                            struct error *err) MUST_CHECK;
void collector_figures(struct collector *collector, struct collect_figures *figures); // any thread
void collector_stop(struct collector *collector); // waits for the thread; NULL is allowed

// What is in the topics now, on the calling thread. again: what was read before is read once more, and what
// is missing in the archive comes back; older rows stay.
enum status collect_once(const struct collect_options *options, bool again, struct collect_figures *figures,
                         struct error *err) MUST_CHECK;

extern const struct option collect_flags[];
enum status collect_run(struct config *config, struct error *err); // the command collect
enum status rebuild_run(struct config *config, struct error *err); // the command rebuild
void collect_options_read(const struct config *config, struct collect_options *options);

#endif
