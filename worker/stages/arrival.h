// arrival.h: the job of a record that arrived. Copies what it needs: the Kafka message can be destroyed at
// once. Thread: consume.
#ifndef SKINSIGHT_WORKER_STAGES_ARRIVAL_H
#define SKINSIGHT_WORKER_STAGES_ARRIVAL_H

#include <librdkafka/rdkafka.h>

#include "worker/worker.h"

// Without the value where that is longer than any job's, which is answered unread. NULL: no memory.
struct job *arrival_job(struct worker *worker, const rd_kafka_message_t *message);
// Of a record that killed each worker that read it: nobody knows what stands in it.
struct job *arrival_unread_job(const struct assigned *held);

#endif
