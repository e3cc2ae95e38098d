// operation.h: how the fleet worked: analyses of each day, those that failed, and how long each step took,
// against its budget. Times are whole milliseconds, so that counting them gives exact quantiles in a fixed
// memory, however many analyses there are. For reports on performance.
//
//     operation_new, operation_add (each analysis, failed ones too), operation_write, operation_free
#ifndef SKINSIGHT_MONITOR_SERVICE_OPERATION_H
#define SKINSIGHT_MONITOR_SERVICE_OPERATION_H

#include "monitor/archive/analysis.h"
#include "monitor/report/report.h"

enum operation_step {
    STEP_FETCH, // from consumed
    STEP_PREPROCESSING,
    STEP_BATCH,
    STEP_INFERENCE,
    STEP_POSTPROCESSING,
    STEP_PUBLISH,
    STEP_TOTAL, // from submitted to published
    STEP_COUNT
};
extern const char *const operation_step_names[STEP_COUNT]; // "fetch"

struct operation;
struct operation *operation_new(int64_t from, int64_t to); // Unix ms
void operation_free(struct operation *operation);          // NULL is allowed
void operation_add(struct operation *operation, const struct analysis *analysis);

// The value below or at which the share of a step's times lies, with the interval of its rank at 95 %;
// NaN in value where n is too small for both ends of the interval.
struct operation_quantile {
    double value, low, high; // ms
    int64_t n;
};
struct operation_quantile operation_quantile(const struct operation *operation, enum operation_step step,
                                             double share);

// Adds series, a table and the key "latency". FATAL: no memory.
enum status operation_write(const struct operation *operation, cJSON *document, struct error *err) MUST_CHECK;

#endif
