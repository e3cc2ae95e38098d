// arms_comparison_show.c: the comparison as a chart and tables, read from the document.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/comparison/arms_report.h"
#include "monitor/labels/estimates.h"

// log10 of the evidence for b after each melanoma, and where it is enough.
static enum status add_course(const struct arms_comparison *comparison, cJSON *document, struct error *err)
{
    size_t most = (size_t)comparison->paired.all.n;
    double *y = memory_alloc((most + 1) * sizeof *y), *limit = memory_alloc((most + 1) * sizeof *limit);
    int64_t *at = memory_alloc((most + 1) * sizeof *at), *n = memory_alloc((most + 1) * sizeof *n);
    size_t count = paired_arms_course(&comparison->pairs, y, at);
    for (size_t i = 0; i < count; i++) {
        y[i] /= log(10);
        limit[i] = log10(PAIRED_EVIDENCE);
        n[i] = (int64_t)i + 1;
    }
    const struct report_series series = {.chart = "Evidence that b refers more melanomas",
                                         .name = "log10 of the e-value",
                                         .unit = "",
                                         .count = count,
                                         .at = at,
                                         .y = y,
                                         .limit = limit,
                                         .n = n};
    enum status status = report_add_series(document, &series, err);
    free(y);
    free(limit);
    free(at);
    free(n);
    return status;
}

static void add_row(cJSON *rows, const char *name, cJSON *a, cJSON *b, cJSON *state)
{
    cJSON *row = cJSON_CreateArray();
    cJSON_AddItemToArray(row, cJSON_CreateString(name));
    cJSON_AddItemToArray(row, a);
    cJSON_AddItemToArray(row, b);
    cJSON_AddItemToArray(row, state);
    cJSON_AddItemToArray(rows, row);
}

static cJSON *interval_cell(const cJSON *interval)
{
    char text[64] = "not enough evidence";
    const cJSON *low = cJSON_GetArrayItem(interval, 0), *high = cJSON_GetArrayItem(interval, 1);
    if (cJSON_IsNumber(low) && cJSON_IsNumber(high))
        snprintf(text, sizeof text, "%.3f to %.3f", low->valuedouble, high->valuedouble);
    return cJSON_CreateString(text);
}

static enum status add_sensitivities(const cJSON *item, cJSON *document, struct error *err)
{
    static const char *const columns[] = {"", "a", "b", "difference (b - a)"};
    static const char *const names[] = {"melanoma_sensitivity", "atypical_sensitivity"};
    cJSON *rows = cJSON_CreateArray();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *of = cJSON_GetObjectItem(item, names[i]);
        add_row(rows, names[i], estimate_cell(cJSON_GetObjectItem(of, "a")),
                estimate_cell(cJSON_GetObjectItem(of, "b")),
                interval_cell(cJSON_GetObjectItem(of, "difference")));
    }
    return report_add_table(document, "Melanomas referred", columns, sizeof columns / sizeof *columns, rows,
                            err);
}

static enum status add_guardrails(const cJSON *item, cJSON *document, struct error *err)
{
    static const char *const columns[] = {"guardrail", "difference (b - a), 95 %", "margin", "state"};
    cJSON *rows = cJSON_CreateArray();
    const cJSON *guardrail;
    cJSON_ArrayForEach(guardrail, cJSON_GetObjectItem(item, "guardrails"))
    {
        add_row(rows, cJSON_GetObjectItem(guardrail, "name")->valuestring,
                interval_cell(cJSON_GetObjectItem(guardrail, "interval")),
                cJSON_Duplicate(cJSON_GetObjectItem(guardrail, "margin"), true),
                cJSON_Duplicate(cJSON_GetObjectItem(guardrail, "state"), true));
    }
    return report_add_table(document, "Guardrails", columns, sizeof columns / sizeof *columns, rows, err);
}

static enum status add_decision(const cJSON *item, cJSON *document, struct error *err)
{
    static const char *const columns[] = {"design", "decision", "because", "power"};
    cJSON *rows = cJSON_CreateArray();
    add_row(rows, cJSON_GetObjectItem(item, "design")->valuestring,
            cJSON_Duplicate(cJSON_GetObjectItem(item, "decision"), true),
            cJSON_Duplicate(cJSON_GetObjectItem(item, "reason"), true),
            cJSON_Duplicate(cJSON_GetObjectItem(item, "power"), true));
    return report_add_table(document, "Decision", columns, sizeof columns / sizeof *columns, rows, err);
}

enum status arms_comparison_show(const struct arms_comparison *comparison, cJSON *document, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItem(document, "comparison");
    enum status status = add_decision(item, document, err);
    if (status == STATUS_OK)
        status = add_sensitivities(item, document, err);
    if (status == STATUS_OK)
        status = add_guardrails(item, document, err);
    return status == STATUS_OK && comparison->is_paired ? add_course(comparison, document, err) : status;
}
