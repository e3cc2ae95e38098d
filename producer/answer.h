// answer.h: one terminal record (common/records/prediction.h) for a person at a terminal: a row of a table,
// or a line of JSON.
#ifndef SKINSIGHT_PRODUCER_ANSWER_H
#define SKINSIGHT_PRODUCER_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/records/prediction.h"
#include "producer/ledger.h"

// Reads value as the terminal record of request_id. REJECTED: it is none, or another job's; otherwise the
// caller releases *answer.
enum status answer_parse(struct bytes value, const char *request_id, struct prediction *answer,
                         struct error *err) MUST_CHECK;

// Columns: file, diagnosis, confidence, risk, action, ms, and with_known what is known of the image already.
// name_columns: width of the first one. known: NULL where there is nothing.
void answer_write_heading(FILE *out, size_t name_columns, bool with_known);
void answer_write_row(FILE *out, size_t name_columns, const struct ledger_entry *entry,
                      const struct prediction *answer, int64_t elapsed_us, const char *known);

// {"file", "request_id", "topic", "partition", "offset"} and, where record has bytes, "elapsed_ms" and the
// record itself as "answer"; one line.
void answer_write_json(FILE *out, const struct ledger_entry *entry, const char *topic, struct bytes record,
                       int64_t elapsed_us);

#endif
