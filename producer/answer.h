// answer.h: one terminal record of the predictions topic, read as far as a person at a terminal needs it,
// and its two printed forms: a row of a table, a line of JSON. docs/FORMATS.md describes the record.
#ifndef SKINSIGHT_PRODUCER_ANSWER_H
#define SKINSIGHT_PRODUCER_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "producer/ledger.h"

enum { ANSWER_NAME_SIZE = 65, ANSWER_MESSAGE_SIZE = 256 };

struct answer {
    bool is_error;
    bool untrained; // model_info.trained is false
    // a prediction:
    char diagnosis[ANSWER_NAME_SIZE];
    char action[ANSWER_NAME_SIZE];
    double confidence; // 0..1
    int risk_score;    // 0..100
    // an error:
    char code[ANSWER_NAME_SIZE];
    char message[ANSWER_MESSAGE_SIZE];
    // where the job record was, -1 where the answer doesn't say:
    int32_t source_partition;
    int64_t source_offset;
};

// Reads value as the terminal record of request_id. REJECTED: it is none, or another job's; *answer is then
// not to be used. All texts in *answer are clean enough for a terminal.
enum status answer_parse(struct bytes value, const char *request_id, struct answer *answer,
                         struct error *err) MUST_CHECK;

// Columns: file, diagnosis, confidence, risk, action, ms. name_columns: width of the first one.
void answer_write_heading(FILE *out, size_t name_columns);
void answer_write_row(FILE *out, size_t name_columns, const struct ledger_entry *entry,
                      const struct answer *answer, int64_t elapsed_us);

// {"file", "request_id", "topic", "partition", "offset"} and, where record has bytes, "elapsed_ms" and the
// record itself as "answer"; one line.
void answer_write_json(FILE *out, const struct ledger_entry *entry, const char *topic, struct bytes record,
                       int64_t elapsed_us);

#endif
