// late_labels_show.c: the cohorts as charts and as a ledger, read from the document, so that both say the
// same.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/labels/estimates.h"
#include "monitor/labels/late_labels.h"

// One line of a chart, over the cohorts.
struct line {
    int64_t *at, *n;
    double *y, *low, *high;
    bool *open;
    size_t count;
};

static struct line line_new(const struct late_labels *labels)
{
    size_t count = labels->cohorts.count;
    struct line line = {
        .at = memory_alloc(count * sizeof(int64_t)),
        .n = memory_alloc(count * sizeof(int64_t)),
        .y = memory_alloc(count * sizeof(double)),
        .low = memory_alloc(count * sizeof(double)),
        .high = memory_alloc(count * sizeof(double)),
        .open = memory_alloc(count * sizeof(bool)),
        .count = count,
    };
    for (size_t i = 0; i < count; i++) {
        line.at[i] = labels->cohorts.items[i].start;
        line.open[i] = labels->cohorts.items[i].frozen_at < 0;
    }
    return line;
}

static void line_free(struct line *line)
{
    free(line->at);
    free(line->n);
    free(line->y);
    free(line->low);
    free(line->high);
    free(line->open);
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *number = cJSON_GetObjectItem(object, name);
    return cJSON_IsNumber(number) ? number->valuedouble : NAN;
}

static enum status add_line(const struct late_labels *labels, const char *chart, const char *key,
                            cJSON *document, struct error *err)
{
    struct line line = line_new(labels);
    const cJSON *cohort;
    size_t i = 0;
    cJSON_ArrayForEach(cohort, cJSON_GetObjectItem(document, "cohorts"))
    {
        const cJSON *value = cJSON_GetObjectItem(cohort, key);
        bool estimate = cJSON_IsObject(value);
        line.y[i] = estimate ? number_of(value, "estimate") : number_of(cohort, key);
        line.low[i] = estimate ? number_of(value, "low") : NAN;
        line.high[i] = estimate ? number_of(value, "high") : NAN;
        line.n[i] = value ? (int64_t)number_of(estimate ? value : cohort, "n") : 0;
        i++;
    }
    const struct report_series series = {
        .chart = chart,
        .name = key,
        .unit = "",
        .count = line.count,
        .at = line.at,
        .y = line.y,
        .low = line.low,
        .high = line.high,
        .n = line.n,
        .hollow = line.open,
    };
    enum status status = report_add_series(document, &series, err);
    line_free(&line);
    return status;
}

// "48 of 120", of each action or class of a cohort.
static void add_known(const cJSON *counts, cJSON *row)
{
    const cJSON *count;
    cJSON_ArrayForEach(count, counts)
    {
        char text[48];
        snprintf(text, sizeof text, "%.0f of %.0f", number_of(count, "labelled"), number_of(count, "n"));
        cJSON_AddItemToArray(row, cJSON_CreateString(text));
    }
}

// Which labels are in by what was advised, and by what was said to be there.
static enum status add_ledger(cJSON *document, struct error *err)
{
    const char *columns[1 + ACTION_COUNT + LESION_CLASSES] = {"week of"};
    for (int action = 0; action < ACTION_COUNT; action++)
        columns[1 + action] = action_names[action];
    for (int lesion = 0; lesion < LESION_CLASSES; lesion++)
        columns[1 + ACTION_COUNT + lesion] = lesion_codes[lesion];
    cJSON *rows = cJSON_CreateArray();
    const cJSON *cohort;
    cJSON_ArrayForEach(cohort, cJSON_GetObjectItem(document, "cohorts"))
    {
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(row, cJSON_Duplicate(cJSON_GetObjectItem(cohort, "cohort"), true));
        add_known(cJSON_GetObjectItem(cohort, "by_action"), row);
        add_known(cJSON_GetObjectItem(cohort, "by_class"), row);
        cJSON_AddItemToArray(rows, row);
    }
    return report_add_table(document, "Labels that are in, by the answer", columns,
                            sizeof columns / sizeof *columns, rows, err);
}

enum status late_labels_show(const struct late_labels *labels, cJSON *document, struct error *err)
{
    static const char *const lines[][2] = {
        {"Share of the referred lesions whose label is in", "maturity"},
        {"Melanomas referred", "sensitivity_naive"},
        {"Melanomas referred", "sensitivity_corrected"},
        {"Macro AUROC", "auroc"},
        {"Macro AUROC, four weeks", "auroc_rolling"},
        {"Calibration error", "ece"},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && status == STATUS_OK; i++)
        status = add_line(labels, lines[i][0], lines[i][1], document, err);
    return status == STATUS_OK ? add_ledger(document, err) : status;
}
