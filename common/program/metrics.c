// metrics.c: one block of atomic cells behind the table. Any thread updates,
// libmicrohttpd's thread reads; a reading may be a few updates apart between two cells, never torn within
// one.
//
// A counter is an integer cell. Gauges and sums of histograms are doubles kept as their bits. A histogram
// counts each observation in the first bucket that takes it; the text adds the buckets up, so its count
// always equals its +Inf bucket, as Prometheus asks.
#include "common/program/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"

static const char *const type_names[] = {"counter", "gauge", "histogram"};

struct cell {
    atomic_ullong value;                           // counter, or the bits of a gauge or a sum
    atomic_ullong buckets[METRIC_BUCKETS_MAX + 1]; // not added up; the last one is +Inf
};

static const struct metric_table *table; // NULL: nothing is measured
static struct cell (*cells)[METRIC_LABELS_MAX];

void metrics_use(const struct metric_table *used)
{
    assert(!table || table == used);
    if (!table)
        cells = memory_alloc(used->count * sizeof *cells); // until the process ends
    table = used;
}

static struct cell *cell_of(unsigned metric, enum metric_type type, unsigned label)
{
    assert(metric < table->count && table->rows[metric].type == type && label < table->rows[metric].count);
    (void)type;
    return &cells[metric][label % METRIC_LABELS_MAX];
}

