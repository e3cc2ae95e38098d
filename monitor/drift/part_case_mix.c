// part_case_mix.c: "case_mix" of "output": why the model says something else in the report's time than in the
// reference.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/drift/case_split.h"
#include "monitor/drift/part.h"

// "DF, VASC": the classes of a group.
static cJSON *names_of(const struct case_split *split, size_t group)
{
    char text[LESION_CLASSES * 8] = "";
    for (int i = 0; i < LESION_CLASSES; i++)
        if (split->group_of[i] == (int)group) {
            strcat(text, *text ? ", " : "");
            strcat(text, lesion_codes[i]);
        }
    return cJSON_CreateString(text);
}

static void add_number(cJSON *object, const char *name, double value)
{
    cJSON_AddItemToObject(object, name, drift_json(value));
}

static void add_interval(cJSON *object, const char *name, struct interval interval)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    cJSON_AddItemToArray(array, drift_json(interval.low));
    cJSON_AddItemToArray(array, drift_json(interval.high));
}

static cJSON *group_json(const struct case_split *split, size_t k)
{
    const struct case_group *group = &split->of[k];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "classes", names_of(split, k));
    add_number(object, "said_reference", group->reference);
    add_number(object, "said", group->now);
    add_number(object, "by_mix", group->by_mix);
    add_interval(object, "by_mix_interval", group->by_mix_interval);
    add_number(object, "remainder", group->remainder);
    add_number(object, "mix_reference", group->mix_reference);
    add_number(object, "mix", group->mix);
    add_interval(object, "mix_interval", group->mix_interval);
    add_number(object, "labels_p", group->labels_p);
    return object;
}

static enum status add_table(const struct case_split *split, cJSON *document, struct error *err)
{
    static const char *const columns[] = {"class",    "said, reference",    "said",    "by the mix",
                                          "the rest", "lesions, reference", "lesions", "low",
                                          "high",     "p of its labels"};
    cJSON *rows = cJSON_CreateArray();
    for (size_t k = 0; k < split->groups; k++) {
        const struct case_group *group = &split->of[k];
        const double values[] = {
            group->reference,     group->now, group->by_mix,           group->remainder,
            group->mix_reference, group->mix, group->mix_interval.low, group->mix_interval.high,
            group->labels_p};
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(row, names_of(split, k));
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            cJSON_AddItemToArray(row, drift_json(values[i]));
        cJSON_AddItemToArray(rows, row);
    }
    return report_add_table(document, "Other patients, or other answers", columns,
                            sizeof columns / sizeof *columns, rows, err);
}

// What the table says in a word, before it.
static enum status add_verdict(const struct case_split *split, cJSON *document, struct error *err)
{
    static const char *const columns[] = {
        "verdict", "answers", "labels", "p of no change", "p of the mix alone", "p of its labels"};
    static const char *const words[] = {
        [CASE_NO_CHANGE] = "the model says what it said",
        [CASE_MIX] = "other patients come",
        [CASE_REMAINDER] = "the model answers otherwise, or the pictures are others",
    };
    const double values[] = {(double)split->n, (double)split->labelled, split->change_p, split->fit_p,
                             split->labels_p};
    cJSON *rows = cJSON_CreateArray(), *row = cJSON_CreateArray();
    cJSON_AddItemToArray(row, cJSON_CreateString(split->reason ? split->reason : words[split->verdict]));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        cJSON_AddItemToArray(row, drift_json(i > 1 && split->reason ? NAN : values[i]));
    cJSON_AddItemToArray(rows, row);
    return report_add_table(document, "Why the model says something else", columns,
                            sizeof columns / sizeof *columns, rows, err);
}

static enum status write_split(const struct case_split *split, cJSON *document, struct error *err)
{
    cJSON *output = cJSON_GetObjectItemCaseSensitive(document, "output");
    cJSON *object = cJSON_AddObjectToObject(output, "case_mix");
    cJSON_AddStringToObject(object, "verdict", case_verdicts[split->verdict]);
    cJSON_AddNumberToObject(object, "n", (double)split->n);
    cJSON_AddNumberToObject(object, "labelled", (double)split->labelled);
    enum status status = add_verdict(split, document, err);
    if (split->reason) {
        cJSON_AddStringToObject(object, "reason", split->reason);
        return status;
    }
    cJSON_AddNumberToObject(object, "seed", CASE_SEED);
    add_number(object, "condition", split->condition);
    add_number(object, "change_p", split->change_p);
    add_number(object, "fit_p", split->fit_p);
    add_number(object, "labels_p", split->labels_p);
    cJSON *groups = cJSON_AddArrayToObject(object, "groups");
    for (size_t k = 0; k < split->groups; k++)
        cJSON_AddItemToArray(groups, group_json(split, k));
    return status == STATUS_OK ? add_table(split, document, err) : status;
}

enum status drift_write_case_mix(const struct drift_windows *windows, const struct drift_reference *reference,
                                 cJSON *document, struct error *err)
{
    struct drift_tally *all = memory_alloc(sizeof *all);
    struct case_split *split = memory_alloc(sizeof *split);
    drift_windows_last(windows, 0, drift_windows_days(windows), all);
    const struct case_answers then = {&reference->strata[0].tally.output, reference->truth};
    const struct case_answers now = {&all->output, drift_windows_truth(windows)};
    case_split_of(&then, &now, split);
    enum status status = write_split(split, document, err);
    free(split);
    free(all);
    return status;
}
