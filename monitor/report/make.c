// make.c: a report's head, and then its parts, each of which reads the archive for itself.
#include <stdlib.h>
#include <string.h>

#include "common/base/shutdown.h"
#include "monitor/report/report.h"

static const int64_t day_ms = 24 * 3600 * 1000;

static enum status check(const struct report_request *request, struct error *err)
{
    if (request->from < 0 || request->from >= request->to)
        return error_set(err, STATUS_REJECTED, "a report ends after it begins");
    if ((request->to - request->from) / day_ms > REPORT_DAYS_MOST)
        return error_set(err, STATUS_REJECTED, "a report covers %d days at most", REPORT_DAYS_MOST);
    if (request->kind != REPORT_COMPARISON)
        return STATUS_OK;
    if (!request->model_a || !request->model_b)
        return error_set(err, STATUS_REJECTED, "a comparison needs the versions of two models");
    if (strcmp(request->model_a, request->model_b) == 0)
        return error_set(err, STATUS_REJECTED, "a model is not compared with itself");
    return STATUS_OK;
}

// A part may have ended early at a stop, so that what it added is not to be read.
static enum status add_part(const struct report_part *part, struct archive *archive,
                            const struct report_request *request, cJSON *document, struct error *err)
{
    enum status status = shutdown_requested() ? STATUS_OK : part->add(archive, request, document, err);
    if (status == STATUS_OK && shutdown_requested())
        status = error_set(err, STATUS_RETRY, "a stop was asked for");
    return status;
}

static bool add_name(cJSON *document, const char *name, const char *value)
{
    return value ? cJSON_AddStringToObject(document, name, value) != NULL
                 : cJSON_AddNullToObject(document, name) != NULL;
}

static bool add_as_of(cJSON *document, const struct archive_as_of *as_of)
{
    cJSON *object = cJSON_AddObjectToObject(document, "as_of");
    if (!object || !cJSON_AddNumberToObject(object, "time", (double)as_of->time))
        return false;
    cJSON *offsets = cJSON_AddArrayToObject(object, "offsets");
    for (size_t i = 0; i < as_of->count; i++) {
        cJSON *place = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(offsets, place) ||
            !cJSON_AddStringToObject(place, "topic", as_of->places[i].topic) ||
            !cJSON_AddNumberToObject(place, "partition", as_of->places[i].partition) ||
            !cJSON_AddNumberToObject(place, "next", (double)as_of->places[i].next))
            return false;
    }
    return offsets != NULL;
}

static bool add_head(cJSON *document, const struct report_request *request)
{
    return cJSON_AddStringToObject(document, "schema", "skinsight.report.v1") &&
           add_name(document, "id", request->id) &&
           cJSON_AddStringToObject(document, "kind", report_kind_names[request->kind]) &&
           add_as_of(document, request->as_of) &&
           cJSON_AddNumberToObject(document, "from", (double)request->from) &&
           cJSON_AddNumberToObject(document, "to", (double)request->to) &&
           add_name(document, "model_version", request->model_version) &&
           add_name(document, "site", request->site) && cJSON_AddArrayToObject(document, "series") &&
           cJSON_AddArrayToObject(document, "tables") && cJSON_AddArrayToObject(document, "alarms");
}

enum status report_make_of(const struct report_part *parts, struct archive *archive,
                           const struct report_request *request, cJSON **document, struct error *err)
{
    *document = NULL;
    enum status status = check(request, err);
    if (status != STATUS_OK)
        return status;
    cJSON *made = cJSON_CreateObject();
    if (!add_head(made, request))
        status = error_set(err, STATUS_FATAL, "no memory for the report's head");
    for (const struct report_part *part = parts; status == STATUS_OK && part->name; part++)
        if (part->kinds & 1u << request->kind) {
            status = add_part(part, archive, request, made, err);
            if (status != STATUS_OK)
                error_prefix(err, "%s", part->name);
        }
    if (status == STATUS_OK)
        *document = made;
    else
        cJSON_Delete(made);
    return status;
}

enum status report_write(const cJSON *document, struct buffer *out, struct error *err)
{
    char *text = cJSON_PrintUnformatted(document);
    if (!text)
        return error_set(err, STATUS_FATAL, "no memory for the report's text");
    enum status status = buffer_append(out, text, strlen(text), err);
    if (status == STATUS_OK)
        status = buffer_append(out, "\n", 1, err);
    cJSON_free(text);
    return status;
}
