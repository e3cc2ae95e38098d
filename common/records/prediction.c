// prediction.c: the table of the terminal record's fields, and the two that walk it.
#include "common/records/prediction.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/records/job.h"

#define SCHEMA "skinsight.prediction.v1"

enum kind {
    OBJECT,       // stands there where one of its fields does
    TEXT,         // const char *
    HEX,          // char[DIGEST_TEXT_SIZE]
    FLOAT,        // float
    FLOATS,       // float[count]
    INTEGER,      // int64_t
    TRUTH,        // int: 0, 1
    DIFFERENTIAL, // result.differential
    REASONS,      // struct prediction_reasons
};

struct field {
    const char *name; // NULL ends a table
    enum kind kind;
    size_t at; // in struct prediction
    int count;
    bool needed;      // its object is refused without it
    bool null;        // written as null where it is absent
    double low, high; // of a number; high 0: no limit but the kind's
    const struct field *fields;
};

#define AT(member) .at = offsetof(struct prediction, member)

static const struct field review_fields[] = {
    {"within_h", INTEGER, AT(result.review.within_h), .needed = true, .low = 1, .high = 8760},
    {"reasons", REASONS, AT(result.review.reasons), .needed = true},
    {.name = NULL},
};

static const struct field result_fields[] = {
    {"primary_diagnosis", TEXT, AT(result.primary_diagnosis), .needed = true},
    {"confidence", FLOAT, AT(result.confidence), .needed = true, .high = 1},
    {"differential", DIFFERENTIAL, AT(result.differential)},
    {"risk_score", INTEGER, AT(result.risk_score), .needed = true, .high = 100},
    {"recommended_action", TEXT, AT(result.recommended_action), .needed = true},
    {"abstained", TRUTH, AT(result.abstained)},
    {"abstain_reasons", REASONS, AT(result.abstain_reasons)},
    {"review", OBJECT, .fields = review_fields},
    {"attention_map_url", TEXT, AT(result.attention_map_url), .null = true},
    {"attention_map_sha256", HEX, AT(result.attention_map_sha256)},
    {"attention_map_error", TEXT, AT(result.attention_map_error)},
    {.name = NULL},
};

static const struct field model_fields[] = {
    {"model_version", TEXT, AT(model_info.model_version)},
    {"trained", TRUTH, AT(model_info.trained)},
    {"inference_time_ms", INTEGER, AT(model_info.inference_time_ms)},
    {"preprocessing_time_ms", INTEGER, AT(model_info.preprocessing_time_ms)},
    {.name = NULL},
};

static const struct field error_fields[] = {
    {"code", TEXT, AT(error.code), .needed = true},
    {"message", TEXT, AT(error.message)},
    {.name = NULL},
};

static const struct field context_fields[] = {
    {"site", TEXT, AT(context.site)},
    {"subject", TEXT, AT(context.subject)},
    {"capture_device", TEXT, AT(context.capture_device)},
    {"dermatoscope_attached", TRUTH, AT(context.dermatoscope_attached)},
    {"fitzpatrick_type", INTEGER, AT(context.fitzpatrick_type), .low = 1, .high = 6},
    {"lesion_location", TEXT, AT(context.lesion_location)},
    {"age_decade", INTEGER, AT(context.age_decade), .high = 90},
    {.name = NULL},
};

static const struct field regulatory_fields[] = {
    {"disclaimer", TEXT, AT(regulatory.disclaimer)},
    {"fda_clearance", TEXT, AT(regulatory.fda_clearance)},
    {.name = NULL},
};

static const struct field source_fields[] = {
    {"topic", TEXT, AT(provenance.source.topic)},
    {"partition", INTEGER, AT(provenance.source.partition), .high = INT32_MAX},
    {"offset", INTEGER, AT(provenance.source.offset)},
    {.name = NULL},
};

static const struct field policy_fields[] = {
    {"version", TEXT, AT(provenance.policy.version)},
    {"sha256", HEX, AT(provenance.policy.sha256)},
    {.name = NULL},
};

static const struct field ood_fields[] = {
    {"energy", FLOAT, AT(provenance.ood.energy)},
    {"distance", FLOAT, AT(provenance.ood.distance), .null = true},
    {"quantile", FLOAT, AT(provenance.ood.quantile), .null = true, .high = 1},
    {.name = NULL},
};

