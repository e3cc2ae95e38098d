// part_alarms.c: "alarms" and the series behind them, and "budget": how the yearly budget of false alarms is
// shared, and what came of it in the report's time.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/drift/alarms.h"
#include "monitor/drift/part.h"

enum { ALARM_NAME_SIZE = 160 };

struct alarm_list {
    const struct drift_windows *windows;
    const struct drift_reference *reference;
    cJSON *document, *budget;
    struct drift_run_days days;
    double *limits;
    int64_t *at, *n;
    double years; // of the report
};

static enum status add_alarm(const struct alarm_list *list, const char *name, const struct drift_run *run,
                             bool plain, struct error *err)
{
    const struct report_alarm alarm = {.name = name,
                                       .state = drift_run_state(run),
                                       .value = run->value,
                                       .limit = run->limit.limit,
                                       .arl0_days = run->limit.arl0_days,
                                       .delay_days = run->limit.delay_days,
                                       .n = run->n,
                                       .since = run->since,
                                       .plain = plain};
    return report_add_alarm(list->document, &alarm, err);
}

static enum status add_series(const struct alarm_list *list, const char *name, const struct drift_run *run,
                              struct error *err)
{
    int days = drift_windows_days(list->windows);
    for (int i = 0; i < days; i++) {
        list->at[i] = drift_windows_day_at(list->windows, i);
        list->limits[i] = run->limit.limit;
        list->n[i] = drift_windows_day(list->windows, 0, i)->output.n;
    }
    const struct report_series series = {.chart = name,
                                         .name = name,
                                         .unit = "",
                                         .count = (size_t)days,
                                         .at = list->at,
                                         .y = list->days.values,
                                         .limit = list->limits,
                                         .n = list->n};
    return report_add_series(list->document, &series, err);
}

// seen < 0: nobody counts it here.
static void add_budget_row(const struct alarm_list *list, const char *name, double yearly, double charts,
                           double seen)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "alarm", name);
    cJSON_AddNumberToObject(row, "charts", charts);
    cJSON_AddItemToObject(row, "false_alarms_a_year", drift_json(yearly));
    cJSON_AddItemToObject(row, "expected", drift_json(yearly * list->years));
    cJSON_AddItemToObject(row, "seen", seen < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(seen));
    cJSON_AddItemToArray(list->budget, row);
}

static enum status add_charts(const struct alarm_list *list, struct error *err)
{
    double share = drift_budget_of_chart(list->reference->limits.budget);
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < DRIFT_LIMITED_CHARTS; i++) {
        struct drift_run run;
        if (i == CHART_INPUT)
            drift_run_looks(list->windows, list->reference, 0, &list->days, &run);
        else
            drift_run_chart(list->windows, list->reference, (enum drift_chart_kind)i, &list->days, &run);
        status = add_alarm(list, drift_charts[i], &run, false, err);
        if (status == STATUS_OK)
            status = add_series(list, drift_charts[i], &run, err);
        add_budget_row(list, drift_charts[i], isnan(run.limit.limit) ? 0 : share, 1, run.alarms);
    }
    add_budget_row(list, drift_charts[CHART_MISSED_MELANOMA], share, 1, -1);
    return status;
}

// The input of each site, or of each device.
static enum status add_strata(const struct alarm_list *list, enum drift_stratum_kind kind, struct error *err)
{
    double yearly = 0, seen = 0, count = 0;
    char name[ALARM_NAME_SIZE];
    enum status status = STATUS_OK;
    for (size_t i = 1; status == STATUS_OK && i < list->reference->stratum_count; i++) {
        const struct drift_stratum *stratum = &list->reference->strata[i];
        struct drift_run run;
        if (stratum->kind != kind)
            continue;
        drift_run_looks(list->windows, list->reference, i, &list->days, &run);
        snprintf(name, sizeof name, "%s %s=%s", drift_charts[CHART_INPUT], drift_stratum_kinds[kind],
                 stratum->name);
        status = add_alarm(list, name, &run, false, err);
        yearly += isnan(run.limit.limit) ? 0 : 365 / run.limit.arl0_days;
        seen += run.alarms;
        count++;
    }
    snprintf(name, sizeof name, "%s by %s", drift_charts[CHART_INPUT], drift_stratum_kinds[kind]);
    if (count > 0)
        add_budget_row(list, name, yearly, count, seen);
    return status;
}

