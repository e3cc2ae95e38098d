// metrics_rows.c: the table of what the worker measures.
#include "worker/metrics_rows.h"

#include "common/records/job.h"
#include "common/records/lesion.h"
#include "worker/pipeline.h"

const char *const batch_reason_names[BATCH_REASON_COUNT] = {"full", "deadline", "delay",
                                                            "idle", "drain",    "careful"};
static const char *const priorities[] = {"routine", "urgent"};
static const char *const answers[] = {[ANSWERED_PREDICTION] = "prediction", [ANSWERED_ERROR] = "error"};
static const char *const lookups[] = {"hit", "miss", "unavailable"};
const char *const cache_refusal_names[METRIC_REFUSAL_COUNT] = {"form", "seal", "other_key", "content"};
static const char *const checks[] = {[CHECK_PASSED] = "passed", [CHECK_FAILED] = "failed"};
static const char *const transactions[] = {
    [TXN_COMMITTED] = "committed", [TXN_ABORTED] = "aborted", [TXN_UNKNOWN] = "unknown"};
static const char *const memories[] = {[GPU_MEMORY_USED] = "used", [GPU_MEMORY_TOTAL] = "total"};
static const char *const calls[] = {[OBJECT_READ] = "read", [OBJECT_WRITE] = "write"};
static const char *const services[] = {[METRIC_REDIS] = "redis",
                                       [METRIC_OBJECT_READS] = "object_reads",
                                       [METRIC_OBJECT_WRITES] = "object_writes"};
static const char *const powers[] = {[GPU_POWER_DRAWN] = "drawn", [GPU_POWER_LIMIT] = "limit"};
static const char *const clocks[] = {[GPU_CLOCK_NOW] = "now", [GPU_CLOCK_MOST] = "most"};
static const char *const clients[] = {[THROTTLED_CONSUMER] = "consumer", [THROTTLED_PRODUCER] = "producer"};

static const double batch_sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 0};
// 0.03 to 0.5 s are the limits of the latency budget, so that shares below them can be read off.
static const double durations[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.06, 0.095, 0.15,
                                   0.3,   0.4,   0.5,   1,    2.5,  5,    10,   30,    0};
static const double confidences[] = {0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0};

_Static_assert(sizeof durations / sizeof *durations <= METRIC_BUCKETS_MAX + 1, "the longest list of buckets");
_Static_assert((int)JOB_CODE_COUNT <= (int)METRIC_LABELS_MAX, "the label with the most values");

static const char *code_name(unsigned code)
{
    return job_code_name((enum job_code)code);
}

#define LABEL(key, texts) .label = key, .values = texts, .count = sizeof(texts) / sizeof *(texts)
#define NO_LABEL          .count = 1
#define SAMPLED(keys)     .label = keys

