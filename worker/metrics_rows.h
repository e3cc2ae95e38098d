// metrics_rows.h: what the worker measures: each metric is one row of the table in metrics_rows.c, and where
// its label is a closed list, an enum here.
#ifndef SKINSIGHT_WORKER_METRICS_ROWS_H
#define SKINSIGHT_WORKER_METRICS_ROWS_H

#include "common/program/metrics.h"

enum metric {
    METRIC_JOBS_CONSUMED,     // counter, label priority: enum job_topic
    METRIC_JOBS_ANSWERED,     // counter, label outcome: enum answered
    METRIC_JOB_ERRORS,        // counter, label code: enum job_code
    METRIC_CACHE_LOOKUPS,     // counter, label result: enum cache_result
    METRIC_CACHE_WITHHELD,    // counter
    METRIC_CACHE_REFUSED,     // counter, label reason: enum cache_refusal
    METRIC_UPLOAD_FAILURES,   // counter
    METRIC_OBJECT_RETRIES,    // counter, label call: enum object_call
    METRIC_CIRCUIT_OPENINGS,  // counter, label service: enum metric_service
    METRIC_CIRCUIT_OPEN,      // gauge, label service
    METRIC_DEAD_LETTERS,      // counter
    METRIC_BATCHES,           // counter, label reason: enum batch_reason
    METRIC_BATCH_SIZE,        // histogram, images
    METRIC_STAGE_SECONDS,     // histogram, label stage: enum stage_id, or STAGE_TOTAL
    METRIC_QUEUE_JOBS,        // gauge, label stage: enum stage_id; jobs waiting in front of it
    METRIC_TRANSACTIONS,      // counter, label outcome: enum transaction_outcome
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
    METRIC_THROTTLE,          // gauge, label client: enum throttled
    METRIC_UNFINISHED_JOBS,   // gauge: taken and not yet answered
    METRIC_READY,             // gauge: 1 when /readyz says yes
    METRIC_KNOWN_ANSWERS,     // counter, label outcome: enum check_outcome
    METRIC_GPU_UTILISATION,   // gauge
    METRIC_GPU_MEMORY,        // gauge, label kind: enum gpu_memory
    METRIC_GPU_TEMPERATURE,   // gauge
    METRIC_GPU_POWER,         // gauge, label kind: enum gpu_power
    METRIC_GPU_CLOCK,         // gauge, label kind: enum gpu_clock
    METRIC_GPU_MEMORY_ERRORS, // gauge
    METRIC_GPU_FAULTS,        // gauge: those that a program caused
    METRIC_CONFIDENCE,        // histogram of the primary diagnosis' probability
    METRIC_PREDICTIONS,       // counter, label class: enum lesion_class
    METRIC_ACTIONS,           // counter, label action: enum lesion_action
    METRIC_ABSTENTIONS,       // counter, label reason: enum abstain_reason
    METRIC_REVIEWS,           // counter
    METRIC_COUNT
};

// The labels' values. Where an enum says something else as well it stands elsewhere: enum job_topic in
// worker/job.h, enum stage_id in worker/worker.h, enum cache_result in worker/cache/cache.h, enum
// abstain_reason in worker/policy.h, enum job_code and enum lesion_action in common/records.
enum answered { ANSWERED_PREDICTION, ANSWERED_ERROR };
enum object_call { OBJECT_READ, OBJECT_WRITE };
enum transaction_outcome { TXN_COMMITTED, TXN_ABORTED, TXN_UNKNOWN };
enum throttled { THROTTLED_CONSUMER, THROTTLED_PRODUCER };
enum check_outcome { CHECK_PASSED, CHECK_FAILED };
enum gpu_memory { GPU_MEMORY_USED, GPU_MEMORY_TOTAL };
enum gpu_power { GPU_POWER_DRAWN, GPU_POWER_LIMIT };
enum gpu_clock { GPU_CLOCK_NOW, GPU_CLOCK_MOST };

// Why a value of the cache is refused; worker/cache/cache_value.h says what each means.
enum { METRIC_REFUSAL_COUNT = 4 };
extern const char *const cache_refusal_names[METRIC_REFUSAL_COUNT];

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

extern const struct metric_table worker_metrics;

#endif