static const struct field features_fields[] = {
    {"brightness", FLOAT, AT(provenance.features.brightness), .high = 1},
    {"contrast", FLOAT, AT(provenance.features.contrast), .high = 1},
    {"sharpness", FLOAT, AT(provenance.features.sharpness)},
    {"entropy_nats", FLOAT, AT(provenance.features.entropy_nats)},
    {"histogram_r", FLOATS, AT(provenance.features.histogram_r), .count = FEATURES_BINS, .high = 1},
    {"histogram_g", FLOATS, AT(provenance.features.histogram_g), .count = FEATURES_BINS, .high = 1},
    {"histogram_b", FLOATS, AT(provenance.features.histogram_b), .count = FEATURES_BINS, .high = 1},
    {.name = NULL},
};

static const struct field batch_fields[] = {
    {"id", TEXT, AT(provenance.batch.id)},
    {"size", INTEGER, AT(provenance.batch.size), .low = 1, .high = INT32_MAX},
    {"reason", TEXT, AT(provenance.batch.reason)},
    {.name = NULL},
};

static const struct field timestamp_fields[] = {
    {"submitted", INTEGER, AT(provenance.submitted)},
    {"consumed", INTEGER, AT(provenance.moments[MOMENT_CONSUMED])},
    {"fetched", INTEGER, AT(provenance.moments[MOMENT_FETCHED])},
    {"decoded", INTEGER, AT(provenance.moments[MOMENT_DECODED])},
    {"batched", INTEGER, AT(provenance.moments[MOMENT_BATCHED])},
    {"inferred", INTEGER, AT(provenance.moments[MOMENT_INFERRED])},
    {"postprocessed", INTEGER, AT(provenance.moments[MOMENT_POSTPROCESSED])},
    {"published", INTEGER, AT(provenance.moments[MOMENT_PUBLISHED])},
    {.name = NULL},
};

static const struct field provenance_fields[] = {
    {"source", OBJECT, .fields = source_fields},
    {"image_sha256", HEX, AT(provenance.image_sha256)},
    {"image_bytes", INTEGER, AT(provenance.image_bytes)},
    {"model_version", TEXT, AT(provenance.model_version)},
    {"model_sha256", HEX, AT(provenance.model_sha256)},
    {"preprocessing", TEXT, AT(provenance.preprocessing)},
    {"policy", OBJECT, .fields = policy_fields},
    {"temperature", FLOAT, AT(provenance.temperature)},
    {"logits", FLOATS, AT(provenance.logits), .count = LESION_CLASSES},
    {"ood", OBJECT, .fields = ood_fields},
    {"features", OBJECT, .fields = features_fields},
    {"batch", OBJECT, .fields = batch_fields},
    {"backend", TEXT, AT(provenance.backend)},
    {"device", TEXT, AT(provenance.device)},
    {"precision", TEXT, AT(provenance.precision)},
    {"build", TEXT, AT(provenance.build)},
    {"worker", TEXT, AT(provenance.worker)},
    {"attempt", INTEGER, AT(provenance.attempt), .low = 1, .high = INT32_MAX},
    {"replayed", TRUTH, AT(provenance.replayed)},
    {"cache_hit", TRUTH, AT(provenance.cache_hit)},
    {"timestamps", OBJECT, .fields = timestamp_fields},
    {.name = NULL},
};

// Behind "schema".
static const struct field record_fields[] = {
    {"request_id", TEXT, AT(request_id), .needed = true, .null = true},
    {"prediction", OBJECT, .fields = result_fields},
    {"model_info", OBJECT, .fields = model_fields},
    {"error", OBJECT, .fields = error_fields},
    {"context", OBJECT, .fields = context_fields},
    {"regulatory", OBJECT, .fields = regulatory_fields},
    {"provenance", OBJECT, .fields = provenance_fields},
    {.name = NULL},
};

static void clear_fields(const struct field *field, struct prediction *prediction)
{
    for (; field->name; field++) {
        void *at = (char *)prediction + field->at;
        if (field->kind == OBJECT)
            clear_fields(field->fields, prediction);
        else if (field->kind == FLOAT)
            *(float *)at = NAN;
        else if (field->kind == FLOATS)
            *(float *)at = NAN; // the first one says whether there are any
        else if (field->kind == INTEGER)
            *(int64_t *)at = -1;
        else if (field->kind == TRUTH)
            *(int *)at = -1;
        else if (field->kind == REASONS)
            ((struct prediction_reasons *)at)->count = -1;
    }
}

void prediction_init(struct prediction *prediction)
{
    *prediction = (struct prediction){0};
    clear_fields(record_fields, prediction);
}