static const struct metric_row rows[METRIC_COUNT] = {
    [METRIC_JOBS_CONSUMED] = {"skinsight_jobs_consumed_total", METRIC_COUNTER, "jobs",
                              "Job records taken from Kafka.", LABEL("priority", priorities)},
    [METRIC_JOBS_ANSWERED] = {"skinsight_jobs_answered_total", METRIC_COUNTER, "jobs",
                              "Answers in committed transactions.", LABEL("outcome", answers)},
    [METRIC_JOB_ERRORS] = {"skinsight_job_errors_total", METRIC_COUNTER, "jobs",
                           "Jobs answered with an error, by its code.", .label = "code",
                           .value_of = code_name, .first = JOB_OK + 1, .count = JOB_CODE_COUNT},
    [METRIC_CACHE_LOOKUPS] = {"skinsight_cache_lookups_total", METRIC_COUNTER, "lookups",
                              "Questions to the cache.", LABEL("result", lookups)},
    [METRIC_CACHE_WITHHELD] = {"skinsight_cache_withheld_total", METRIC_COUNTER, "answers",
                               "Answers not stored because too many wait for the next check of the device.",
                               NO_LABEL},
    [METRIC_CACHE_REFUSED] = {"skinsight_cache_refused_total", METRIC_COUNTER, "values",
                              "Values of the cache that were not believed, by the first check they failed.",
                              LABEL("reason", cache_refusal_names)},
    [METRIC_UPLOAD_FAILURES] = {"skinsight_attention_upload_failures_total", METRIC_COUNTER, "images",
                                "Attention maps that could not be stored.", NO_LABEL},
    [METRIC_OBJECT_RETRIES] = {"skinsight_object_retries_total", METRIC_COUNTER, "calls",
                               "Calls of the object store made again after a failure.", LABEL("call", calls)},
    [METRIC_CIRCUIT_OPENINGS] = {"skinsight_circuit_openings_total", METRIC_COUNTER, "openings",
                                 "How often a service failed so often that it was left alone for a while.",
                                 LABEL("service", services)},
    [METRIC_CIRCUIT_OPEN] = {"skinsight_circuit_open", METRIC_GAUGE, "0 or 1",
                             "1 while the service is left alone, or tried by one call at a time.",
                             LABEL("service", services)},
    [METRIC_DEAD_LETTERS] = {"skinsight_dead_letters_total", METRIC_COUNTER, "records",
                             "Records written to the dead letters topic.", NO_LABEL},
    [METRIC_BATCHES] = {"skinsight_batches_total", METRIC_COUNTER, "batches",
                        "Batches computed, by what closed them.", LABEL("reason", batch_reason_names)},
    [METRIC_BATCH_SIZE] = {"skinsight_batch_size_images", METRIC_HISTOGRAM, "images", "Images in a batch.",
                           NO_LABEL, .buckets = batch_sizes},
    [METRIC_STAGE_SECONDS] = {"skinsight_stage_duration_seconds", METRIC_HISTOGRAM, "seconds",
                              "Time a job spent in a stage; total is from consumed to published.",
                              .label = "stage", .value_of = pipeline_stage_name, .count = STAGE_TOTAL + 1,
                              .buckets = durations},
    [METRIC_QUEUE_JOBS] = {"skinsight_queue_jobs", METRIC_GAUGE, "jobs", "Jobs waiting in front of a stage.",
                           .label = "stage", .value_of = pipeline_stage_name, .count = STAGE_COUNT},
    [METRIC_TRANSACTIONS] = {"skinsight_transactions_total", METRIC_COUNTER, "transactions",
                             "Kafka transactions, by how they ended.", LABEL("outcome", transactions)},
    [METRIC_PRODUCER_RENEWALS] = {"skinsight_producer_renewals_total", METRIC_COUNTER, "producers",
                                  "Kafka producers replaced after an unknown outcome.", NO_LABEL},
    [METRIC_PUBLISH_RETRIES] = {"skinsight_publish_retries_total", METRIC_COUNTER, "transactions",
                                "Groups of answers published again: the transaction before failed, or its "
                                "outcome was unknown.",
                                NO_LABEL},
    [METRIC_ASSIGNMENTS_LOST] = {"skinsight_assignments_lost_total", METRIC_COUNTER, "assignments",
                                 "How often the group took this worker for dead.", NO_LABEL},
    [METRIC_FENCES] = {"skinsight_member_fences_total", METRIC_COUNTER, "fences",
                       "How often this static member was fenced by its own return and joined anew.",
                       NO_LABEL},
    [METRIC_OFFSETS_REFUSED] = {"skinsight_offsets_refused_total", METRIC_COUNTER, "answers",
                                "Committed offsets that a broker gave and that had been committed past, or "
                                "that lie behind the end of its log.",
                                NO_LABEL},
    [METRIC_PARTITIONS] = {"skinsight_assigned_partitions", METRIC_GAUGE, "partitions",
                           "Partitions assigned to this worker now.", NO_LABEL},
    [METRIC_PARTITION_POSITION] = {"skinsight_partition_position", METRIC_GAUGE, "offset",
                                   "The next record to be read of a partition.",
                                   SAMPLED("priority, partition")},
    [METRIC_PARTITION_HIGH] = {"skinsight_partition_high_watermark", METRIC_GAUGE, "offset",
                               "Where the partition's log ends.", SAMPLED("priority, partition")},
    [METRIC_PARTITION_STABLE] = {"skinsight_partition_last_stable_offset", METRIC_GAUGE, "offset",
                                 "Where the first open transaction of the partition's log begins, or where "
                                 "the log ends.",
                                 SAMPLED("priority, partition")},
    [METRIC_PARTITION_COMMITTED] = {"skinsight_partition_committed_offset", METRIC_GAUGE, "offset",
                                    "The first record of the partition that is not answered.",
                                    SAMPLED("priority, partition")},
    [METRIC_PARTITION_BLOCKED] = {"skinsight_partition_blocked", METRIC_GAUGE, "1",
                                  "1 for each partition of this worker that is not read, by its cause: "
                                  "place_unknown, unreadable, refused (by the broker, which may be all of a "
                                  "topic), transaction_open. Absent where it is read.",
                                  SAMPLED("priority, partition, cause")},
    [METRIC_CLOCK_AHEAD] = {"skinsight_clock_ahead_seconds", METRIC_GAUGE, "seconds",
                            "How far this worker's clock is ahead of the brokers', as the newest answer "
                            "showed; 0 where it can't be compared.",
                            NO_LABEL},
    [METRIC_THROTTLE] = {"skinsight_kafka_throttle_seconds", METRIC_GAUGE, "seconds",
                         "How long a broker's quota made the newest request wait.", LABEL("client", clients)},
    [METRIC_UNFINISHED_JOBS] = {"skinsight_unfinished_jobs", METRIC_GAUGE, "jobs",
                                "Jobs taken and not yet answered.", NO_LABEL},
    [METRIC_READY] = {"skinsight_ready", METRIC_GAUGE, "0 or 1", "1 while /readyz says yes.", NO_LABEL},
    [METRIC_KNOWN_ANSWERS] = {"skinsight_known_answer_checks_total", METRIC_COUNTER, "checks",
                              "Checks of the device by images with known answers.", LABEL("outcome", checks)},
    [METRIC_GPU_UTILISATION] =
        {"skinsight_gpu_utilisation_ratio", METRIC_GAUGE, "ratio",
         "Share of time in which the GPU ran a kernel. Every GPU figure is 0 without one, "
         "and where it does not tell.",
         NO_LABEL},
    [METRIC_GPU_MEMORY] = {"skinsight_gpu_memory_bytes", METRIC_GAUGE, "bytes", "Memory of the GPU.",
                           LABEL("kind", memories)},
    [METRIC_GPU_TEMPERATURE] = {"skinsight_gpu_temperature_celsius", METRIC_GAUGE, "degrees Celsius",
                                "Temperature of the GPU.", NO_LABEL},
    [METRIC_GPU_POWER] = {"skinsight_gpu_power_watts", METRIC_GAUGE, "watts",
                          "Power of the GPU, and its limit.", LABEL("kind", powers)},
    [METRIC_GPU_CLOCK] = {"skinsight_gpu_clock_hertz", METRIC_GAUGE, "hertz",
                          "Clock of the GPU's multiprocessors.", LABEL("kind", clocks)},
    [METRIC_GPU_MEMORY_ERRORS] = {"skinsight_gpu_uncorrected_memory_errors", METRIC_GAUGE, "errors",
                                  "Uncorrectable memory errors since the GPU's driver was loaded.", NO_LABEL},
    [METRIC_GPU_FAULTS] = {"skinsight_gpu_program_faults", METRIC_GAUGE, "faults",
                           "Faults since the start that some program on the GPU caused (Xids 13, 31, 43, 45, "
                           "68, 109), which the GPU survives.",
                           NO_LABEL},
    [METRIC_CONFIDENCE] = {"skinsight_prediction_confidence_ratio", METRIC_HISTOGRAM, "probability",
                           "Probability of the primary diagnosis.", NO_LABEL, .buckets = confidences},
    [METRIC_PREDICTIONS] = {"skinsight_predictions_total", METRIC_COUNTER, "predictions",
                            "Predictions by primary diagnosis.", LABEL("class", lesion_names)},
    [METRIC_ACTIONS] = {"skinsight_recommended_actions_total", METRIC_COUNTER, "predictions",
                        "Predictions by recommended action.", LABEL("action", action_names)},
    [METRIC_ABSTENTIONS] = {"skinsight_abstentions_total", METRIC_COUNTER, "predictions",
                            "Predictions that abstain, by reason; one may have several.",
                            LABEL("reason", abstain_reason_names)},
    [METRIC_REVIEWS] = {"skinsight_reviews_total", METRIC_COUNTER, "predictions",
                        "Predictions that ask for a dermatologist's look.", NO_LABEL},
};

const struct metric_table worker_metrics = {rows, METRIC_COUNT, "worker/metrics_rows.c", "http_address"};
