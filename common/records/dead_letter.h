// dead_letter.h: the headers of a record in the dead letters topic, written and read. They say why and where
// a job failed; the record's key and value are the job's own. docs/FORMATS.md has them one by one. Any
// thread.
#ifndef SKINSIGHT_COMMON_RECORDS_DEAD_LETTER_H
#define SKINSIGHT_COMMON_RECORDS_DEAD_LETTER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

// What is absent: texts are NULL, numbers -1. Texts that were read are the headers' bytes, any bytes.
struct dead_letter {
    const char *error_code;
    const char *error_message;
    const char *source_topic;
    int32_t source_partition;
    int64_t source_offset;
    int64_t failed_at; // Unix ms
    const char *worker;
    bool value_omitted; // the record's value was not kept
    bool key_omitted;   // nor its key
    bool replayed;      // the job had been sent again from the dead letters before
};

// The headers are the caller's, until it produces a record with them.
rd_kafka_headers_t *dead_letter_headers(const struct dead_letter *letter);

// Takes what it can. The texts live as long as the headers, which may be NULL.
void dead_letter_read(struct dead_letter *letter, const rd_kafka_headers_t *headers);

#endif
