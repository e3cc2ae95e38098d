// archive.h: predictions and feedback in SQL, each record once, whatever their order and whatever dies when.
//
// A record's key is its log (a topic), partition and offset. Records and the offsets behind them go into one
// transaction, and offsets advance by compare-and-set, so that of two monitors the second ends. What is
// imported has partition -1 and counts its own offsets; a record that was imported already, byte for byte, is
// left out. Rows are never changed: which record is the final one of a request, and which label speaks for an
// image, is asked when a report reads them, for the offsets that it may know (as_of). Retention drops whole
// days. One connection, one thread at a time.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_ARCHIVE_H
#define SKINSIGHT_MONITOR_ARCHIVE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "monitor/archive/analysis.h"

struct archive;

// url: the option store. Errors as sql_open's and sql_migrate's; REJECTED: a database of a newer monitor.
enum status archive_open(struct archive **archive, const char *url, struct error *err) MUST_CHECK;
void archive_close(struct archive *archive); // NULL is allowed
// Who writes: a new one at each opening, unless it is told here, so that it knows its own commits again.
void archive_set_writer(struct archive *archive, const char writer[JOB_REQUEST_ID_SIZE]);

// ---- what reports may know ----

// Offsets up to, not including, which records count, by topic and partition.
enum { ARCHIVE_IMPORTED = -1 }; // the partition of what was imported
struct archive_place {
    char topic[256];
    int32_t partition;
    int64_t next;
};
enum {
    ARCHIVE_PARTITIONS_MOST = 1024,                    // of a topic
    ARCHIVE_PLACES_MOST = 8 * ARCHIVE_PARTITIONS_MOST, // of all logs: each topic that was made anew has more
};
struct archive_as_of {
    int64_t time; // Unix ms, for people: the places say what counts
    size_t count;
    struct archive_place *places; // the struct's
};
// Everything there is now. REJECTED: there are more places than the limit.
enum status archive_now(struct archive *archive, struct archive_as_of *as_of, struct error *err) MUST_CHECK;
void archive_as_of_release(struct archive_as_of *as_of);

// ---- reading ----

// from <= at < to (Unix ms). NULL texts: any.
struct archive_filter {
    int64_t from, to;
    const char *site, *model_version;
    const struct archive_as_of *as_of; // NULL: everything there is
    bool errors;                       // failed analyses too
    bool replaced;                     // records that are not the final one of their request too
};
// Gives the final record of each request once, the latest by time and then by place, in that order; all of
// them where the filter says so. What the filter leaves out was still the final record. Stops with take's
// status; RETRY also where the process is asked to stop (shutdown.h). The archive takes no other call
// meanwhile.
enum status archive_walk(struct archive *archive, const struct archive_filter *filter,
                         enum status (*take)(void *context, const struct analysis *analysis,
                                             struct error *err),
                         void *context, struct error *err) MUST_CHECK;

// When the model answered first (Unix ms), of all that the archive holds; -1: never.
enum status archive_first_answer(struct archive *archive, const char *model_version, int64_t *at,
                                 struct error *err) MUST_CHECK;

// ---- writing ----

// Records of one transaction, checked and not yet in the database. It knows no archive: any thread may fill
// it.
enum { ARCHIVE_BATCH_MOST = 8192 };
struct archive_batch;
struct archive_batch *archive_batch_new(void);
void archive_batch_free(struct archive_batch *batch); // NULL is allowed
void archive_batch_clear(struct archive_batch *batch);
size_t archive_batch_count(const struct archive_batch *batch); // full at ARCHIVE_BATCH_MOST

// Where a record came from.
struct archive_origin {
    int64_t log; // archive_log
    int32_t partition;
    int64_t offset;      // of an imported one: not read
    int64_t received_at; // Unix ms: the topic's time stamp, else -1; of an imported one the present time
};
// REJECTED: it is no such record; the sentence names a field and no value. Not when the batch is full.
enum status archive_batch_add_prediction(struct archive_batch *batch, struct bytes value,
                                         const struct archive_origin *origin, struct error *err) MUST_CHECK;
enum status archive_batch_add_feedback(struct archive_batch *batch, struct bytes value,
                                       const struct archive_origin *origin, struct error *err) MUST_CHECK;

// A topic's log in the tables, a number given at first sight. A topic that was made anew, with offsets from 0
// on, has another one: archive_log_anew gives it, and archive_log the newest. In places later ones are called
// "topic~2", "topic~3".
enum status archive_log(struct archive *archive, const char *topic, int64_t *log,
                        struct error *err) MUST_CHECK;
enum status archive_log_anew(struct archive *archive, const char *topic, int64_t *log,
                             struct error *err) MUST_CHECK;

// How far a partition was read.
struct archive_position {
    int64_t next;    // offset; -1: it was never read
    int64_t witness; // archive_witness of the record in front of it
};
enum status archive_position(struct archive *archive, int64_t log, int32_t partition,
                             struct archive_position *position, struct error *err) MUST_CHECK;
int64_t archive_witness(struct bytes value);

// A partition that was read from one offset up to another.
struct archive_step {
    int64_t log;
    int32_t partition;
    int64_t from, to; // from -1: it was never read
    int64_t refused;  // records between them that are none
    int64_t witness;  // of the record in front of `to`
};
// All or nothing; a record that is there already stays as it is. added (NULL is allowed): records that were
// not there. RETRY: it is done or not; archive_position knows. REJECTED: another writer has read on since.
enum status archive_append(struct archive *archive, const struct archive_batch *batch,
                           const struct archive_step *steps, size_t count, int64_t *added,
                           struct error *err) MUST_CHECK;
// added: records that were not there yet.
enum status archive_import(struct archive *archive, const struct archive_batch *batch, int64_t *added,
                           struct error *err) MUST_CHECK;
// Behind an import: lets the database count a sample of its rows, as it plans a report's queries by that.
enum status archive_analyze(struct archive *archive, struct error *err) MUST_CHECK;

// Forgets the oldest day (of UTC) of predictions before the day of `before` (Unix ms), with the feedback that
// speaks for nothing else, one day at a time, so that nobody waits long for the database: more says that
// there are more such days.
enum status archive_forget(struct archive *archive, int64_t before, int64_t *forgotten, bool *more,
                           struct error *err) MUST_CHECK;

// ---- published reports: what they were made from, so that they can be made again byte for byte ----

struct archive_report {
    char id[40];
    char kind[16];
    int64_t made_at;
    struct bytes request; // JSON of its parameters and its as_of; borrowed
    char sha256[DIGEST_TEXT_SIZE];
};
enum status archive_add_report(struct archive *archive, const struct archive_report *report,
                               struct error *err) MUST_CHECK;
// The bytes live until the next call. REJECTED: there is none of that id.
enum status archive_find_report(struct archive *archive, const char *id, struct archive_report *report,
                                struct error *err) MUST_CHECK;

#endif
