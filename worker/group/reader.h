// reader.h: reads single records of partitions with a consumer of its own, which joins no group: its errors
// disturb no other reading. It fetches one batch, of the record that is wanted, and nothing behind it;
// when it has given that record nothing is on its way, and what the process does next it does with that
// record alone. The consumer and its connections are kept from one record to the next. Thread: consume.
//
// Three read so: a careful worker, worker/stages/unreadable.h for a damaged batch, worker/group/witness.h for
// the record that tells one log from another.
#ifndef SKINSIGHT_WORKER_GROUP_READER_H
#define SKINSIGHT_WORKER_GROUP_READER_H

#include "worker/worker.h"

struct reader;

struct reader_place {
    enum job_topic topic;
    int32_t partition;
    int64_t offset;
};

struct reader_answer {
    const rd_kafka_message_t *record; // NULL: code says why
    rd_kafka_resp_err_t code;
    int64_t offset;          // of the record, of the damaged batch, or that is not in the log
    rd_kafka_event_t *event; // owns the record; NULL: no answer
};

// callbacks: of the signs, for what a broker refuses (kafka_consumer_end); NULL is allowed. REJECTED: a Kafka
// property is wrong.
enum status reader_open(struct reader **reader, struct worker *worker,
                        const struct kafka_callbacks *callbacks, struct error *err) MUST_CHECK;
// What is on its way ends with the reader: one that gave nothing has to be closed. NULL is allowed.
void reader_close(struct reader *reader);

// Begins to read there; the reader is new, or has given what was begun before. REJECTED: librdkafka refuses
// the place.
enum status reader_begin(struct reader *reader, const struct reader_place *place,
                         struct error *err) MUST_CHECK;
// The first record at or behind the place, or an error in its stead; markers of transactions are passed over.
// False: nothing has come yet. Release the answer before the reader is closed.
bool reader_poll(struct reader *reader, struct reader_answer *answer) MUST_CHECK;
// The same, waiting. False: nothing came within timeout_ms, or a stop was asked for. Nobody polls meanwhile,
// so the group's rebalances wait as well.
bool reader_wait(struct reader *reader, int64_t timeout_ms, struct reader_answer *answer) MUST_CHECK;
// Frees the batch that the record came in. Nothing happens to one that is zeroed.
void reader_answer_release(struct reader_answer *answer);

// Whether the client says with this that it can't read a batch.
bool reader_means_damaged(rd_kafka_resp_err_t code);

#endif
