// archive.h: predictions and feedback in SQL, each record once, whatever their order and whatever dies when.
//
// A record's key is its topic, partition and offset; records and the offsets behind them go into one
// transaction, and offsets advance by compare-and-set, so that of two monitors the second ends. Rows are
// never changed: which record is the final one of a request, and which label speaks for an image, is asked
// when a report reads them, for the offsets that it may know (as_of). Retention drops whole days. One thread
// each.
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

// ---- what reports may know ----

// Offsets up to, not including, which records count, by topic and partition.
struct archive_place {
    char topic[64];
    int32_t partition;
    int64_t next;
};
enum { ARCHIVE_PLACES_MOST = 1024 };
struct archive_as_of {
    int64_t time; // Unix ms; what was imported after it doesn't count
    size_t count;
    struct archive_place *places; // the struct's
};
enum status archive_now(struct archive *archive, struct archive_as_of *as_of, struct error *err) MUST_CHECK;
void archive_as_of_release(struct archive_as_of *as_of);

// ---- reading ----

// from <= at < to (Unix ms). NULL texts: any.
struct archive_filter {
    int64_t from, to;
    const char *site, *model_version;
    const struct archive_as_of *as_of; // NULL: everything there is
    bool errors;                       // failed analyses too
};
// Gives the final record of each request once, by time and then by place. Stops with take's status. The
// archive takes no other call meanwhile.
enum status archive_walk(struct archive *archive, const struct archive_filter *filter,
                         enum status (*take)(void *context, const struct analysis *analysis,
                                             struct error *err),
                         void *context, struct error *err) MUST_CHECK;

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
