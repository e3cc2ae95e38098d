// metrics.c: the table of metrics and one block of atomic cells behind it. Any thread updates,
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

#include "common/records/job.h"
#include "common/records/lesion.h"

enum { LABELS_MAX = 16, BUCKETS_MAX = 17 };

enum metric_type { COUNTER, GAUGE, HISTOGRAM };
static const char *const type_names[] = {"counter", "gauge", "histogram"};

struct metric_row {
    const char *name;
    enum metric_type type;
    const char *unit; // for docs/METRICS.md
    const char *help;
    const char *label;         // NULL: none
    const char *const *values; // of the label; NULL: job_code_name
    unsigned first, count;     // values that are shown: first..count - 1; count 0: sampled
    const double *buckets;     // rising upper bounds, 0 ends them; +Inf is implied
};

struct cell {
    atomic_ullong value;                    // counter, or the bits of a gauge or a sum
    atomic_ullong buckets[BUCKETS_MAX + 1]; // not added up; the last one is +Inf
};
static struct cell cells[METRIC_COUNT][LABELS_MAX];

const char *const batch_reason_names[BATCH_REASON_COUNT] = {"full", "deadline", "delay",
                                                            "idle", "drain",    "careful"};
static const char *const priorities[] = {"routine", "urgent"};
static const char *const answers[] = {"prediction", "error"};
static const char *const lookups[] = {"hit", "miss", "unavailable"};
const char *const cache_refusal_names[METRIC_REFUSAL_COUNT] = {"form", "seal", "other_key", "content"};
static const char *const waits[] = {"answered", "taken_over", "timed_out", "unavailable"};
static const char *const checks[] = {"passed", "failed"};
static const char *const transactions[] = {"committed", "aborted", "unknown"};
static const char *const memories[] = {"used", "total"};
static const char *const calls[] = {"read", "write"};
static const char *const services[] = {"redis", "object_reads", "object_writes"};
static const char *const powers[] = {"drawn", "limit"};
static const char *const clocks[] = {"now", "most"};
static const char *const clients[] = {"consumer", "producer"};
static const char *const stages[] = {"fetch", "load",        "decode",  "batch",
                                     "infer", "postprocess", "publish", "total"};

static const double batch_sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 0};
// 0.03 to 0.5 s are the limits of the latency budget, so that shares below them can be read off.
static const double durations[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.06, 0.095, 0.15,
                                   0.3,   0.4,   0.5,   1,    2.5,  5,    10,   30,    0};
static const double confidences[] = {0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0};

_Static_assert(sizeof durations / sizeof *durations <= BUCKETS_MAX + 1, "the longest list of buckets");
_Static_assert((int)JOB_CODE_COUNT <= (int)LABELS_MAX, "the label with the most values");

#define LABEL(key, texts) .label = key, .values = texts, .count = sizeof(texts) / sizeof *(texts)
#define NO_LABEL          .count = 1
#define SAMPLED(keys)     .label = keys