// Names that the reference knows none like: no drift, but a camera that nobody has looked at.
static enum status add_unseen(const struct alarm_list *list, struct error *err)
{
    struct drift_tally *week = memory_alloc(sizeof *week);
    enum status status = STATUS_OK;
    drift_windows_last(list->windows, 0, 7, week);
    for (int i = 0; status == STATUS_OK && i < DRIFT_CATEGORIES; i++) {
        int feature = DRIFT_NUMBERS + i;
        char name[ALARM_NAME_SIZE];
        if (!list->reference->bins.complete[i])
            continue;
        int32_t unseen = week->counts[feature][drift_bin_count(&list->reference->bins, feature) - 1];
        const struct report_alarm alarm = {.name = name,
                                           .state = unseen ? "warning" : "ok",
                                           .value = unseen,
                                           .limit = 1,
                                           .arl0_days = NAN,
                                           .delay_days = NAN,
                                           .n = week->output.n,
                                           .since = -1};
        snprintf(name, sizeof name, "unseen %s", drift_features[feature]);
        status = report_add_alarm(list->document, &alarm, err);
    }
    free(week);
    return status;
}

static enum status add_plain_rules(const struct alarm_list *list, struct error *err)
{
    static const char *const columns[] = {"plain rule", "days in alarm", "days of the report",
                                          "days between false alarms (simulated)"};
    cJSON *rows = cJSON_CreateArray();
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < DRIFT_PLAIN_RULES; i++) {
        struct drift_run run;
        drift_run_plain(list->windows, list->reference, (enum drift_plain_rule)i, &list->days, &run);
        status = add_alarm(list, drift_plain_rules[i], &run, true, err);
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(row, cJSON_CreateString(drift_plain_rules[i]));
        cJSON_AddItemToArray(row, cJSON_CreateNumber(run.alarms));
        cJSON_AddItemToArray(row, cJSON_CreateNumber(drift_windows_days(list->windows)));
        cJSON_AddItemToArray(row, drift_json(run.limit.arl0_days));
        cJSON_AddItemToArray(rows, row);
    }
    if (status == STATUS_OK)
        return report_add_table(list->document, "The plain rules", columns, sizeof columns / sizeof *columns,
                                rows, err);
    cJSON_Delete(rows);
    return status;
}

static enum status add_all(const struct alarm_list *list, struct error *err)
{
    enum status status = add_charts(list, err);
    if (status == STATUS_OK)
        status = add_strata(list, STRATUM_SITE, err);
    if (status == STATUS_OK)
        status = add_strata(list, STRATUM_DEVICE, err);
    if (status == STATUS_OK)
        status = add_unseen(list, err);
    return status == STATUS_OK ? add_plain_rules(list, err) : status;
}

enum status drift_write_alarms(const struct drift_windows *windows, const struct drift_reference *reference,
                               cJSON *document, struct error *err)
{
    size_t days = (size_t)drift_windows_days(windows);
    struct alarm_list list = {.windows = windows,
                              .reference = reference,
                              .document = document,
                              .budget = cJSON_AddArrayToObject(document, "budget"),
                              .days.values = memory_alloc(days * sizeof *list.days.values),
                              .days.alarms = memory_alloc(days * sizeof *list.days.alarms),
                              .limits = memory_alloc(days * sizeof *list.limits),
                              .at = memory_alloc(days * sizeof *list.at),
                              .n = memory_alloc(days * sizeof *list.n),
                              .years = (double)days / 365};
    enum status status = add_all(&list, err);
    free(list.days.values);
    free(list.days.alarms);
    free(list.limits);
    free(list.at);
    free(list.n);
    return status;
}
