// letter.h: one record of the dead letters topic (docs/FORMATS.md): a job's own key and value, and headers
// that say why and where it failed. Read, chosen by a filter, and printed. Every text in it is clean enough
// for a terminal. No state, any thread.
#ifndef SKINSIGHT_PRODUCER_LETTER_H
#define SKINSIGHT_PRODUCER_LETTER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/digest.h"
#include "common/base/json_write.h"
#include "common/records/job.h"
#include "common/services/topic_reader.h"

enum { LETTER_CODE_SIZE = 33, LETTER_MESSAGE_SIZE = 256, LETTER_TOPIC_SIZE = 250 };

struct letter {
    int32_t partition; // of the dead letters topic
    int64_t offset;
    int64_t failed_at; // Unix ms; the record's own time where the header is missing
    char code[LETTER_CODE_SIZE];
    char message[LETTER_MESSAGE_SIZE];
    char source_topic[LETTER_TOPIC_SIZE]; // empty where the headers don't say, and so is what follows
    int32_t source_partition;             // -1
    int64_t source_offset;                // -1
    char request_id[JOB_REQUEST_ID_SIZE]; // lower case; empty: none could be read
    struct digest job;                    // of source topic, key and value: the same job again has the same
    bool value_omitted;                   // only the headers were kept
    bool killer;                          // it ended its worker
};

// Takes what it can; what is missing stays empty.
void letter_read(struct letter *letter, const struct topic_record *record);

// Empty texts, and times of -1, ask for nothing.
struct letter_filter {
    const char *reason; // an error code
    const char *topic;  // the source topic
    const char *request_id;
    int64_t since, until; // Unix ms; since <= failed_at < until
};
bool letter_matches(const struct letter *letter, const struct letter_filter *filter);

// Columns: time, reason, source, request id, message.
void letter_write_heading(FILE *out, size_t source_columns);
size_t letter_source_columns(const struct letter *letter);
void letter_write_row(FILE *out, size_t source_columns, const struct letter *letter);
// Adds to an object: "partition", "offset", "failed_at", "error_code",
// "error_message", "source" (an object or null), "request_id" (or null), "value_omitted".
void letter_add_json(struct json_writer *writer, const struct letter *letter);

#endif
