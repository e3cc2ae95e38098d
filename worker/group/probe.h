// probe.h: looks what a client reads at one offset of a partition, with a consumer of its own that joins no
// group: whatever it meets there disturbs no other partition. One place at a time, nothing waits. Thread:
// consume.
#ifndef SKINSIGHT_WORKER_GROUP_PROBE_H
#define SKINSIGHT_WORKER_GROUP_PROBE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/program/config.h"

struct probe;

enum probe_result {
    PROBE_WAITING,
    PROBE_READABLE, // a record, or the log's end, or no place in the log: nothing damaged
    PROBE_DAMAGED,  // the next batch can't be read; it may begin before the offset
    PROBE_FAILED    // the broker does not tell now
};

// REJECTED: a Kafka property is wrong.
enum status probe_open(struct probe **probe, const struct config *config, struct error *err) MUST_CHECK;
void probe_close(struct probe *probe); // NULL is allowed

// Begins to look; what an earlier call began is given up.
void probe_begin(struct probe *probe, const char *topic, int32_t partition, int64_t offset);
void probe_cancel(struct probe *probe);
// *base: of the damaged batch.
enum probe_result probe_poll(struct probe *probe, int64_t *base);

// Whether the client says with this that it can't read a batch.
bool probe_means_damaged(rd_kafka_resp_err_t code);

#endif
