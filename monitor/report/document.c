// document.c: what parts add to a report's document.
#include <math.h>

#include "monitor/report/report.h"

const char *const report_kind_names[REPORT_KINDS] = {"drift", "performance", "comparison", "incident"};

static cJSON *number_or_null(double value)
{
    return isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

// The list of that name in the document, made where it isn't there. NULL: no memory.
static cJSON *list(cJSON *document, const char *name)
{
    cJSON *found = cJSON_GetObjectItemCaseSensitive(document, name);
    return found ? found : cJSON_AddArrayToObject(document, name);
}

static enum status append(cJSON *document, const char *name, cJSON *item, struct error *err)
{
    if (item && cJSON_AddItemToArray(list(document, name), item))
        return STATUS_OK;
    cJSON_Delete(item);
    return error_set(err, STATUS_FATAL, "no memory for the report's %s", name);
}

static bool add(cJSON *object, const char *name, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *numbers(const double *values, size_t count)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < count; i++)
        if (!cJSON_AddItemToArray(array, number_or_null(values[i]))) {
            cJSON_Delete(array);
            return NULL;
        }
    return array;
}

static cJSON *integers(const int64_t *values, size_t count)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < count; i++)
        if (!cJSON_AddItemToArray(array, cJSON_CreateNumber((double)values[i]))) {
            cJSON_Delete(array);
            return NULL;
        }
    return array;
}

static cJSON *truths(const bool *values, size_t count)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < count; i++)
        if (!cJSON_AddItemToArray(array, cJSON_CreateBool(values[i]))) {
            cJSON_Delete(array);
            return NULL;
        }
    return array;
}

// The arrays that a series may lack.
static bool add_optional(cJSON *item, const struct report_series *series)
{
    return (!series->low || add(item, "low", numbers(series->low, series->count))) &&
           (!series->high || add(item, "high", numbers(series->high, series->count))) &&
           (!series->limit || add(item, "limit", numbers(series->limit, series->count))) &&
           (!series->n || add(item, "n", integers(series->n, series->count))) &&
           (!series->hollow || add(item, "hollow", truths(series->hollow, series->count)));
}

enum status report_add_series(cJSON *document, const struct report_series *series, struct error *err)
{
    cJSON *item = cJSON_CreateObject();
    bool whole = item && add(item, "chart", cJSON_CreateString(series->chart)) &&
                 add(item, "name", cJSON_CreateString(series->name)) &&
                 add(item, "unit", cJSON_CreateString(series->unit)) &&
                 add(item, "at", integers(series->at, series->count)) &&
                 add(item, "y", numbers(series->y, series->count)) && add_optional(item, series);
    if (!whole) {
        cJSON_Delete(item);
        item = NULL;
    }
    return append(document, "series", item, err);
}

enum status report_add_table(cJSON *document, const char *title, const char *const *columns,
                             size_t column_count, cJSON *rows, struct error *err)
{
    cJSON *item = cJSON_CreateObject();
    cJSON *names = cJSON_CreateStringArray(columns, (int)column_count);
    bool whole = item && add(item, "title", cJSON_CreateString(title));
    whole = add(item, "columns", names) && whole;
    whole = add(item, "rows", rows) && whole;
    if (!whole) {
        cJSON_Delete(item);
        item = NULL;
    }
    return append(document, "tables", item, err);
}

enum status report_add_alarm(cJSON *document, const struct report_alarm *alarm, struct error *err)
{
    cJSON *item = cJSON_CreateObject();
    bool whole = item && add(item, "name", cJSON_CreateString(alarm->name)) &&
                 add(item, "state", cJSON_CreateString(alarm->state)) &&
                 add(item, "value", number_or_null(alarm->value)) &&
                 add(item, "limit", number_or_null(alarm->limit)) &&
                 add(item, "arl0_days", number_or_null(alarm->arl0_days)) &&
                 add(item, "delay_days", number_or_null(alarm->delay_days)) &&
                 add(item, "n", cJSON_CreateNumber((double)alarm->n)) &&
                 add(item, "since",
                     alarm->since < 0 ? cJSON_CreateNull() : cJSON_CreateNumber((double)alarm->since)) &&
                 add(item, "plain", cJSON_CreateBool(alarm->plain));
    if (!whole) {
        cJSON_Delete(item);
        item = NULL;
    }
    return append(document, "alarms", item, err);
}

cJSON *report_estimate(double estimate, double low, double high, int64_t n, const char *method_or_reason)
{
    cJSON *item = cJSON_CreateObject();
    bool known = isfinite(estimate);
    bool whole =
        item && add(item, "estimate", number_or_null(estimate)) &&
        (!known || (add(item, "low", number_or_null(low)) && add(item, "high", number_or_null(high)))) &&
        add(item, "n", cJSON_CreateNumber((double)n)) &&
        add(item, known ? "method" : "reason", cJSON_CreateString(method_or_reason)) &&
        (!known || add(item, "level", cJSON_CreateNumber(0.95)));
    if (whole)
        return item;
    cJSON_Delete(item);
    return NULL;
}
