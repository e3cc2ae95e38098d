// operation.c: counts of days and of milliseconds.
#include "monitor/service/operation.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

enum {
    MS_MOST = 60000, // longer times count as that long: the deadline of a job
    QUANTILES = 3,
};

static const int64_t day_ms = 24 * 3600 * 1000;
static const double quantiles[QUANTILES] = {0.5, 0.95, 0.99};
static const double normal_975 = 1.959963984540054;

const char *const operation_step_names[STEP_COUNT] = {"fetch",          "preprocessing", "batch", "inference",
                                                      "postprocessing", "publish",       "total"};

// The service levels' P50 and P99, ms; 0: none. The total's is that of the whole way, whose ends, network and
// gateway, these times don't see.
static const double budgets[STEP_COUNT][2] = {[STEP_PREPROCESSING] = {30, 60},
                                              [STEP_INFERENCE] = {95, 150},
                                              [STEP_POSTPROCESSING] = {10, 30},
                                              [STEP_PUBLISH] = {5, 15},
                                              [STEP_TOTAL] = {215, 430}};

struct operation {
    int64_t from, to;
    size_t days;
    int64_t *answered, *failed; // (days)
    int64_t n[STEP_COUNT];
    uint32_t times[STEP_COUNT][MS_MOST + 1];
};

struct operation *operation_new(int64_t from, int64_t to)
{
    struct operation *operation = memory_alloc(sizeof *operation);
    operation->from = from - from % day_ms;
    operation->to = to;
    operation->days = (size_t)((to - operation->from + day_ms - 1) / day_ms);
    operation->answered = memory_alloc((operation->days + 1) * sizeof *operation->answered);
    operation->failed = memory_alloc((operation->days + 1) * sizeof *operation->failed);
    return operation;
}

void operation_free(struct operation *operation)
{
    if (!operation)
        return;
    free(operation->answered);
    free(operation->failed);
    free(operation);
}

static void add_time(struct operation *operation, enum operation_step step, int64_t begun, int64_t done)
{
    if (begun < 0 || done < begun) // a step it did not pass, or two clocks
        return;
    operation->times[step][done - begun < MS_MOST ? done - begun : MS_MOST]++;
    operation->n[step]++;
}

void operation_add(struct operation *operation, const struct analysis *analysis)
{
    if (analysis->at < operation->from || analysis->at >= operation->to)
        return;
    size_t day = (size_t)((analysis->at - operation->from) / day_ms);
    if (*analysis->error_code) {
        operation->failed[day]++;
        return;
    }
    operation->answered[day]++;
    if (analysis->replayed) // how long it lay in the dead letters is no latency
        return;
    for (int i = 0; i < STEP_TOTAL; i++)
        add_time(operation, (enum operation_step)i, analysis->moments[i], analysis->moments[i + 1]);
    add_time(operation, STEP_TOTAL, analysis->submitted, analysis->moments[MOMENT_PUBLISHED]);
}

// The time of a rank, from 1.
static double time_of_rank(const struct operation *operation, enum operation_step step, double rank)
{
    int64_t seen = 0;
    for (int ms = 0; ms <= MS_MOST; ms++) {
        seen += operation->times[step][ms];
        if ((double)seen >= rank)
            return ms;
    }
    return MS_MOST;
}

struct operation_quantile operation_quantile(const struct operation *operation, enum operation_step step,
                                             double share)
{
    double n = (double)operation->n[step], width = normal_975 * sqrt(n * share * (1 - share));
    double low = floor(n * share - width), high = ceil(n * share + width);
    struct operation_quantile quantile = {NAN, NAN, NAN, operation->n[step]};
    if (low < 1 || high > n)
        return quantile;
    quantile.value = time_of_rank(operation, step, ceil(n * share));
    quantile.low = time_of_rank(operation, step, low);
    quantile.high = time_of_rank(operation, step, high);
    return quantile;
}

static cJSON *quantile_object(const struct operation *operation, int step, double share)
{
    const struct operation_quantile quantile =
        operation_quantile(operation, (enum operation_step)step, share);
    bool known = isfinite(quantile.value);
    return report_estimate(quantile.value, quantile.low, quantile.high, quantile.n,
                           known ? "ranks" : "too few for both ends of an interval");
}

static bool add_item(cJSON *object, const char *name, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

// Over its budget only where the whole interval is.
static const char *judge(const struct operation *operation, int step)
{
    const struct operation_quantile p99 = operation_quantile(operation, (enum operation_step)step, 0.99);
    double budget = budgets[step][1];
    return budget == 0 ? "none" : isnan(p99.low) ? "insufficient" : p99.low > budget ? "over" : "within";
}

static bool add_step(cJSON *list, const struct operation *operation, int step)
{
    cJSON *row = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, row))
        return false;
    return cJSON_AddStringToObject(row, "step", operation_step_names[step]) &&
           add_item(row, "p50_ms", quantile_object(operation, step, quantiles[0])) &&
           add_item(row, "p95_ms", quantile_object(operation, step, quantiles[1])) &&
           add_item(row, "p99_ms", quantile_object(operation, step, quantiles[2])) &&
           (budgets[step][0] == 0 || (cJSON_AddNumberToObject(row, "budget_p50_ms", budgets[step][0]) &&
                                      cJSON_AddNumberToObject(row, "budget_p99_ms", budgets[step][1]))) &&
           cJSON_AddStringToObject(row, "budget", judge(operation, step));
}

static enum status add_days(const struct operation *operation, cJSON *document, struct error *err)
{
    int64_t *at = memory_alloc((operation->days + 1) * sizeof *at);
    double *answered = memory_alloc((operation->days + 1) * sizeof *answered);
    double *failed = memory_alloc((operation->days + 1) * sizeof *failed);
    for (size_t i = 0; i < operation->days; i++) {
        at[i] = operation->from + (int64_t)i * day_ms;
        answered[i] = (double)operation->answered[i];
        failed[i] = (double)operation->failed[i];
    }
    struct report_series series = {.chart = "Analyses of each day",
                                   .name = "answered",
                                   .unit = "analyses",
                                   .count = operation->days,
                                   .at = at,
                                   .y = answered};
    enum status status = report_add_series(document, &series, err);
    series.name = "failed";
    series.y = failed;
    if (status == STATUS_OK)
        status = report_add_series(document, &series, err);
    free(at);
    free(answered);
    free(failed);
    return status;
}

enum status operation_write(const struct operation *operation, cJSON *document, struct error *err)
{
    cJSON *list = cJSON_AddArrayToObject(document, "latency");
    bool whole = list != NULL;
    for (int i = 0; whole && i < STEP_COUNT; i++)
        whole = add_step(list, operation, i);
    if (!whole)
        return error_set(err, STATUS_FATAL, "no memory for the report's latency");
    return add_days(operation, document, err);
}
