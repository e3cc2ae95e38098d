// broker_limits.h: whether the brokers keep what exactly one answer for each job rests on: commit metadata as
// long as ours get, and committed offsets for as long as there are job records.
#ifndef SKINSIGHT_WORKER_GROUP_BROKER_LIMITS_H
#define SKINSIGHT_WORKER_GROUP_BROKER_LIMITS_H

#include <librdkafka/rdkafka.h>

#include "common/base/status.h"
#include "common/program/config.h"

// Broker settings as texts, empty: not known. What is not known is not judged.
struct broker_limits {
    char metadata_bytes[24];    // offset.metadata.max.bytes
    char retention_minutes[24]; // offsets.retention.minutes
    char jobs_retention_ms[24]; // retention.ms of a job topic; -1: for ever
};

// REJECTED: a broker would refuse the commits of a partition whose window is full.
enum status broker_limits_judge(const struct broker_limits *limits, int window, struct error *err) MUST_CHECK;
// Whether the brokers forget offsets before the records; the sentence says what that costs.
bool broker_limits_forget(const struct broker_limits *limits, const char *topic, struct error *note);

// Asks every broker that the cluster names, and for both job topics. note gets a sentence for what is no
// fault but had better be known: offsets forgotten too soon, or that this client may not see the settings;
// else it is empty. REJECTED as broker_limits_judge, naming the broker. Waits timeout_ms at most for each
// reply.
enum status broker_limits_check(rd_kafka_t *client, const struct config *config, int64_t timeout_ms,
                                struct error *note, struct error *err) MUST_CHECK;

#endif