static double to_double(unsigned long long bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static unsigned long long to_bits(double value)
{
    unsigned long long bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void metrics_add(unsigned metric, unsigned label, uint64_t amount)
{
    if (table)
        atomic_fetch_add_explicit(&cell_of(metric, METRIC_COUNTER, label)->value, amount,
                                  memory_order_relaxed);
}

void metrics_set(unsigned metric, unsigned label, double value)
{
    if (table)
        atomic_store_explicit(&cell_of(metric, METRIC_GAUGE, label)->value, to_bits(value),
                              memory_order_relaxed);
}

void metrics_observe(unsigned metric, unsigned label, double value)
{
    if (!table || !isfinite(value))
        return;
    struct cell *cell = cell_of(metric, METRIC_HISTOGRAM, label);
    const double *bounds = table->rows[metric].buckets;
    unsigned index = 0;
    while (bounds[index] > 0 && value > bounds[index])
        index++;
    atomic_fetch_add_explicit(&cell->buckets[index], 1, memory_order_relaxed);
    unsigned long long old = atomic_load_explicit(&cell->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&cell->value, &old, to_bits(to_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        ; // another thread added first: old is now its sum
}

uint64_t metrics_counter(unsigned metric, unsigned label)
{
    return atomic_load_explicit(&cell_of(metric, METRIC_COUNTER, label)->value, memory_order_relaxed);
}

// Where the text goes, and the first failure; after it nothing more is written.
struct metrics_writer {
    struct buffer *out;
    struct error *err;
    enum status status;
};

static void emit(struct metrics_writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);
static void emit(struct metrics_writer *writer, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(length >= 0 && (size_t)length < sizeof text);
    if (writer->status == STATUS_OK)
        writer->status = buffer_append(writer->out, text, (size_t)length, writer->err);
}

static const char *label_value(const struct metric_row *row, unsigned label)
{
    return row->values ? row->values[label] : row->value_of(label);
}

static void emit_histogram(struct metrics_writer *writer, const struct metric_row *row,
                           const struct cell *cell, const char *label)
{
    unsigned long long count = 0;
    char bound[32];
    const char *comma = *label ? "," : "";
    for (unsigned i = 0;; i++) {
        bool last = !(row->buckets[i] > 0);
        count += atomic_load_explicit(&cell->buckets[i], memory_order_relaxed);
        snprintf(bound, sizeof bound, last ? "+Inf" : "%g", row->buckets[i]);
        emit(writer, "%s_bucket{%s%sle=\"%s\"} %llu\n", row->name, label, comma, bound, count);
        if (last)
            break;
    }
    const char *open = *label ? "{" : "";
    const char *close = *label ? "}" : "";
    double sum = to_double(atomic_load_explicit(&cell->value, memory_order_relaxed));
    emit(writer, "%s_sum%s%s%s %.15g\n", row->name, open, label, close, sum);
    emit(writer, "%s_count%s%s%s %llu\n", row->name, open, label, close, count);
}

static void emit_cell(struct metrics_writer *writer, const struct metric_row *row, const struct cell *cell,
                      unsigned index)
{
    char label[128] = "";
    if (row->label)
        snprintf(label, sizeof label, "%s=\"%s\"", row->label, label_value(row, index));
    if (row->type == METRIC_HISTOGRAM) {
        emit_histogram(writer, row, cell, label);
        return;
    }
    unsigned long long value = atomic_load_explicit(&cell->value, memory_order_relaxed);
    emit(writer, "%s%s%s%s ", row->name, *label ? "{" : "", label, *label ? "}" : "");
    if (row->type == METRIC_COUNTER)
        emit(writer, "%llu\n", value);
    else
        emit(writer, "%.15g\n", to_double(value));
}

static struct {
    metrics_sampler *sample; // NULL: nobody's
    void *context;
} sampler;

void metrics_set_sampler(metrics_sampler *sample, void *context)
{
    sampler.sample = sample;
    sampler.context = context;
}

void metrics_sample(struct metrics_writer *writer, unsigned metric, const char *labels, double value)
{
    assert(table->rows[metric].count == 0);
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    emit(writer, "%s%s%s%s %.15g\n", table->rows[metric].name, open, labels, close, value);
}

enum status metrics_write_prometheus(struct buffer *out, struct error *err)
{
    struct metrics_writer writer = {out, err, STATUS_OK};
    for (unsigned metric = 0; table && metric < table->count; metric++) {
        const struct metric_row *row = &table->rows[metric];
        emit(&writer, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, type_names[row->type]);
        for (unsigned label = row->first; label < row->count; label++)
            emit_cell(&writer, row, &cells[metric][label], label);
        if (row->count == 0 && sampler.sample)
            sampler.sample(sampler.context, metric, &writer);
    }
    return writer.status;
}

static void print_label(const struct metric_row *row)
{
    if (!row->label)
        return;
    printf(row->count > 0 ? "`%s`:" : "`%s`", row->label);
    for (unsigned i = row->first; i < row->count; i++)
        printf("%s `%s`", i > row->first ? "," : "", label_value(row, i));
}

static void print_buckets(const struct metric_row *row)
{
    printf("| `%s` |", row->name);
    for (unsigned i = 0; row->buckets[i] > 0; i++)
        printf("%s %g", i ? "," : "", row->buckets[i]);
    printf(" |\n");
}

void metrics_print_documentation(const char *program)
{
    assert(table);
    printf("# Metrics\n\n"
           "Generated from `%s` by `%s --print-metrics-documentation`; change the table, not this page.\n\n"
           "`GET /metrics` on `%s` gives them as Prometheus text (version 0.0.4). They count from "
           "the start of the process\nand hold nothing about a patient.\n\n"
           "| metric | type | unit | meaning | label |\n|---|---|---|---|---|\n",
           table->file, program, table->listener);
    for (unsigned metric = 0; metric < table->count; metric++) {
        const struct metric_row *row = &table->rows[metric];
        printf("| `%s` | %s | %s | %s | ", row->name, type_names[row->type], row->unit, row->help);
        print_label(row);
        printf(" |\n");
    }
    printf("\n## Buckets of the histograms\n\n| metric | upper bounds |\n|---|---|\n");
    for (unsigned metric = 0; metric < table->count; metric++)
        if (table->rows[metric].type == METRIC_HISTOGRAM)
            print_buckets(&table->rows[metric]);
}
