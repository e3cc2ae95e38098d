// unreadable.h: batches of records that no client can read: their bytes are damaged, or inflate without end.
//
// Such a batch stops its own partition and nothing else. The partition is put into worker->blocked, which
// takes it from the consumer: what that has delivered beyond the batch is dropped, since it would make the
// batch look like a gap, answered. A reader of its own reads the place again. Once it can be read, the
// consumer gets the partition back. Where it can't for unreadable_after_s (0: for ever), it looks for the
// batch's end, since the client tells only where it begins; each offset up to there becomes a job that has
// failed with record_unreadable and is answered as every other; then the partition is read behind it.
//
// How long a batch has been waited for outlives rebalances, as long as the process lives. Thread: consume.
#ifndef SKINSIGHT_WORKER_STAGES_UNREADABLE_H
#define SKINSIGHT_WORKER_STAGES_UNREADABLE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "worker/stages/intake.h"

struct unreadable;

struct unreadable *unreadable_new(struct worker *worker, struct intake *intake);
void unreadable_free(struct unreadable *unreadable); // NULL is allowed

// What the consumer delivered. True: it is nothing to take: it says that a batch can't be read, comes of
// having read one, or is of a partition that waits.
bool unreadable_takes(struct unreadable *unreadable, const rd_kafka_message_t *message);
// Goes a step on, between two polls. True: the next step should come soon.
bool unreadable_step(struct unreadable *unreadable);
// True once after each change of worker->blocked: the consumer is to be given its partitions anew.
bool unreadable_asks(struct unreadable *unreadable);
// The assignment ends.
void unreadable_forget(struct unreadable *unreadable);
// The same for partitions that are not ours any more: met again, they are looked at anew.
void unreadable_forget_left_out(struct unreadable *unreadable);

#endif
