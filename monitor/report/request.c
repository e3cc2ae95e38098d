// request.c: a report's request, written and read.
#include "monitor/report/request.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"

#define SCHEMA "skinsight.report_request.v1"

void report_request_id(struct bytes text, char id[REPORT_ID_SIZE])
{
    const struct digest digest = digest_of(text.data, text.size);
    hex_encode(digest.value, (REPORT_ID_SIZE - 1) / 2, id);
}

static void add_name(struct json_writer *writer, const char *name, const char *value)
{
    if (value)
        json_add_text(writer, name, value);
    else
        json_add_null(writer, name);
}

static void add_as_of(struct json_writer *writer, const struct archive_as_of *as_of)
{
    json_add_object(writer, "as_of");
    json_add_integer(writer, "time", as_of->time);
    json_add_array(writer, "offsets");
    for (size_t i = 0; i < as_of->count; i++) {
        json_add_object(writer, NULL);
        json_add_text(writer, "topic", as_of->places[i].topic);
        json_add_integer(writer, "partition", as_of->places[i].partition);
        json_add_integer(writer, "next", as_of->places[i].next);
        json_end_object(writer);
    }
    json_end_array(writer);
    json_end_object(writer);
}

enum status report_request_write(const struct report_request *request, struct buffer *out, struct error *err)
{
    struct json_writer writer;
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "schema", SCHEMA);
    json_add_text(&writer, "kind", report_kind_names[request->kind]);
    json_add_integer(&writer, "from", request->from);
    json_add_integer(&writer, "to", request->to);
    add_name(&writer, "model_version", request->model_version);
    add_name(&writer, "site", request->site);
    add_name(&writer, "model_a", request->model_a);
    add_name(&writer, "model_b", request->model_b);
    json_add_integer(&writer, "alarm_budget_per_year", request->alarm_budget_per_year);
    add_name(&writer, "reference_sha256", request->reference_sha256);
    add_name(&writer, "reference_missing", request->reference_missing);
    add_as_of(&writer, request->as_of);
    json_end_object(&writer);
    return json_write_end(&writer);
}

// ---- reading ----

static bool take_whole(const cJSON *object, const char *name, int64_t low, int64_t *value)
{
    return json_whole_number(cJSON_GetObjectItemCaseSensitive(object, name), low, JSON_WHOLE_MOST, value);
}

// A text or null. *value is NULL or out.
static bool take_name(const cJSON *object, const char *name, char *out, size_t size, const char **value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *value = cJSON_IsNull(item) ? NULL : out;
    return cJSON_IsNull(item) || json_copy_text(item, out, size);
}

static bool take_kind(const cJSON *object, enum report_kind *kind)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "kind");
    for (int i = 0; cJSON_IsString(item) && i < REPORT_KINDS; i++)
        if (strcmp(item->valuestring, report_kind_names[i]) == 0) {
            *kind = (enum report_kind)i;
            return true;
        }
    return false;
}

static bool take_place(const cJSON *item, struct archive_place *place)
{
    const char *topic;
    int64_t partition;
    if (!take_name(item, "topic", place->topic, sizeof place->topic, &topic) || !topic ||
        !take_whole(item, "partition", -1, &partition) || partition > INT32_MAX)
        return false;
    place->partition = (int32_t)partition;
    return take_whole(item, "next", 0, &place->next);
}

static bool take_as_of(const cJSON *object, struct archive_as_of *as_of)
{
    const cJSON *from = cJSON_GetObjectItemCaseSensitive(object, "as_of"), *item;
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(from, "offsets");
    int count = cJSON_GetArraySize(offsets);
    if (!take_whole(from, "time", 0, &as_of->time) || !cJSON_IsArray(offsets) || count > ARCHIVE_PLACES_MOST)
        return false;
    as_of->places = memory_alloc(((size_t)count + 1) * sizeof *as_of->places);
    cJSON_ArrayForEach(item, offsets) if (!take_place(item, &as_of->places[as_of->count++])) return false;
    return true;
}

static bool take_request(const cJSON *json, struct stored_request *stored)
{
    struct report_request *request = &stored->request;
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(json, "schema");
    return cJSON_IsString(schema) && strcmp(schema->valuestring, SCHEMA) == 0 &&
           take_kind(json, &request->kind) && take_whole(json, "from", 0, &request->from) &&
           take_whole(json, "to", 0, &request->to) &&
           take_name(json, "model_version", stored->model_version, REPORT_NAME_SIZE,
                     &request->model_version) &&
           take_name(json, "site", stored->site, REPORT_NAME_SIZE, &request->site) &&
           take_name(json, "model_a", stored->model_a, REPORT_NAME_SIZE, &request->model_a) &&
           take_name(json, "model_b", stored->model_b, REPORT_NAME_SIZE, &request->model_b) &&
           take_whole(json, "alarm_budget_per_year", 0, &request->alarm_budget_per_year) &&
           take_name(json, "reference_sha256", stored->reference_sha256, DIGEST_TEXT_SIZE,
                     &request->reference_sha256) &&
           (!cJSON_HasObjectItem(json, "reference_missing") || // as before it was stored
            take_name(json, "reference_missing", stored->reference_missing, REPORT_NAME_SIZE,
                      &request->reference_missing)) &&
           take_as_of(json, &stored->as_of);
}

enum status report_request_read(struct bytes text, struct stored_request *stored, struct error *err)
{
    static const struct json_limits limits = {REPORT_REQUEST_MOST, 8 * ARCHIVE_PLACES_MOST, 8};
    cJSON *json = NULL;
    *stored = (struct stored_request){0};
    enum status status = json_parse(text, &limits, &json, err);
    if (status == STATUS_OK && (json_repeated_name(json) || !take_request(json, stored))) {
        stored_request_release(stored);
        status = error_set(err, STATUS_REJECTED, "the stored request of the report is none of %s", SCHEMA);
    }
    stored->request.as_of = &stored->as_of;
    cJSON_Delete(json);
    return status;
}

void stored_request_release(struct stored_request *stored)
{
    free(stored->as_of.places);
    stored->as_of = (struct archive_as_of){0};
}
