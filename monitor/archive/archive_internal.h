// archive_internal.h: the archive's tables, and how a record lies in them. Only monitor/archive includes it.
//
// A digest or UUID is its bytes, empty where it is absent. numbers are the floats of struct analysis in the
// order of number_at (batch.c), moments its eight times, both with the lowest byte first; both empty where
// nothing is in them. digest is of an imported record's bytes, so that it is imported once; of a topic's
// record it is null, and unique indexes don't look at it.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_ARCHIVE_INTERNAL_H
#define SKINSIGHT_MONITOR_ARCHIVE_ARCHIVE_INTERNAL_H

#include "common/records/feedback.h"
#include "common/services/sql.h"
#include "monitor/archive/archive.h"

struct truths; // truths.h

struct archive {
    struct sql *sql;
    struct truths *truths;            // of the last walk; NULL: none
    struct archive_as_of truths_of;   // which it was made for
    char writer[JOB_REQUEST_ID_SIZE]; // in the offsets that it advances
};

#define VALUES(...)                                                                                          \
    (const struct sql_value[]){__VA_ARGS__},                                                                 \
        sizeof((struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)

enum { UUID_SIZE = 16 };

// Whether a row may be known: archive_walk fills monitor_known, a table of the connection. No join: a
// database would choose to begin with it.
#define KNOWN(row)                                                                                           \
    row ".place < (SELECT k.next_place FROM monitor_known k WHERE k.log = " row ".log AND k.part = " row     \
        ".part)"

void archive_drop_truths(struct archive *archive); // what the last walk has kept

// ---- rows ----

enum { PREDICTION_COLUMN_COUNT = 26, FEEDBACK_COLUMN_COUNT = 15 };
extern const char prediction_columns[], feedback_columns[];

struct prediction_row {
    int64_t log, digest;      // digest -1: not imported
    struct analysis analysis; // its texts are those below
    char site[JOB_TOKEN_SIZE], subject[JOB_SUBJECT_SIZE], capture_device[JOB_TOKEN_SIZE];
    char lesion_location[JOB_TOKEN_SIZE], model_version[JOB_TOKEN_SIZE], precision[JOB_TOKEN_SIZE];
    char device[JOB_TOKEN_SIZE], error_code[JOB_TOKEN_SIZE];
};

struct feedback_row {
    int64_t log, digest;
    int32_t partition;
    int64_t offset, at; // at: when it came; where no topic says so, when it was reviewed
    int64_t content;    // the same for records that say the same
    struct feedback feedback;
};

struct archive_batch {
    struct prediction_row *predictions;
    struct feedback_row *feedback;
    size_t prediction_count, feedback_count;
    struct buffer text; // of a record that is written again
};

// ---- a row's bytes ----

enum {
    ANALYSIS_NUMBERS = LESION_CLASSES + 2 + 4 + 3 * FEATURES_BINS + 3,
    ANALYSIS_MOMENTS = 1 + MOMENT_COUNT,
};

// What values borrow until the next row.
struct row_bytes {
    uint8_t request[UUID_SIZE], feedback[UUID_SIZE], supersedes[UUID_SIZE];
    uint8_t image[DIGEST_SIZE], subject[DIGEST_SIZE];
    uint8_t numbers[4 * ANALYSIS_NUMBERS], moments[8 * ANALYSIS_MOMENTS];
};
// In the order of the columns. offset: the row's.
void prediction_row_fill(const struct prediction_row *row, int64_t offset, struct row_bytes *bytes,
                         struct sql_value values[PREDICTION_COLUMN_COUNT]);
void feedback_row_fill(const struct feedback_row *row, int64_t offset, struct row_bytes *bytes,
                       struct sql_value values[FEEDBACK_COLUMN_COUNT]);

// The columns of the present row, from `first` on, into an analysis, whose texts are the connection's and
// `subject`. False: they hold what was never written.
bool prediction_row_read(const struct sql *sql, size_t first, struct analysis *analysis,
                         char subject[DIGEST_TEXT_SIZE]);

// What prediction_row_read asks of an analysis.
bool prediction_row_holds(const struct analysis *analysis);

int64_t short_digest(struct bytes bytes); // the first 63 bits of SHA-256

void uuid_text(struct bytes uuid, char text[JOB_REQUEST_ID_SIZE]); // "" for no bytes

#endif
