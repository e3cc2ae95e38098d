// part_output.c: "output": what the model said in the last seven days, beside the reference.
#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/interval.h"
#include "common/statistics/special.h"
#include "monitor/drift/charts.h"
#include "monitor/drift/part.h"

#define LEVEL 0.95

static const char no_evidence[] = "fewer than 50";

static cJSON *share_estimate(int64_t events, int64_t trials)
{
    if (trials < DRIFT_LEAST_OF_RATES)
        return report_estimate(NAN, NAN, NAN, trials, no_evidence);
    struct interval interval = interval_wilson((struct share){events, trials}, LEVEL);
    return report_estimate((double)events / (double)trials, interval.low, interval.high, trials, "wilson");
}

static cJSON *mean_estimate(const struct drift_output *output, enum drift_mean which)
{
    if (output->n < DRIFT_LEAST_OF_RATES)
        return report_estimate(NAN, NAN, NAN, output->n, no_evidence);
    double n = (double)output->n, mean = output->sums[which] / n;
    double half = special_normal_quantile((1 + LEVEL) / 2) *
                  sqrt(fmax(0, output->squares[which] / n - mean * mean) / n);
    return report_estimate(mean, mean - half, mean + half, output->n, "normal");
}

static double ratio(int64_t events, int64_t trials)
{
    return trials > 0 ? (double)events / (double)trials : NAN;
}

// A line of the list and of the page's table; takes the estimate over.
static void add_line(cJSON *list, cJSON *rows, const char *name, cJSON *estimate, double reference)
{
    cJSON *object = cJSON_CreateObject(), *row = cJSON_CreateArray();
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(estimate, "estimate");
    const cJSON *low = cJSON_GetObjectItemCaseSensitive(estimate, "low");
    const cJSON *high = cJSON_GetObjectItemCaseSensitive(estimate, "high");
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(estimate, "n");
    cJSON_AddItemToArray(row, cJSON_CreateString(name));
    cJSON_AddItemToArray(row, drift_json(n->valuedouble));
    cJSON_AddItemToArray(row, drift_json(low ? value->valuedouble : NAN));
    cJSON_AddItemToArray(row, drift_json(low ? low->valuedouble : NAN));
    cJSON_AddItemToArray(row, drift_json(high ? high->valuedouble : NAN));
    cJSON_AddItemToArray(row, drift_json(reference));
    cJSON_AddItemToArray(rows, row);
    cJSON_AddStringToObject(object, "name", name);
    cJSON_AddItemToObject(object, "value", estimate);
    cJSON_AddItemToObject(object, "reference", drift_json(reference));
    cJSON_AddItemToArray(list, object);
}

static enum status add_values(const struct drift_output *week, const struct drift_output *known,
                              cJSON *output, cJSON *document, struct error *err)
{
    static const char *const columns[] = {
        "answers of the last 7 days", "n", "value", "low", "high", "reference"};
    static const char *const names[DRIFT_MEANS] = {"entropy_nats", "confidence"};
    cJSON *list = cJSON_AddArrayToObject(output, "values"), *rows = cJSON_CreateArray();
    for (int i = 0; i < LESION_CLASSES; i++)
        add_line(list, rows, lesion_codes[i], share_estimate(week->classes[i], week->n),
                 ratio(known->classes[i], known->n));
    for (int i = 0; i < DRIFT_RATES; i++)
        add_line(list, rows, drift_rates[i], share_estimate(week->events[i], week->trials[i]),
                 ratio(known->events[i], known->trials[i]));
    add_line(list, rows, "abstained", share_estimate(week->abstained, week->n), NAN);
    for (int i = 0; i < DRIFT_MEANS; i++)
        add_line(list, rows, names[i], mean_estimate(week, (enum drift_mean)i),
                 known->n ? known->sums[i] / (double)known->n : NAN);
    return report_add_table(document, "What the model said", columns, sizeof columns / sizeof *columns, rows,
                            err);
}

enum status drift_write_output(const struct drift_windows *windows, const struct drift_reference *reference,
                               cJSON *document, struct error *err)
{
    struct drift_tally *week = memory_alloc(sizeof *week);
    cJSON *output = cJSON_AddObjectToObject(document, "output");
    drift_windows_last(windows, 0, DRIFT_WEEK, week);
    enum status status = add_values(&week->output, &reference->strata[0].tally.output, output, document, err);
    free(week);
    return status;
}