static bool is_given(const struct field *field, const struct prediction *prediction)
{
    const void *at = (const char *)prediction + field->at;
    switch (field->kind) {
    case OBJECT:
        for (const struct field *inner = field->fields; inner->name; inner++)
            if (is_given(inner, prediction))
                return true;
        return false;
    case TEXT:
        return *(const char *const *)at != NULL;
    case HEX:
        return *(const char *)at != '\0';
    case FLOAT:
    case FLOATS:
        return !isnan(*(const float *)at);
    case INTEGER:
        return *(const int64_t *)at >= 0;
    case TRUTH:
        return *(const int *)at >= 0;
    case DIFFERENTIAL:
        return prediction->result.differential[0].class != NULL;
    case REASONS:
        return ((const struct prediction_reasons *)at)->count >= 0;
    }
    return false;
}

static void add_differential(struct json_writer *writer, const char *name,
                             const struct prediction_result *result)
{
    json_add_array(writer, name);
    for (int i = 0; i < LESION_CLASSES && result->differential[i].class; i++) {
        json_add_object(writer, NULL);
        json_add_text(writer, "class", result->differential[i].class);
        json_add_float(writer, "probability", result->differential[i].probability);
        json_end_object(writer);
    }
    json_end_array(writer);
}

static void add_reasons(struct json_writer *writer, const char *name,
                        const struct prediction_reasons *reasons)
{
    json_add_array(writer, name);
    for (int i = 0; i < reasons->count; i++)
        json_add_text(writer, NULL, reasons->names[i]);
    json_end_array(writer);
}

static void add_fields(struct json_writer *writer, const struct field *field,
                       const struct prediction *prediction);

static void add_field(struct json_writer *writer, const struct field *field,
                      const struct prediction *prediction)
{
    const void *at = (const char *)prediction + field->at;
    switch (field->kind) {
    case OBJECT:
        json_add_object(writer, field->name);
        add_fields(writer, field->fields, prediction);
        json_end_object(writer);
        break;
    case TEXT:
        json_add_text(writer, field->name, *(const char *const *)at);
        break;
    case HEX:
        json_add_text(writer, field->name, at);
        break;
    case FLOAT:
        json_add_float(writer, field->name, *(const float *)at);
        break;
    case FLOATS:
        json_add_floats(writer, field->name, at, field->count);
        break;
    case INTEGER:
        json_add_integer(writer, field->name, *(const int64_t *)at);
        break;
    case TRUTH:
        json_add_bool(writer, field->name, *(const int *)at);
        break;
    case DIFFERENTIAL:
        add_differential(writer, field->name, &prediction->result);
        break;
    case REASONS:
        add_reasons(writer, field->name, at);
        break;
    }
}

static void add_fields(struct json_writer *writer, const struct field *field,
                       const struct prediction *prediction)
{
    for (; field->name; field++)
        if (is_given(field, prediction))
            add_field(writer, field, prediction);
        else if (field->null)
            json_add_null(writer, field->name);
}

enum status prediction_write(const struct prediction *prediction, struct buffer *out, struct error *err)
{
    struct json_writer writer;
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "schema", SCHEMA);
    add_fields(&writer, record_fields, prediction);
    json_end_object(&writer);
    return json_write_end(&writer);
}

static bool read_float(const cJSON *json, const struct field *field, float *value)
{
    if (!cJSON_IsNumber(json))
        return false;
    *value = (float)json->valuedouble;
    return isfinite(*value) &&
           (field->high == 0 || (json->valuedouble >= field->low && json->valuedouble <= field->high));
}

static bool read_floats(const cJSON *json, const struct field *field, float *values)
{
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != field->count)
        return false;
    for (const cJSON *item = json->child; item; item = item->next)
        if (!read_float(item, field, values++))
            return false;
    return true;
}

static bool read_integer(const cJSON *json, const struct field *field, int64_t *value)
{
    int64_t high = field->high > 0 ? (int64_t)field->high : JSON_WHOLE_MOST;
    return json_whole_number(json, (int64_t)field->low, high, value);
}

static bool read_text(const cJSON *json, const char **value)
{
    *value = cJSON_GetStringValue(json);
    return *value != NULL;
}

static bool read_hex(const cJSON *json, char value[DIGEST_TEXT_SIZE])
{
    const char *text = cJSON_GetStringValue(json);
    if (!text || strlen(text) != DIGEST_TEXT_SIZE - 1 || strspn(text, "0123456789abcdef") != strlen(text))
        return false;
    memcpy(value, text, DIGEST_TEXT_SIZE);
    return true;
}

