// records.h: what a job's answer is on Kafka: a prediction or an error, and with an error a dead letter that
// holds the record's own bytes. Thread: the one that publishes.
#ifndef SKINSIGHT_WORKER_GROUP_RECORDS_H
#define SKINSIGHT_WORKER_GROUP_RECORDS_H

#include "worker/worker.h"

// Hands the records to the producer, inside its transaction. Their bytes stay the job's, which is the opaque
// of both and has to be kept until they are delivered. A record that is too large sets job->oversized. RETRY:
// the transaction can't be committed.
enum status records_produce(rd_kafka_t *producer, struct worker *worker, struct job *job,
                            struct error *err) MUST_CHECK;

#endif
