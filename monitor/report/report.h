// report.h: a report is a JSON document of numbers first, and its page is drawn from that document alone: so
// both say the same, and a stored request gives the same bytes again.
//
//     report_make (reads the archive, asks the parts of its kind) -> JSON -> report_page -> HTML
//
// A part (drift, cohorts, comparison, incident ...) adds its keys of docs/schemas/report.json, and what the
// page shows beside them: series and tables, which the page draws without knowing what they mean. What could
// not be computed is null with a reason, never a number.
#ifndef SKINSIGHT_MONITOR_REPORT_REPORT_H
#define SKINSIGHT_MONITOR_REPORT_REPORT_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "monitor/archive/archive.h"

enum report_kind { REPORT_DRIFT, REPORT_PERFORMANCE, REPORT_COMPARISON, REPORT_INCIDENT, REPORT_KINDS };
extern const char *const report_kind_names[REPORT_KINDS]; // "drift"

struct report_request {
    enum report_kind kind;
    const char *id;                   // of a published report; NULL: it is not published
    int64_t from, to;                 // Unix ms, from <= at < to
    const char *model_version, *site; // NULL: all
    const char *model_a, *model_b;    // comparison
    const char *references;           // folder of signed references; NULL: none
    const char *reference_key;        // public key that signed them; NULL: signatures are not checked
    const char *reference_sha256;     // the only one that may be used; NULL: the newest that fits
    const char *reference_missing;    // why it had none when it was published: none is used; NULL: it had one
    int64_t alarm_budget_per_year;
    const struct archive_as_of *as_of;
};

// Adds the part's keys to the document. INSUFFICIENT evidence is no error.
struct report_part {
    const char *name;
    unsigned kinds; // bits of enum report_kind
    enum status (*add)(struct archive *archive, const struct report_request *request, cJSON *document,
                       struct error *err);
};
extern const struct report_part report_parts[]; // ends with a NULL name

enum { REPORT_DAYS_MOST = 3660 }; // from from to to

// REJECTED: what the request asks for can't be (dates, models, reference). RETRY also: the process is asked
// to stop (shutdown.h). The document is the caller's.
enum status report_make(struct archive *archive, const struct report_request *request, cJSON **document,
                        struct error *err) MUST_CHECK;
// The same of other parts than report_parts, which ends with a NULL name.
enum status report_make_of(const struct report_part *parts, struct archive *archive,
                           const struct report_request *request, cJSON **document,
                           struct error *err) MUST_CHECK;
// The document as its file and its digest have it: one line. FATAL: no memory. REJECTED: over out's limit.
enum status report_write(const cJSON *document, struct buffer *out, struct error *err) MUST_CHECK;
// One self-contained page: no script, no reference outside. Appends to out. Whatever the document holds, the
// page is well-formed; what is in none of its tables and charts is left out.
enum status report_page(const cJSON *document, struct buffer *out, struct error *err) MUST_CHECK;

// ---- for parts ----

// One line or band of a chart with the table under it. y, low, high and limit may hold NaN (a gap). hollow:
// points that are not mature yet (NULL: none).
struct report_series {
    const char *chart; // series of one chart have the same title, said here
    const char *name, *unit;
    size_t count;
    const int64_t *at; // Unix ms
    const double *y, *low, *high, *limit;
    const int64_t *n;
    const bool *hollow;
};
enum status report_add_series(cJSON *document, const struct report_series *series,
                              struct error *err) MUST_CHECK;

// A table in the order of its rows. cells: rows * columns, JSON values that the table takes over.
enum status report_add_table(cJSON *document, const char *title, const char *const *columns,
                             size_t column_count, cJSON *rows, struct error *err) MUST_CHECK;

// One entry of "alarms" (CONTRACTS): state ok, warning, critical or insufficient.
struct report_alarm {
    const char *name, *state;
    double value, limit;
    double arl0_days, delay_days; // expected days between false alarms; days until a named shift is seen
    int64_t n, since;             // since: Unix ms; -1: not in alarm
    bool plain;                   // one of the plain rules that run beside the sound ones
};
enum status report_add_alarm(cJSON *document, const struct report_alarm *alarm, struct error *err) MUST_CHECK;

// An estimate: {"estimate", "low", "high", "n", "method", "level"}, or with a NaN estimate {"estimate": null,
// "n", "reason"}.
cJSON *report_estimate(double estimate, double low, double high, int64_t n, const char *method_or_reason);

#endif
