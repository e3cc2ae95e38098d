// part_input.c: "drift": each feature of each window and stratum beside the reference.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/drift/compare.h"
#include "monitor/drift/part.h"

#define DRIFT_FALSE_DISCOVERIES 0.01 // share of false ones among a window's warnings

static const int windows_days[] = {1, 7, 28};
enum { WINDOWS = 3, COLUMNS = 10 };

// A histogram has a distance but no p: nothing judges it, however many pictures there are.
static const char *state_of(const struct drift_difference *difference)
{
    if (difference->insufficient || isnan(difference->adjusted))
        return "insufficient";
    return difference->adjusted <= DRIFT_FALSE_DISCOVERIES ? "warning" : "ok";
}

static bool add_values(cJSON *object, const struct drift_difference *difference)
{
    const struct {
        const char *name;
        double value;
    } values[] = {{"kl", difference->kl}, {"js", difference->js},   {"psi", difference->psi},
                  {"w1", difference->w1}, {"tvd", difference->tvd}, {"l_infinity", difference->greatest},
                  {"g", difference->g},   {"p", difference->p},     {"p_adjusted", difference->adjusted}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!cJSON_AddItemToObject(object, values[i].name, drift_json(values[i].value)))
            return false;
    return true;
}

static enum status add_entry(cJSON *list, const struct drift_stratum *stratum, int days, int feature,
                             const struct drift_difference *difference, struct error *err)
{
    cJSON *object = cJSON_CreateObject();
    if (cJSON_AddItemToArray(list, object) &&
        cJSON_AddStringToObject(object, "feature", drift_features[feature]) &&
        cJSON_AddStringToObject(object, "stratum", drift_stratum_kinds[stratum->kind]) &&
        cJSON_AddStringToObject(object, "name", stratum->name) &&
        cJSON_AddNumberToObject(object, "window_days", days) &&
        cJSON_AddNumberToObject(object, "n", (double)difference->n) &&
        cJSON_AddNumberToObject(object, "unseen", (double)difference->unseen) &&
        add_values(object, difference) && cJSON_AddStringToObject(object, "state", state_of(difference)))
        return STATUS_OK;
    return error_set(err, STATUS_FATAL, "no memory for the report's drift");
}

// ---- what the page shows ----

static cJSON *feature_row(const char *name, const struct drift_difference *difference)
{
    cJSON *row = cJSON_CreateArray();
    cJSON_AddItemToArray(row, cJSON_CreateString(name));
    cJSON_AddItemToArray(row, cJSON_CreateNumber((double)difference->n));
    cJSON_AddItemToArray(row, cJSON_CreateNumber((double)difference->unseen));
    cJSON_AddItemToArray(row, drift_json(difference->kl));
    cJSON_AddItemToArray(row, drift_json(difference->js));
    cJSON_AddItemToArray(row, drift_json(difference->psi));
    cJSON_AddItemToArray(row, drift_json(difference->w1));
    cJSON_AddItemToArray(row, drift_json(difference->g));
    cJSON_AddItemToArray(row, drift_json(difference->adjusted));
    cJSON_AddItemToArray(row, cJSON_CreateString(state_of(difference)));
    return row;
}

static enum status add_window_table(const struct drift_difference *differences, int days, cJSON *document,
                                    struct error *err)
{
    static const char *const columns[COLUMNS] = {"feature", "n",  "unseen", "KL",         "JS",
                                                 "PSI",     "W1", "G",      "adjusted p", "state"};
    char title[64];
    cJSON *rows = cJSON_CreateArray();
    snprintf(title, sizeof title, "Input of the last %d day%s", days, days == 1 ? "" : "s");
    for (int i = 0; i < DRIFT_FEATURES; i++)
        cJSON_AddItemToArray(rows, feature_row(drift_features[i], &differences[i]));
    return report_add_table(document, title, columns, COLUMNS, rows, err);
}

// The feature that moved most, or the first one where none can be judged.
static int most_moved(const struct drift_difference *differences)
{
    int most = 0;
    for (int i = 1; i < DRIFT_COUNTED; i++)
        if (!isnan(differences[i].adjusted) &&
            !(differences[most].adjusted <= differences[i].adjusted)) // of equal ones the first
            most = i;
    return most;
}

static cJSON *stratum_row(const struct drift_stratum *stratum, const struct drift_difference *differences)
{
    int most = most_moved(differences);
    cJSON *row = cJSON_CreateArray();
    cJSON_AddItemToArray(row, cJSON_CreateString(drift_stratum_kinds[stratum->kind]));
    cJSON_AddItemToArray(row, cJSON_CreateString(stratum->name));
    cJSON_AddItemToArray(row, cJSON_CreateNumber((double)differences[most].n));
    cJSON_AddItemToArray(row, cJSON_CreateString(drift_features[most]));
    cJSON_AddItemToArray(row, drift_json(differences[most].js));
    cJSON_AddItemToArray(row, drift_json(differences[most].adjusted));
    cJSON_AddItemToArray(row, cJSON_CreateString(state_of(&differences[most])));
    return row;
}

static enum status add_strata(const struct drift_windows *windows, const struct drift_reference *reference,
                              cJSON *list, cJSON *document, struct error *err)
{
    static const char *const columns[] = {"of", "name",       "n",    "feature that moved most",
                                          "JS", "adjusted p", "state"};
    struct drift_difference differences[DRIFT_FEATURES];
    struct drift_tally *window = memory_alloc(sizeof *window);
    cJSON *rows = cJSON_CreateArray();
    int days = windows_days[WINDOWS - 1];
    enum status status = STATUS_OK;
    for (size_t i = 1; status == STATUS_OK && i < reference->stratum_count; i++) {
        const struct drift_stratum *stratum = &reference->strata[i];
        drift_windows_last(windows, i, days, window);
        drift_compare(window, &stratum->tally, &reference->bins, differences);
        for (int feature = 0; status == STATUS_OK && feature < DRIFT_FEATURES; feature++)
            status = add_entry(list, stratum, days, feature, &differences[feature], err);
        cJSON_AddItemToArray(rows, stratum_row(stratum, differences));
    }
    free(window);
    if (status == STATUS_OK && reference->stratum_count > 1)
        return report_add_table(document, "Input of the last 28 days by site and device", columns,
                                sizeof columns / sizeof *columns, rows, err);
    cJSON_Delete(rows);
    return status;
}

enum status drift_write_input(const struct drift_windows *windows, const struct drift_reference *reference,
                              cJSON *document, struct error *err)
{
    struct drift_difference differences[DRIFT_FEATURES];
    struct drift_tally *window = memory_alloc(sizeof *window);
    cJSON *list = cJSON_AddArrayToObject(document, "drift");
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < WINDOWS; i++) {
        drift_windows_last(windows, 0, windows_days[i], window);
        drift_compare(window, &reference->strata[0].tally, &reference->bins, differences);
        for (int feature = 0; status == STATUS_OK && feature < DRIFT_FEATURES; feature++)
            status =
                add_entry(list, &reference->strata[0], windows_days[i], feature, &differences[feature], err);
        if (status == STATUS_OK)
            status = add_window_table(differences, windows_days[i], document, err);
    }
    free(window);
    return status == STATUS_OK ? add_strata(windows, reference, list, document, err) : status;
}