static bool read_differential(const cJSON *json, struct prediction_result *result)
{
    static const struct field probability = {.high = 1};
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) > LESION_CLASSES)
        return false;
    int i = 0;
    for (const cJSON *item = json->child; item; item = item->next, i++)
        if (!read_text(cJSON_GetObjectItemCaseSensitive(item, "class"), &result->differential[i].class) ||
            !read_float(cJSON_GetObjectItemCaseSensitive(item, "probability"), &probability,
                        &result->differential[i].probability))
            return false;
    return true;
}

static bool read_reasons(const cJSON *json, struct prediction_reasons *reasons)
{
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) > REASONS_MOST)
        return false;
    reasons->count = 0;
    for (const cJSON *item = json->child; item; item = item->next)
        if (!read_text(item, &reasons->names[reasons->count++]))
            return false;
    return true;
}

static bool read_value(const cJSON *json, const struct field *field, struct prediction *prediction)
{
    void *at = (char *)prediction + field->at;
    switch (field->kind) {
    case OBJECT:
        return cJSON_IsObject(json);
    case TEXT:
        return read_text(json, at);
    case HEX:
        return read_hex(json, at);
    case FLOAT:
        return read_float(json, field, at);
    case FLOATS:
        return read_floats(json, field, at);
    case INTEGER:
        return read_integer(json, field, at);
    case TRUTH:
        *(int *)at = cJSON_IsTrue(json);
        return cJSON_IsBool(json);
    case DIFFERENTIAL:
        return read_differential(json, &prediction->result);
    case REASONS:
        return read_reasons(json, at);
    }
    return false;
}

// Workers write the fields in the table's order: it is looked for behind the last one first.
static const cJSON *find_field(const cJSON *json, const cJSON *last, const char *name)
{
    const cJSON *next = last ? last->next : json->child;
    if (next && next->string && strcmp(next->string, name) == 0)
        return next;
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static enum status read_fields(const cJSON *json, const struct field *field, struct prediction *prediction,
                               struct error *err)
{
    const cJSON *last = NULL;
    enum status status = STATUS_OK;
    for (; field->name && status == STATUS_OK; field++) {
        const cJSON *item = find_field(json, last, field->name);
        last = item ? item : last;
        if (!item && field->needed)
            return error_set(err, STATUS_REJECTED, "its field '%s' is missing", field->name);
        if (!item || (field->null && cJSON_IsNull(item)))
            continue;
        if (!read_value(item, field, prediction))
            return error_set(err, STATUS_REJECTED, "its field '%s' is of another kind or out of its limits",
                             field->name);
        if (field->kind == OBJECT)
            status = read_fields(item, field->fields, prediction, err);
    }
    return status;
}

static bool has_field(const struct field *field, const char *name)
{
    for (; field->name; field++)
        if (strcmp(field->name, name) == 0 || (field->kind == OBJECT && has_field(field->fields, name)))
            return true;
    return false;
}

// Anyone may write to the topic: a name that the sender chose is in no sentence.
static enum status refuse_repeated(const char *name, struct error *err)
{
    if (has_field(record_fields, name))
        return error_set(err, STATUS_REJECTED, "its field '%s' stands there twice", name);
    return error_set(err, STATUS_REJECTED, "a field that is none of its own stands there twice");
}

static enum status read_record(const cJSON *json, struct prediction *prediction, struct error *err)
{
    const char *schema = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "schema"));
    const char *twice = json_repeated_name(json);
    if (!schema || strcmp(schema, SCHEMA) != 0)
        return error_set(err, STATUS_REJECTED, "its schema is not " SCHEMA);
    if (twice)
        return refuse_repeated(twice, err);
    enum status status = read_fields(json, record_fields, prediction, err);
    if (status != STATUS_OK)
        return status;
    if (prediction->request_id && !job_request_id_valid(prediction->request_id))
        return error_set(err, STATUS_REJECTED, "its request_id is no UUID");
    if (!prediction->error.code == !prediction->result.primary_diagnosis)
        return error_set(err, STATUS_REJECTED, "neither a prediction nor an error alone stands in it");
    if (prediction->error.code && !*prediction->error.code)
        return error_set(err, STATUS_REJECTED, "its error has no code");
    return STATUS_OK;
}

enum status prediction_parse(struct bytes value, struct prediction *prediction, struct error *err)
{
    static const struct json_limits limits = {.bytes = 10 << 20, .values = 2000, .depth = 32};
    prediction_init(prediction);
    enum status status = json_parse(value, &limits, &prediction->document, err);
    if (status == STATUS_OK)
        status = read_record(prediction->document, prediction, err);
    if (status != STATUS_OK)
        prediction_release(prediction);
    return status;
}

void prediction_release(struct prediction *prediction)
{
    cJSON_Delete(prediction->document);
    prediction_init(prediction);
}
