// report.h: everything submit tells its user: rows of the table or lines of JSON on standard output,
// sentences about what went wrong on standard error, the progress bar around them. Used by one thread.
#ifndef SKINSIGHT_PRODUCER_REPORT_H
#define SKINSIGHT_PRODUCER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/program/config.h"
#include "common/program/progress.h"
#include "producer/answer.h"
#include "producer/known_labels.h"
#include "producer/ledger.h"

struct report {
    FILE *out;  // results
    FILE *talk; // sentences and the progress bar
    bool json;
    const char *topic;   // where the jobs go
    size_t name_columns; // of the table
    bool heading_written;
    bool untrained;                    // an answer came from an untrained model
    const struct known_labels *labels; // beside the answers of a table; NULL: none
    size_t rows;
    size_t known, as_known; // answers to images of which a label is known, and those that say the label
    size_t troubles;        // sentences written
    struct progress progress;
};

// librdkafka is to be silent, since the commands say what went wrong in a sentence; not where log_level asks
// for more.
bool report_is_quiet(const struct config *config);

void report_init(struct report *report, bool json, const char *topic);
// The files to come: how many there are, and how wide the table's first column has to be.
void report_set_files(struct report *report, char *const *files, size_t count);

// One sentence about something that went wrong.
void report_trouble(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);
// A job the broker has acknowledged: a line of JSON; a table says nothing yet.
void report_acknowledged(struct report *report, const struct ledger_entry *entry);
// An answer; record is the whole of it.
void report_answer(struct report *report, const struct ledger_entry *entry, const struct prediction *answer,
                   struct bytes record, int64_t elapsed_us);
// After the last: what the model is, and a sentence on standard output (none with JSON).
void report_finish(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
