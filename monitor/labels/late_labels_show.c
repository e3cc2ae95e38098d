// late_labels_show.c: the cohorts as charts and tables, read from the document, so that both say the same.
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

static cJSON *cohort_row(const cJSON *cohort)
{
    cJSON *row = cJSON_CreateArray();
    static const char *const copied[] = {"cohort", "state", "n", "labelled"};
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        cJSON_AddItemToArray(row, cJSON_Duplicate(cJSON_GetObjectItem(cohort, copied[i]), true));
    const cJSON *action;
    cJSON_ArrayForEach(action, cJSON_GetObjectItem(cohort, "by_action"))
    {
        double n = number_of(action, "n");
        cJSON_AddItemToArray(row, n > 0 ? cJSON_CreateNumber(number_of(action, "labelled") / n)
                                        : cJSON_CreateNull());
    }
    cJSON_AddItemToArray(row, estimate_cell(cJSON_GetObjectItem(cohort, "sensitivity_naive")));
    cJSON_AddItemToArray(row, estimate_cell(cJSON_GetObjectItem(cohort, "sensitivity_corrected")));
    return row;
}

static enum status add_cohort_table(cJSON *document, struct error *err)
{
    static const char *const columns[] = {"week of",
                                          "state",
                                          "analyses",
                                          "labelled",
                                          "of monitor",
                                          "of routine_referral",
                                          "of urgent_referral",
                                          "sensitivity, naive",
                                          "sensitivity, corrected"};
    cJSON *rows = cJSON_CreateArray();
    const cJSON *cohort;
    cJSON_ArrayForEach(cohort, cJSON_GetObjectItem(document, "cohorts"))
    {
        cJSON_AddItemToArray(rows, cohort_row(cohort));
    }
    return report_add_table(document, "Labels that are in, by week of the answer", columns,
                            sizeof columns / sizeof *columns, rows, err);
}

static enum status add_figures_table(cJSON *document, struct error *err)
{
    static const char *const columns[] = {"figure", "estimate (95 %)", "n"};
    const cJSON *performance = cJSON_GetObjectItem(document, "performance");
    cJSON *rows = cJSON_CreateArray();
    for (int f = 0; f < JUDGED_FIGURES; f++) {
        const cJSON *estimate = cJSON_GetObjectItem(performance, judged_names[f]);
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(row, cJSON_CreateString(judged_names[f]));
        cJSON_AddItemToArray(row, estimate_cell(estimate));
        cJSON_AddItemToArray(row, cJSON_CreateNumber(number_of(estimate, "n")));
        cJSON_AddItemToArray(rows, row);
    }
    static const char *const rates[] = {"melanoma_sensitivity", "malignant_sensitivity", "specificity"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        for (const cJSON *way = cJSON_GetObjectItem(performance, rates[i])->child; way; way = way->next) {
            if (!cJSON_IsObject(way))
                continue;
            char name[64];
            snprintf(name, sizeof name, "%s, %s", rates[i], way->string);
            cJSON *row = cJSON_CreateArray();
            cJSON_AddItemToArray(row, cJSON_CreateString(name));
            cJSON_AddItemToArray(row, estimate_cell(way));
            cJSON_AddItemToArray(row, cJSON_CreateNumber(number_of(way, "n")));
            cJSON_AddItemToArray(rows, row);
        }
    return report_add_table(document, "Figures of the whole time", columns, sizeof columns / sizeof *columns,
                            rows, err);
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
    if (status == STATUS_OK)
        status = add_cohort_table(document, err);
    return status == STATUS_OK ? add_figures_table(document, err) : status;
}
