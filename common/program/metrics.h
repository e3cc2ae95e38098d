// metrics.h: every metric is one row of the table in metrics.c: name, type, unit, meaning, label. The same
// table gives Prometheus text (version 0.0.4) and docs/METRICS.md. Updating is an atomic add; any thread may
// do it.
#ifndef SKINSIGHT_COMMON_PROGRAM_METRICS_H
#define SKINSIGHT_COMMON_PROGRAM_METRICS_H

#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum metric {
    METRIC_JOBS_CONSUMED,     // counter, label topic priority: 0 routine, 1 urgent
    METRIC_JOBS_ANSWERED,     // counter, label outcome: 0 prediction, 1 error
    METRIC_JOB_ERRORS,        // counter, label code: enum job_code
    METRIC_CACHE_LOOKUPS,     // counter, label result: 0 hit, 1 miss, 2 unavailable
    METRIC_CACHE_WAITS,       // counter, label outcome: 0 answered, 1 taken over, 2 timed out, 3 unavailable
    METRIC_CACHE_WITHHELD,    // counter
    METRIC_CACHE_REFUSED,     // counter, label reason: enum cache_refusal
    METRIC_UPLOAD_FAILURES,   // counter
    METRIC_OBJECT_RETRIES,    // counter, label call: 0 read, 1 write
    METRIC_CIRCUIT_OPENINGS,  // counter, label service: enum metric_service
    METRIC_CIRCUIT_OPEN,      // gauge, label service
    METRIC_DEAD_LETTERS,      // counter
    METRIC_BATCHES,           // counter, label reason: enum batch_reason
    METRIC_BATCH_SIZE,        // histogram, images
    METRIC_STAGE_SECONDS,     // histogram, label stage: enum metric_stage
    METRIC_QUEUE_JOBS,        // gauge, label stage: jobs waiting in front of it
    METRIC_TRANSACTIONS,      // counter, label outcome: 0 committed, 1 aborted, 2 unknown
    METRIC_PRODUCER_RENEWALS, // counter
    METRIC_PUBLISH_RETRIES,   // counter
    METRIC_ASSIGNMENTS_LOST,  // counter
    METRIC_FENCES,            // counter
    METRIC_OFFSETS_REFUSED,   // counter
    METRIC_PARTITIONS,        // gauge: assigned now
    // Sampled: labels priority, partition; the last one also cause.
    METRIC_PARTITION_POSITION,
    METRIC_PARTITION_HIGH,
    METRIC_PARTITION_STABLE,
    METRIC_PARTITION_COMMITTED,
    METRIC_PARTITION_BLOCKED,

    METRIC_CLOCK_AHEAD,       // gauge
    METRIC_THROTTLE,          // gauge, label client: 0 consumer, 1 producer
    METRIC_UNFINISHED_JOBS,   // gauge: taken and not yet answered
    METRIC_READY,             // gauge: 1 when /readyz says yes
    METRIC_KNOWN_ANSWERS,     // counter, label outcome: 0 passed, 1 failed
    METRIC_GPU_UTILISATION,   // gauge
    METRIC_GPU_MEMORY,        // gauge, label kind: 0 used, 1 total
    METRIC_GPU_TEMPERATURE,   // gauge
    METRIC_GPU_POWER,         // gauge, label kind: 0 drawn, 1 limit
    METRIC_GPU_CLOCK,         // gauge, label kind: 0 now, 1 most
    METRIC_GPU_MEMORY_ERRORS, // gauge
    METRIC_GPU_FAULTS,        // gauge: those that a program caused
    METRIC_CONFIDENCE,        // histogram of the primary diagnosis' probability
    METRIC_PREDICTIONS,       // counter, label class
    METRIC_ACTIONS,           // counter, label action: 0 monitor, 1 routine_referral, 2 urgent_referral
    METRIC_COUNT
};

// Why a value of the cache is refused; worker/cache/cache_value.h says what each means.
enum { METRIC_REFUSAL_COUNT = 4 };
extern const char *const cache_refusal_names[METRIC_REFUSAL_COUNT];

enum metric_stage {
    METRIC_STAGE_FETCH,
    METRIC_STAGE_LOAD,
    METRIC_STAGE_DECODE,
    METRIC_STAGE_BATCH,
    METRIC_STAGE_INFER,
    METRIC_STAGE_POSTPROCESS,
    METRIC_STAGE_PUBLISH,
    METRIC_STAGE_TOTAL,
};

// What a circuit breaker stands in front of.
enum metric_service { METRIC_REDIS, METRIC_OBJECT_READS, METRIC_OBJECT_WRITES };

// Why a batch was closed; the wire names stand in batch_reason_names.
enum batch_reason {
    BATCH_FULL,     // as many images as batch_max
    BATCH_DEADLINE, // waiting longer would have cost a job its deadline
    BATCH_DELAY,    // batch_delay_ms had passed
    BATCH_IDLE,     // the device was idle and nothing else was on its way
    BATCH_DRAIN,    // the worker is stopping
    BATCH_CAREFUL,  // one job alone, after an owner of its partition died
    BATCH_REASON_COUNT
};
extern const char *const batch_reason_names[BATCH_REASON_COUNT]; // "full"

// label: index into the metric's label values; 0 for a metric without a label. Another kind of metric or a
// label beyond the last asserts. An observation that is no finite number is left out.
void metrics_add(enum metric metric, unsigned label, uint64_t amount);
void metrics_set(enum metric metric, unsigned label, double value);     // gauges
void metrics_observe(enum metric metric, unsigned label, double value); // histograms
uint64_t metrics_counter(enum metric metric, unsigned label);           // for tests and summaries

// A sampled metric is a gauge whose samples are not kept here: at each scrape the sampler is asked for them,
// metric after metric, on the thread that scrapes. Set before the first scrape; context must outlive the
// last.
struct metrics_writer;
typedef void metrics_sampler(void *context, enum metric metric, struct metrics_writer *writer);
void metrics_set_sampler(metrics_sampler *sampler, void *context);
// Inside a sampler. labels: as they stand between the braces.
void metrics_sample(struct metrics_writer *writer, enum metric metric, const char *labels, double value);

// Appends every metric, also those that are still 0. Fails only as buffer_append does.
enum status metrics_write_prometheus(struct buffer *out, struct error *err) MUST_CHECK;
void metrics_print_documentation(void); // docs/METRICS.md to standard output

#endif
