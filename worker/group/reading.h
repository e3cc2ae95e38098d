// reading.h: how far the reading of each partition has come, and which of them give nothing.
//
// librdkafka tells once a second what it knows of each partition (its statistics), and once each error. From
// that, two things are found that nothing of ours holds up: a partition, or a whole topic, that the broker
// refuses or has no leader for; and one where nothing can be read because a transaction hangs open, so that
// the last stable offset stands still below the high watermark. What lasts longer than a session is said: in
// the log once, in the metrics, and by /readyz. worker/group/blocked.h has the partitions that the worker
// itself does not read.
//
// The consume thread writes; /readyz and /metrics read. One lock, held for a moment.
#ifndef SKINSIGHT_WORKER_GROUP_READING_H
#define SKINSIGHT_WORKER_GROUP_READING_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "worker/job.h"

struct worker;

enum reading_cause { READING_GOES_ON, READING_REFUSED, READING_TRANSACTION_OPEN };

struct reading_partition {
    enum job_topic topic;
    int32_t partition;
    int64_t position, high, stable; // next offset to read, high watermark, last stable offset; -1: unknown
    enum reading_cause cause;
    int64_t since_ms; // monotonic: of the cause
    bool told;        // in the log
};

// What the broker said of a topic last. missing: of all of it, so that it has no partitions here.
struct reading_topic {
    struct error reason; // empty: nothing
    bool missing;
    int64_t asked_ms; // monotonic: when it was last asked whether the topic is still missing
};

struct reading {
    pthread_mutex_t lock;
    struct reading_partition *partitions; // guarded by lock
    int count;
    struct reading_topic topics[TOPIC_COUNT];
};

void reading_init(struct reading *reading);
void reading_release(struct reading *reading);

// The consumer's statistics (struct kafka_callbacks); worker is a struct worker.
void reading_take_statistics(void *worker, struct bytes json);
// An error that the consumer gave about a topic or one of its partitions.
void reading_note_error(struct worker *worker, const rd_kafka_message_t *message);
// Asks, every few seconds, whether topics that were missing are there again. May take a second while no
// broker answers.
void reading_look_for_topics(struct worker *worker);

// Whether any partition of this worker is not read for now, worker->blocked among them; reason then names the
// first. NOTHING_READ: none of its partitions is read.
enum reading_state { ALL_READ, SOME_NOT_READ, NOTHING_READ };
enum reading_state reading_say(struct worker *worker, char *reason, size_t size);

// Writes the metrics of each partition from now on; worker must outlive the last scrape.
void reading_publish_metrics(struct worker *worker);

#endif
