// job.c: reads a job record from Kafka, strictly: every known field has its type and limits or the record is
// answered with an error. Order: JSON, request id, schema, the other fields; so that an answer names the
// request whenever the record did. Sentences name a field and its rule, never a value: metadata is patient
// data. Any thread; the image's bytes are the caller's.
#include "common/records/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/records/job_text.h"

// An eighth of an image's base64 is for writers that escape its slashes. Where images have to be small, a
// record is still read, to learn its request id, up to what brokers usually let through.
enum { ESCAPES_SHARE = 8, RECORD_LEAST = 16 << 20, OTHER_FIELDS_SIZE = 64 << 10 };
enum { VALUES_MOST = 4096, DEPTH_MOST = 32 };

enum record_field {
    FIELD_SCHEMA,
    FIELD_REQUEST_ID,
    FIELD_MODEL_VERSION,
    FIELD_SITE,
    FIELD_SUBJECT,
    FIELD_IMAGE,
    FIELD_IMAGE_URI,
    FIELD_IMAGE_SHA256,
    FIELD_METADATA,
    FIELD_SUBMITTED_AT,
    FIELD_DEADLINE_AT,
    FIELD_TRACEPARENT,
    FIELD_COUNT
};

static const char *const record_names[FIELD_COUNT] = {
    "schema",    "request_id",   "model_version", "site",         "subject",     "image",
    "image_uri", "image_sha256", "metadata",      "submitted_at", "deadline_at", "traceparent",
};

enum metadata_field {
    METADATA_AGE,
    METADATA_LOCATION,
    METADATA_FITZPATRICK,
    METADATA_DEVICE,
    METADATA_DERMATOSCOPE,
    METADATA_COUNT
};

static const char *const metadata_names[METADATA_COUNT] = {
    "patient_age", "lesion_location", "fitzpatrick_type", "capture_device", "dermatoscope_attached",
};

// The known fields of an object; NULL where absent.
struct found {
    const cJSON *fields[FIELD_COUNT];
    bool twice[FIELD_COUNT];
    const char *duplicate; // the name of one that stands there twice, or NULL
};

_Static_assert((int)METADATA_COUNT <= (int)FIELD_COUNT, "struct found holds either kind");

