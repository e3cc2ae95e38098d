// reading.c: takes the entry from the document, so that it says what the reader sees.
#include "monitor/incident/reading.h"

#include <string.h>

static const cJSON *counts_of(const cJSON *document)
{
    return cJSON_GetObjectItemCaseSensitive(document, "incident");
}

bool incident_is_list(const cJSON *document)
{
    return counts_of(document) != NULL;
}

static int64_t whole_of(const cJSON *object, const char *name)
{
    return (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

// null: all of them.
static bool copy_name(const cJSON *document, const char *key, char out[AUDIT_NAME_SIZE])
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, key));
    *out = '\0';
    if (name && (!*name || strlen(name) >= AUDIT_NAME_SIZE))
        return false;
    if (name)
        strcpy(out, name);
    return true;
}

enum status incident_reading(const cJSON *document, struct audit_list *list, struct error *err)
{
    *list = (struct audit_list){.answers = whole_of(counts_of(document), "n"),
                                .from = whole_of(document, "from"),
                                .to = whole_of(document, "to")};
    if (!copy_name(document, "model_version", list->model) || !copy_name(document, "site", list->site))
        return error_set(err, STATUS_REJECTED, "names of models and sites have 1 to %d characters",
                         AUDIT_NAME_SIZE - 1);
    return STATUS_OK;
}
