// incident.c: a row for each answer.
#include "monitor/incident/incident.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/moment.h"
#include "common/records/feedback.h"

enum status incident_add(struct incident *incident, const struct analysis *analysis, struct error *err)
{
    if (incident->count == INCIDENT_ANSWERS_MOST)
        return error_set(err, STATUS_REJECTED,
                         "more than %d answers were given in that time: ask for a shorter one",
                         INCIDENT_ANSWERS_MOST);
    if (incident->count == incident->capacity) {
        incident->capacity = incident->capacity ? 2 * incident->capacity : 256;
        incident->answers = memory_realloc(incident->answers, incident->capacity * sizeof *incident->answers);
    }
    struct incident_answer *answer = &incident->answers[incident->count++];
    bool failed = *analysis->error_code != '\0';
    *answer = (struct incident_answer){
        .at = analysis->at,
        .action = failed ? -1 : (int8_t)analysis->action,
        .class = failed ? -1 : (int8_t)analysis->class,
        .label = analysis->truth.conflict ? -1 : (int8_t)analysis->truth.label,
        .failed = failed,
        .replaced = analysis->replaced,
        .number = incident->count,
    };
    memcpy(answer->request_id, analysis->request_id, sizeof answer->request_id);
    return STATUS_OK;
}

void incident_release(struct incident *incident)
{
    free(incident->answers);
    *incident = (struct incident){0};
}

// Of two that were told to wait, the one whose label says that it was a mistake comes first.
static int rank_of(const struct incident_answer *answer)
{
    bool known_malignant =
        answer->label >= 0 && answer->label < LESION_CLASSES && lesion_is_malignant(answer->label);
    return answer->failed ? 2 * ACTION_COUNT : 2 * answer->action + !known_malignant;
}

static int by_advice(const void *left, const void *right)
{
    const struct incident_answer *a = left, *b = right;
    int order = rank_of(a) - rank_of(b);
    if (order == 0)
        order = (a->at > b->at) - (a->at < b->at);
    if (order == 0)
        order = strcmp(a->request_id, b->request_id);
    return order ? order : (a->number > b->number) - (a->number < b->number);
}

static cJSON *row_of(const struct incident_answer *answer)
{
    char time[MOMENT_TEXT_SIZE];
    moment_format(answer->at, time);
    cJSON *row = cJSON_CreateArray();
    cJSON_AddItemToArray(row, cJSON_CreateString(answer->request_id));
    cJSON_AddItemToArray(row, cJSON_CreateString(time));
    cJSON_AddItemToArray(row, cJSON_CreateString(answer->failed ? "failed" : action_names[answer->action]));
    cJSON_AddItemToArray(row, cJSON_CreateString(answer->failed ? "" : lesion_codes[answer->class]));
    cJSON_AddItemToArray(
        row, cJSON_CreateString(answer->label >= 0 ? feedback_label_names[answer->label] : "not known"));
    cJSON_AddItemToArray(row, cJSON_CreateString(answer->replaced ? "answered again" : ""));
    return row;
}

static void add_counts(const struct incident *incident, const char *model_version, cJSON *document)
{
    int64_t counts[ACTION_COUNT] = {0}, failed = 0, replaced = 0;
    for (size_t i = 0; i < incident->count; i++) {
        replaced += incident->answers[i].replaced;
        if (incident->answers[i].failed)
            failed++;
        else
            counts[incident->answers[i].action]++;
    }
    cJSON *item = cJSON_AddObjectToObject(document, "incident");
    cJSON_AddItemToObject(item, "model_version",
                          model_version ? cJSON_CreateString(model_version) : cJSON_CreateNull());
    cJSON_AddNumberToObject(item, "n", (double)incident->count);
    cJSON_AddNumberToObject(item, "replaced", (double)replaced);
    for (int a = 0; a < ACTION_COUNT; a++)
        cJSON_AddNumberToObject(item, action_names[a], (double)counts[a]);
    bool unknown = model_version && failed == 0; // workers before the field `model_version` did not say
    cJSON_AddItemToObject(item, "failed", unknown ? cJSON_CreateNull() : cJSON_CreateNumber((double)failed));
    if (unknown)
        cJSON_AddStringToObject(item, "failed_reason", "no error names the model");
}

enum status incident_write(struct incident *incident, const char *model_version, cJSON *document,
                           struct error *err)
{
    static const char *const columns[] = {"request",   "answered",    "advised",
                                          "diagnosis", "label since", "since then"};
    if (incident->count > 0)
        qsort(incident->answers, incident->count, sizeof *incident->answers, by_advice);
    add_counts(incident, model_version, document);
    cJSON *rows = cJSON_CreateArray();
    for (size_t i = 0; i < incident->count; i++)
        cJSON_AddItemToArray(rows, row_of(&incident->answers[i]));
    return report_add_table(document, "Answers to look at again", columns, sizeof columns / sizeof *columns,
                            rows, err);
}