static enum job_code PRINTF_LIKE(3, 4) refuse(struct error *err, enum job_code code, const char *format, ...)
{
    char sentence[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    (void)error_set(err, STATUS_REJECTED, "%s", sentence);
    return code;
}

static void find(const cJSON *object, const char *const *names, size_t count, struct found *found)
{
    *found = (struct found){0};
    for (const cJSON *child = object->child; child; child = child->next)
        for (size_t i = 0; i < count; i++)
            if (strcmp(child->string, names[i]) == 0) {
                if (found->fields[i]) {
                    found->twice[i] = true;
                    found->duplicate = names[i];
                }
                found->fields[i] = child;
            }
}

// Copies the text of field into target when it is there and valid says so.
static enum status read_text(const cJSON *field, bool (*valid)(const char *), char *target, const char *rule,
                             struct error *err)
{
    if (!field)
        return STATUS_OK;
    if (!cJSON_IsString(field) || !valid(field->valuestring))
        return error_set(err, STATUS_REJECTED, "field '%s' must be %s", field->string, rule);
    strcpy(target, field->valuestring); // valid bounds the length
    return STATUS_OK;
}

static enum status read_small(const cJSON *field, int low, int high, int *target, struct error *err)
{
    int64_t value;
    if (!field)
        return STATUS_OK;
    if (!json_whole_number(field, low, high, &value))
        return error_set(err, STATUS_REJECTED, "field '%s' must be a whole number from %d to %d",
                         field->string, low, high);
    *target = (int)value;
    return STATUS_OK;
}

static enum status read_time(const cJSON *field, int64_t *target, struct error *err)
{
    if (!field)
        return STATUS_OK;
    if (!json_whole_number(field, 0, JSON_WHOLE_MOST, target))
        return error_set(err, STATUS_REJECTED,
                         "field '%s' must be Unix milliseconds, a whole number below 2^53", field->string);
    return STATUS_OK;
}

enum status job_metadata_read(const cJSON *object, struct job_metadata *metadata, struct error *err)
{
    static const char token_rule[] = "up to 64 characters of A-Z a-z 0-9 _ . -";
    struct found found;
    enum status status;
    if (!cJSON_IsObject(object))
        return error_set(err, STATUS_REJECTED, "the metadata must be an object");
    find(object, metadata_names, METADATA_COUNT, &found);
    if (found.duplicate)
        return error_set(err, STATUS_REJECTED, "field '%s' stands there twice", found.duplicate);
    status = read_small(found.fields[METADATA_AGE], 0, JOB_AGE_MOST, &metadata->patient_age, err);
    if (status == STATUS_OK)
        status = read_small(found.fields[METADATA_FITZPATRICK], JOB_FITZPATRICK_LEAST, JOB_FITZPATRICK_MOST,
                            &metadata->fitzpatrick_type, err);
    if (status == STATUS_OK)
        status = read_text(found.fields[METADATA_LOCATION], job_text_token, metadata->lesion_location,
                           token_rule, err);
    if (status == STATUS_OK)
        status = read_text(found.fields[METADATA_DEVICE], job_text_token, metadata->capture_device,
                           token_rule, err);
    const cJSON *dermatoscope = found.fields[METADATA_DERMATOSCOPE];
    if (status != STATUS_OK || !dermatoscope)
        return status;
    if (!cJSON_IsBool(dermatoscope))
        return error_set(err, STATUS_REJECTED, "field '%s' must be true or false", dermatoscope->string);
    metadata->dermatoscope_attached = cJSON_IsTrue(dermatoscope);
    return STATUS_OK;
}

static enum status read_digest(const cJSON *field, struct job_record *record, struct error *err)
{
    if (!field)
        return STATUS_OK;
    bool lower = cJSON_IsString(field) && strspn(field->valuestring, "0123456789abcdef") == 64;
    if (!lower || !digest_parse(field->valuestring, &record->image_sha256))
        return error_set(err, STATUS_REJECTED, "field '%s' must be 64 lower-case hexadecimal digits",
                         field->string);
    record->has_image_sha256 = true;
    return STATUS_OK;
}

static enum status read_texts(const struct found *found, struct job_record *record, struct error *err)
{
    const struct {
        enum record_field field;
        bool (*valid)(const char *);
        char *target;
        const char *rule;
    } texts[] = {
        {FIELD_MODEL_VERSION, job_name_valid, record->model_version,
         "1 to 64 characters of A-Z a-z 0-9 _ . -"},
        {FIELD_SITE, job_name_valid, record->site, "1 to 64 characters of A-Z a-z 0-9 _ . -"},
        {FIELD_SUBJECT, job_text_subject, record->subject, "64 lower-case hexadecimal digits"},
        {FIELD_IMAGE_URI, job_text_uri, record->image_uri, "a URI of 1 to 1023 characters"},
        {FIELD_TRACEPARENT, job_text_traceparent, record->traceparent, "a W3C trace context"},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < sizeof texts / sizeof *texts; i++)
        status =
            read_text(found->fields[texts[i].field], texts[i].valid, texts[i].target, texts[i].rule, err);
    return status;
}

// Everything but schema, request id and the inline image.
static enum status read_fields(const struct found *found, struct job_record *record, struct error *err)
{
    const cJSON *const *fields = found->fields;
    enum status status = read_texts(found, record, err);
    if (status == STATUS_OK)
        status = read_digest(fields[FIELD_IMAGE_SHA256], record, err);
    if (status == STATUS_OK)
        status = read_time(fields[FIELD_SUBMITTED_AT], &record->submitted_at, err);
    if (status == STATUS_OK)
        status = read_time(fields[FIELD_DEADLINE_AT], &record->deadline_at, err);
    if (status == STATUS_OK && fields[FIELD_METADATA])
        status = job_metadata_read(fields[FIELD_METADATA], &record->metadata, err);
    if (status != STATUS_OK)
        return status;
    if (!fields[FIELD_IMAGE] == !fields[FIELD_IMAGE_URI])
        return error_set(err, STATUS_REJECTED, "exactly one of the fields 'image' and 'image_uri' is needed");
    if (fields[FIELD_IMAGE_URI] && !record->has_image_sha256)
        return error_set(err, STATUS_REJECTED, "field 'image_uri' needs the field 'image_sha256'");
    return STATUS_OK;
}

static enum job_code read_image(const cJSON *field, size_t max_image_bytes, uint8_t **memory,
                                struct bytes *image, struct error *err)
{
    if (!cJSON_IsString(field))
        return refuse(err, JOB_INVALID_FIELD, "field 'image' must be a base64 string");
    const char *text = field->valuestring;
    size_t length = strlen(text);
    size_t digits = length;
    while (digits > 0 && length - digits < 2 && text[digits - 1] == '=')
        digits--;
    size_t size = digits / 4 * 3 + (digits % 4) * 3 / 4;
    if (size > max_image_bytes)
        return refuse(err, JOB_IMAGE_TOO_LARGE, "the image has %zu bytes, %zu are allowed", size,
                      max_image_bytes);
    if (length == 0)
        return refuse(err, JOB_IMAGE_UNDECODABLE, "the image has 0 bytes");
    uint8_t *data = *memory = memory_try_alloc(size);
    if (!data)
        return refuse(err, JOB_INTERNAL, "no memory for an image of %zu bytes", size);
    if (!base64_decode(text, length, data, &size))
        return refuse(err, JOB_INVALID_FIELD, "field 'image' must be base64 without line breaks (RFC 4648)");
    *image = (struct bytes){data, size};
    return JOB_OK;
}

static enum job_code read_record(const cJSON *json, size_t max_image_bytes, uint8_t **memory,
                                 struct job_record *record, struct error *err)
{
    struct found found;
    if (!cJSON_IsObject(json))
        return refuse(err, JOB_INVALID_JSON, "the record is no JSON object");
    find(json, record_names, FIELD_COUNT, &found);
    const char *request_id = cJSON_GetStringValue(found.fields[FIELD_REQUEST_ID]);
    if (request_id && !found.twice[FIELD_REQUEST_ID])
        job_request_id_read((struct bytes){(const uint8_t *)request_id, strlen(request_id)},
                            record->request_id);
    if (found.duplicate)
        return refuse(err, JOB_INVALID_FIELD, "field '%s' stands there twice", found.duplicate);
    const char *schema = cJSON_GetStringValue(found.fields[FIELD_SCHEMA]);
    if (!schema || strcmp(schema, JOB_SCHEMA) != 0)
        return refuse(err, JOB_UNSUPPORTED_SCHEMA, "field 'schema' must be \"" JOB_SCHEMA "\"");
    if (!record->request_id[0])
        return refuse(err, JOB_INVALID_FIELD, "field 'request_id' must be a UUID (RFC 4122)");
    if (read_fields(&found, record, err) != STATUS_OK)
        return JOB_INVALID_FIELD;
    if (!found.fields[FIELD_IMAGE])
        return JOB_OK;
    return read_image(found.fields[FIELD_IMAGE], max_image_bytes, memory, &record->image, err);
}

size_t job_record_most_bytes(size_t max_image_bytes)
{
    size_t image = base64_encoded_size(max_image_bytes);
    size_t most = image + image / ESCAPES_SHARE + OTHER_FIELDS_SIZE;
    return most < RECORD_LEAST ? RECORD_LEAST : most;
}

enum job_code job_record_parse(struct bytes value, size_t max_image_bytes, uint8_t **memory,
                               struct job_record *record, struct error *err)
{
    const struct json_limits limits = {job_record_most_bytes(max_image_bytes), VALUES_MOST, DEPTH_MOST};
    cJSON *json;
    *record = (struct job_record){.submitted_at = -1, .deadline_at = -1};
    job_metadata_init(&record->metadata);
    if (value.size > limits.bytes)
        return refuse(err, JOB_IMAGE_TOO_LARGE, "the record has %zu bytes, %zu are allowed", value.size,
                      limits.bytes);
    enum status status = json_parse(value, &limits, &json, err);
    if (status != STATUS_OK)
        return status == STATUS_FATAL ? JOB_INTERNAL : JOB_INVALID_JSON;
    enum job_code code = read_record(json, max_image_bytes, memory, record, err);
    cJSON_Delete(json);
    return code;
}

void job_metadata_init(struct job_metadata *metadata)
{
    *metadata = (struct job_metadata){.patient_age = -1, .fitzpatrick_type = -1, .dermatoscope_attached = -1};
}

enum status job_metadata_parse(struct bytes json, struct job_metadata *metadata, struct error *err)
{
    const struct json_limits limits = {OTHER_FIELDS_SIZE, VALUES_MOST, DEPTH_MOST};
    cJSON *object;
    job_metadata_init(metadata);
    enum status status = json_parse(json, &limits, &object, err);
    if (status != STATUS_OK)
        return status;
    status = job_metadata_read(object, metadata, err);
    cJSON_Delete(object);
    return status;
}
