// send_feedback.h: the command "feedback": the rows of a CSV become feedback records
// (common/records/feedback.h). Its columns have the names of the fields; an empty cell is an absent field.
// reviewed_at is also taken as ISO 8601 (moment.h), atypical as true, false, 1 or 0.
//
// Every row is checked before the first one is sent: a file with an error is not sent at all.
#ifndef SKINSIGHT_PRODUCER_SEND_FEEDBACK_H
#define SKINSIGHT_PRODUCER_SEND_FEEDBACK_H

#include "common/base/csv.h"
#include "common/program/config.h"
#include "common/records/feedback.h"

extern const struct option send_feedback_flags[];

// Exit code: 0 only when the broker has acknowledged every row.
enum status send_feedback_run(struct config *config, struct error *err) MUST_CHECK;

// REJECTED: a column has no field's name.
enum status feedback_columns_check(const struct csv *csv, struct error *err) MUST_CHECK;
// One row, received at that time (Unix ms). REJECTED names its line and field.
enum status feedback_of_row(const struct csv *csv, size_t row, int64_t received_at, struct feedback *feedback,
                            struct error *err) MUST_CHECK;

#endif