static const struct metric_row rows[METRIC_COUNT] = {
    [METRIC_JOBS_CONSUMED] = {"skinsight_jobs_consumed_total", COUNTER, "jobs",
                              "Job records taken from Kafka.", LABEL("priority", priorities)},
    [METRIC_JOBS_ANSWERED] = {"skinsight_jobs_answered_total", COUNTER, "jobs",
                              "Answers in committed transactions.", LABEL("outcome", answers)},
    [METRIC_JOB_ERRORS] = {"skinsight_job_errors_total", COUNTER, "jobs",
                           "Jobs answered with an error, by its code.", .label = "code", .first = JOB_OK + 1,
                           .count = JOB_CODE_COUNT},
    [METRIC_CACHE_LOOKUPS] = {"skinsight_cache_lookups_total", COUNTER, "lookups", "Questions to the cache.",
                              LABEL("result", lookups)},
    [METRIC_CACHE_WAITS] = {"skinsight_cache_waits_total", COUNTER, "jobs",
                            "Jobs that waited for another worker to compute the same image, by what came of "
                            "it.",
                            LABEL("outcome", waits)},
    [METRIC_CACHE_WITHHELD] = {"skinsight_cache_withheld_total", COUNTER, "answers",
                               "Answers not stored because too many wait for the next check of the device.",
                               NO_LABEL},
    [METRIC_CACHE_REFUSED] = {"skinsight_cache_refused_total", COUNTER, "values",
                              "Values of the cache that were not believed, by the first check they failed.",
                              LABEL("reason", cache_refusal_names)},
    [METRIC_UPLOAD_FAILURES] = {"skinsight_attention_upload_failures_total", COUNTER, "images",
                                "Attention maps that could not be stored.", NO_LABEL},
    [METRIC_OBJECT_RETRIES] = {"skinsight_object_retries_total", COUNTER, "calls",
                               "Calls of the object store made again after a failure.", LABEL("call", calls)},
    [METRIC_CIRCUIT_OPENINGS] = {"skinsight_circuit_openings_total", COUNTER, "openings",
                                 "How often a service failed so often that it was left alone for a while.",
                                 LABEL("service", services)},
    [METRIC_CIRCUIT_OPEN] = {"skinsight_circuit_open", GAUGE, "0 or 1",
                             "1 while the service is left alone, or tried by one call at a time.",
                             LABEL("service", services)},
    [METRIC_DEAD_LETTERS] = {"skinsight_dead_letters_total", COUNTER, "records",
                             "Records written to the dead letters topic.", NO_LABEL},
    [METRIC_BATCHES] = {"skinsight_batches_total", COUNTER, "batches",
                        "Batches computed, by what closed them.", LABEL("reason", batch_reason_names)},
    [METRIC_BATCH_SIZE] = {"skinsight_batch_size_images", HISTOGRAM, "images", "Images in a batch.", NO_LABEL,
                           .buckets = batch_sizes},
    [METRIC_STAGE_SECONDS] = {"skinsight_stage_duration_seconds", HISTOGRAM, "seconds",
                              "Time a job spent in a stage; total is from consumed to published.",
                              LABEL("stage", stages), .buckets = durations},
    [METRIC_QUEUE_JOBS] = {"skinsight_queue_jobs", GAUGE, "jobs", "Jobs waiting in front of a stage.",
                           .label = "stage", .values = stages, .count = METRIC_STAGE_TOTAL},
    [METRIC_TRANSACTIONS] = {"skinsight_transactions_total", COUNTER, "transactions",
                             "Kafka transactions, by how they ended.", LABEL("outcome", transactions)},
    [METRIC_PRODUCER_RENEWALS] = {"skinsight_producer_renewals_total", COUNTER, "producers",
                                  "Kafka producers replaced after an unknown outcome.", NO_LABEL},
    [METRIC_PUBLISH_RETRIES] = {"skinsight_publish_retries_total", COUNTER, "transactions",
                                "Groups of answers published again: the transaction before failed, or its "
                                "outcome was unknown.",
                                NO_LABEL},
    [METRIC_ASSIGNMENTS_LOST] = {"skinsight_assignments_lost_total", COUNTER, "assignments",
                                 "How often the group took this worker for dead.", NO_LABEL},
    [METRIC_FENCES] = {"skinsight_member_fences_total", COUNTER, "fences",
                       "How often this static member was fenced by its own return and joined anew.",
                       NO_LABEL},
    [METRIC_OFFSETS_REFUSED] = {"skinsight_offsets_refused_total", COUNTER, "answers",
                                "Committed offsets that a broker gave and that had been committed past, or "
                                "that lie behind the end of its log.",
                                NO_LABEL},
    [METRIC_PARTITIONS] = {"skinsight_assigned_partitions", GAUGE, "partitions",
                           "Partitions assigned to this worker now.", NO_LABEL},
    [METRIC_PARTITION_POSITION] = {"skinsight_partition_position", GAUGE, "offset",
                                   "The next record to be read of a partition.",
                                   SAMPLED("priority, partition")},
    [METRIC_PARTITION_HIGH] = {"skinsight_partition_high_watermark", GAUGE, "offset",
                               "Where the partition's log ends.", SAMPLED("priority, partition")},
    [METRIC_PARTITION_STABLE] = {"skinsight_partition_last_stable_offset", GAUGE, "offset",
                                 "Where the first open transaction of the partition's log begins, or where "
                                 "the log ends.",
                                 SAMPLED("priority, partition")},
    [METRIC_PARTITION_COMMITTED] = {"skinsight_partition_committed_offset", GAUGE, "offset",
                                    "The first record of the partition that is not answered.",
                                    SAMPLED("priority, partition")},
    [METRIC_PARTITION_BLOCKED] = {"skinsight_partition_blocked", GAUGE, "1",
                                  "1 for each partition of this worker that is not read, by its cause: "
                                  "place_unknown, unreadable, refused (by the broker, which may be all of a "
                                  "topic), transaction_open. Absent where it is read.",
                                  SAMPLED("priority, partition, cause")},
    [METRIC_CLOCK_AHEAD] = {"skinsight_clock_ahead_seconds", GAUGE, "seconds",
                            "How far this worker's clock is ahead of the brokers', as the newest answer "
                            "showed; 0 where it can't be compared.",
                            NO_LABEL},
    [METRIC_THROTTLE] = {"skinsight_kafka_throttle_seconds", GAUGE, "seconds",
                         "How long a broker's quota made the newest request wait.", LABEL("client", clients)},
    [METRIC_UNFINISHED_JOBS] = {"skinsight_unfinished_jobs", GAUGE, "jobs",
                                "Jobs taken and not yet answered.", NO_LABEL},
    [METRIC_READY] = {"skinsight_ready", GAUGE, "0 or 1", "1 while /readyz says yes.", NO_LABEL},
    [METRIC_KNOWN_ANSWERS] = {"skinsight_known_answer_checks_total", COUNTER, "checks",
                              "Checks of the device by images with known answers.", LABEL("outcome", checks)},
    [METRIC_GPU_UTILISATION] =
        {"skinsight_gpu_utilisation_ratio", GAUGE, "ratio",
         "Share of time in which the GPU ran a kernel. Every GPU figure is 0 without one, "
         "and where it does not tell.",
         NO_LABEL},
    [METRIC_GPU_MEMORY] = {"skinsight_gpu_memory_bytes", GAUGE, "bytes", "Memory of the GPU.",
                           LABEL("kind", memories)},
    [METRIC_GPU_TEMPERATURE] = {"skinsight_gpu_temperature_celsius", GAUGE, "degrees Celsius",
                                "Temperature of the GPU.", NO_LABEL},
    [METRIC_GPU_POWER] = {"skinsight_gpu_power_watts", GAUGE, "watts", "Power of the GPU, and its limit.",
                          LABEL("kind", powers)},
    [METRIC_GPU_CLOCK] = {"skinsight_gpu_clock_hertz", GAUGE, "hertz", "Clock of the GPU's multiprocessors.",
                          LABEL("kind", clocks)},
    [METRIC_GPU_MEMORY_ERRORS] = {"skinsight_gpu_uncorrected_memory_errors", GAUGE, "errors",
                                  "Uncorrectable memory errors since the GPU's driver was loaded.", NO_LABEL},
    [METRIC_GPU_FAULTS] = {"skinsight_gpu_program_faults", GAUGE, "faults",
                           "Faults since the start that some program on the GPU caused (Xids 13, 31, 43, 45, "
                           "68, 109), which the GPU survives.",
                           NO_LABEL},
    [METRIC_CONFIDENCE] = {"skinsight_prediction_confidence_ratio", HISTOGRAM, "probability",
                           "Probability of the primary diagnosis.", NO_LABEL, .buckets = confidences},
    [METRIC_PREDICTIONS] = {"skinsight_predictions_total", COUNTER, "predictions",
                            "Predictions by primary diagnosis.", LABEL("class", lesion_names)},
    [METRIC_ACTIONS] = {"skinsight_recommended_actions_total", COUNTER, "predictions",
                        "Predictions by recommended action.", LABEL("action", action_names)},
};

