// metrics.h: counts what a program does. Every metric is one row of the program's table: name, type, unit,
// meaning, label. The same table gives Prometheus text (version 0.0.4) and a page of documentation. Updating
// is an atomic add; any thread may do it.
#ifndef SKINSIGHT_COMMON_PROGRAM_METRICS_H
#define SKINSIGHT_COMMON_PROGRAM_METRICS_H

#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
    const char *name;
    enum metric_type type;
    const char *unit; // for the page of documentation
    const char *help;
    const char *label;                    // NULL: none
    const char *const *values;            // of the label,
    const char *(*value_of)(unsigned id); // or where they stand elsewhere
    unsigned first, count;                // values that are shown: first..count - 1; count 0: sampled
    const double *buckets;                // rising upper bounds, 0 ends them; +Inf is implied
};

enum { METRIC_LABELS_MAX = 16, METRIC_BUCKETS_MAX = 17 };

// Of one program. metric everywhere is an index into rows.
struct metric_table {
    const struct metric_row *rows;
    unsigned count;
    const char *file;     // where the rows stand, for the page
    const char *listener; // the option that says where they are shown, for the page
};

// Once, before any thread is started. A program that uses none measures nothing: the calls below do nothing
// there.
void metrics_use(const struct metric_table *table);

// label: index into the metric's label values; 0 for a metric without a label. Another kind of metric or a
// label beyond the last asserts. An observation that is no finite number is left out.
void metrics_add(unsigned metric, unsigned label, uint64_t amount);
void metrics_set(unsigned metric, unsigned label, double value);     // gauges
void metrics_observe(unsigned metric, unsigned label, double value); // histograms
uint64_t metrics_counter(unsigned metric, unsigned label);           // for tests and summaries

// A sampled metric is a gauge whose samples are not kept here: at each scrape the sampler is asked for them,
// metric after metric, on the thread that scrapes. Set before the first scrape; context must outlive the
// last.
struct metrics_writer;
typedef void metrics_sampler(void *context, unsigned metric, struct metrics_writer *writer);
void metrics_set_sampler(metrics_sampler *sampler, void *context);
// Inside a sampler. labels: as they stand between the braces.
void metrics_sample(struct metrics_writer *writer, unsigned metric, const char *labels, double value);

// Appends every metric, also those that are still 0. Fails only as buffer_append does.
enum status metrics_write_prometheus(struct buffer *out, struct error *err) MUST_CHECK;
// A page for people, of the table in use, to standard output: docs/METRICS.md is the worker's.
void metrics_print_documentation(const char *program);

#endif
