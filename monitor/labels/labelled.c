// labelled.c: keeps labelled analyses.
#include "monitor/labels/labelled.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

bool analysis_is_labelled(const struct analysis *analysis)
{
    int label = analysis->truth.label;
    return label >= 0 && label != FEEDBACK_UNGRADABLE && !analysis->truth.conflict;
}

bool action_is_referral(int action)
{
    return action != ACTION_MONITOR;
}

uint64_t text_number(const char *text)
{
    struct digest digest = digest_of(text, strlen(text));
    uint64_t number;
    memcpy(&number, digest.value, sizeof number);
    return number;
}

uint64_t analysis_subject(const struct analysis *analysis)
{
    return text_number(*analysis->subject        ? analysis->subject
                       : *analysis->image_sha256 ? analysis->image_sha256
                                                 : analysis->request_id);
}

static uint8_t place_of(struct labelled_values *values, const char *text)
{
    const char *name = *text ? text : "unknown";
    for (size_t i = 0; i < values->count; i++)
        if (strcmp(values->texts[i], name) == 0)
            return (uint8_t)i;
    if (values->count == LABELLED_VALUES)
        return LABELLED_VALUES - 1;
    bool last = values->count == LABELLED_VALUES - 1;
    values->texts[values->count] = memory_strdup(last ? "other" : name);
    return (uint8_t)values->count++;
}

static enum status make_room(struct labelled_list *list, struct error *err)
{
    if (list->count == LABELLED_MOST)
        return error_set(err, STATUS_REJECTED,
                         "there are more than %d labelled analyses in that time: ask for a shorter one",
                         LABELLED_MOST);
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 256;
        list->rows = memory_realloc(list->rows, list->capacity * sizeof *list->rows);
    }
    return STATUS_OK;
}

enum status labelled_add(struct labelled_list *list, const struct analysis *analysis, struct error *err)
{
    enum status status = make_room(list, err);
    if (status != STATUS_OK)
        return status;
    struct labelled *row = &list->rows[list->count++];
    *row = (struct labelled){
        .at = analysis->at,
        .reviewed_at = analysis->truth.reviewed_at,
        .subject = analysis_subject(analysis),
        .truth = (uint8_t)analysis->truth.label,
        .said = (uint8_t)analysis->class,
        .action = (uint8_t)analysis->action,
        .atypical = analysis->truth.atypical == 1,
        .fitzpatrick_type = (int8_t)analysis->fitzpatrick_type,
        .age_decade = (int8_t)analysis->age_decade,
        .site = place_of(&list->sites, analysis->site),
        .device = place_of(&list->devices, analysis->capture_device),
    };
    memcpy(row->probabilities, analysis->probabilities, sizeof row->probabilities);
    return STATUS_OK;
}

static void values_release(struct labelled_values *values)
{
    for (size_t i = 0; i < values->count; i++)
        free(values->texts[i]);
}

void labelled_release(struct labelled_list *list)
{
    free(list->rows);
    values_release(&list->sites);
    values_release(&list->devices);
    *list = (struct labelled_list){0};
}

struct numbered {
    uint64_t subject;
    size_t row;
};

static int by_subject(const void *left, const void *right)
{
    const struct numbered *a = left, *b = right;
    int order = (a->subject > b->subject) - (a->subject < b->subject);
    return order ? order : (a->row > b->row) - (a->row < b->row);
}

size_t clusters_of(const struct labelled *rows, size_t count, uint32_t *clusters)
{
    struct numbered *sorted = memory_alloc((count + 1) * sizeof *sorted);
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct numbered){rows[i].subject, i};
    qsort(sorted, count, sizeof *sorted, by_subject);
    for (size_t i = 0; i < count; i++) {
        found += i == 0 || sorted[i].subject != sorted[i - 1].subject;
        clusters[sorted[i].row] = (uint32_t)(found - 1);
    }
    free(sorted);
    return found;
}