static struct cell *cell_of(enum metric metric, enum metric_type type, unsigned label)
{
    assert(metric < METRIC_COUNT && rows[metric].type == type && label < rows[metric].count);
    (void)type;
    return &cells[metric][label % LABELS_MAX];
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

void metrics_add(enum metric metric, unsigned label, uint64_t amount)
{
    atomic_fetch_add_explicit(&cell_of(metric, COUNTER, label)->value, amount, memory_order_relaxed);
}

void metrics_set(enum metric metric, unsigned label, double value)
{
    atomic_store_explicit(&cell_of(metric, GAUGE, label)->value, to_bits(value), memory_order_relaxed);
}

void metrics_observe(enum metric metric, unsigned label, double value)
{
    struct cell *cell = cell_of(metric, HISTOGRAM, label);
    const double *bounds = rows[metric].buckets;
    if (!isfinite(value))
        return;
    unsigned index = 0;
    while (bounds[index] > 0 && value > bounds[index])
        index++;
    atomic_fetch_add_explicit(&cell->buckets[index], 1, memory_order_relaxed);
    unsigned long long old = atomic_load_explicit(&cell->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&cell->value, &old, to_bits(to_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        ; // another thread added first: old is now its sum
}

uint64_t metrics_counter(enum metric metric, unsigned label)
{
    return atomic_load_explicit(&cell_of(metric, COUNTER, label)->value, memory_order_relaxed);
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
    return row->values ? row->values[label] : job_code_name((enum job_code)label);
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
    if (row->type == HISTOGRAM) {
        emit_histogram(writer, row, cell, label);
        return;
    }
    unsigned long long value = atomic_load_explicit(&cell->value, memory_order_relaxed);
    emit(writer, "%s%s%s%s ", row->name, *label ? "{" : "", label, *label ? "}" : "");
    if (row->type == COUNTER)
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

void metrics_sample(struct metrics_writer *writer, enum metric metric, const char *labels, double value)
{
    assert(rows[metric].count == 0);
    emit(writer, "%s{%s} %.15g\n", rows[metric].name, labels, value);
}

enum status metrics_write_prometheus(struct buffer *out, struct error *err)
{
    struct metrics_writer writer = {out, err, STATUS_OK};
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        const struct metric_row *row = &rows[metric];
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

void metrics_print_documentation(void)
{
    printf("# Metrics\n\n"
           "Generated from `common/program/metrics.c` by `skinsight-worker --print-metrics-documentation`; "
           "change the "
           "table, not this page.\n\n"
           "`GET /metrics` on `http_address` gives them as Prometheus text (version 0.0.4). They count from "
           "the start of the process\nand hold nothing about a patient.\n\n"
           "| metric | type | unit | meaning | label |\n|---|---|---|---|---|\n");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        const struct metric_row *row = &rows[metric];
        printf("| `%s` | %s | %s | %s | ", row->name, type_names[row->type], row->unit, row->help);
        print_label(row);
        printf(" |\n");
    }
    printf("\n## Buckets of the histograms\n\n| metric | upper bounds |\n|---|---|\n");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        if (rows[metric].type == HISTOGRAM)
            print_buckets(&rows[metric]);
}
