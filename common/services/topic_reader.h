// topic_reader.h: reads the partitions of a topic from given offsets, as a read_committed reader, up to their
// ends or for ever. No group is joined, so none has to be allowed, created or forgotten. Used by one thread.
//
//     open -> connect -> find_... -> start -> take ... or read -> stop -> start again, or close
#ifndef SKINSIGHT_COMMON_SERVICES_TOPIC_READER_H
#define SKINSIGHT_COMMON_SERVICES_TOPIC_READER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/services/kafka.h"

struct topic_reader;

struct topic_reader_options {
    const struct kafka_cluster *cluster; // outlives the reader
    const char *topic;
    bool follow; // goes on behind the ends of the partitions
    bool quiet;  // as in struct kafka_client_options
};

// A record as it came; borrowed until the function that takes it returns.
struct topic_record {
    int32_t partition;
    int64_t offset;
    int64_t timestamp;                 // Unix ms, of the broker or the sender; -1: none
    const rd_kafka_headers_t *headers; // NULL: none
    struct bytes key, value;           // data NULL: null
};

// Of one partition: from first up to, not including, end.
struct topic_range {
    int64_t first; // an offset, or RD_KAFKA_OFFSET_BEGINNING; RD_KAFKA_OFFSET_END: not read at all
    int64_t end;   // an offset; INT64_MAX: up to the partition's end, or with follow for ever
};

// Takes one record; false: that was enough.
struct topic_taker {
    bool (*take)(void *context, const struct topic_record *record);
    void *context;
};

// Makes the client, which connects in the background.
enum status topic_reader_open(struct topic_reader **reader, const struct topic_reader_options *options,
                              struct error *err) MUST_CHECK;
void topic_reader_close(struct topic_reader *reader); // NULL is allowed

// How many partitions the topic has by now. At any time. RETRY: no broker answers; REJECTED: there is no such
// topic, or too many partitions.
enum status topic_reader_count(struct topic_reader *reader, int64_t timeout_ms, int *partitions,
                               struct error *err) MUST_CHECK;
// Counts the partitions that are read from the next start on. Not between start and stop.
enum status topic_reader_connect(struct topic_reader *reader, int64_t timeout_ms, int *partitions,
                                 struct error *err) MUST_CHECK;

// Fills in a range for each partition: what will be written from now on. RETRY: a broker is away.
enum status topic_reader_find_ends(struct topic_reader *reader, int64_t timeout_ms,
                                   struct topic_range *ranges, struct error *err) MUST_CHECK;
// The same, for what the broker still has: from the first record to the present end.
enum status topic_reader_find_bounds(struct topic_reader *reader, int64_t timeout_ms,
                                     struct topic_range *ranges, struct error *err) MUST_CHECK;
// The same, for what was stamped at since (Unix ms) or later; all there is where since is negative.
enum status topic_reader_find_time(struct topic_reader *reader, int64_t since, int64_t timeout_ms,
                                   struct topic_range *ranges, struct error *err) MUST_CHECK;

// ranges: one for each partition, copied. FATAL: librdkafka can't read one.
enum status topic_reader_start(struct topic_reader *reader, const struct topic_range *ranges,
                               struct error *err) MUST_CHECK;
void topic_reader_stop(struct topic_reader *reader); // then another start is possible; close stops too
// After a start: fd (an eventfd) becomes readable when there is something to take.
void topic_reader_wake(struct topic_reader *reader, int fd);

// Gives what has arrived to the taker. Does not wait.
void topic_reader_take(struct topic_reader *reader, const struct topic_taker *taker);
// Gives every record of the ranges to the taker, or until it has had enough. RETRY: nothing came for
// timeout_ms; FATAL: interrupted.
enum status topic_reader_read(struct topic_reader *reader, const struct topic_taker *taker,
                              int64_t timeout_ms, struct error *err) MUST_CHECK;

#endif
