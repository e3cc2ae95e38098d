// job_write.c: writes a job record as JSON, in the order of docs/FORMATS.md. What is written is what
// job_record_parse accepts: a record outside the rules is refused here, at its sender. Any thread.
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/records/job.h"
#include "common/records/job_text.h"

static void add_text(struct json_writer *writer, const char *name, const char *text)
{
    if (text[0])
        json_add_text(writer, name, text);
}

static void add_number(struct json_writer *writer, const char *name, int64_t value)
{
    if (value >= 0)
        json_add_integer(writer, name, value);
}

static void add_metadata(struct json_writer *writer, const struct job_metadata *metadata)
{
    if (metadata->patient_age < 0 && metadata->fitzpatrick_type < 0 && metadata->dermatoscope_attached < 0 &&
        !metadata->lesion_location[0] && !metadata->capture_device[0])
        return; // nothing is known: no object
    json_add_object(writer, "metadata");
    add_number(writer, "patient_age", metadata->patient_age);
    add_text(writer, "lesion_location", metadata->lesion_location);
    add_number(writer, "fitzpatrick_type", metadata->fitzpatrick_type);
    add_text(writer, "capture_device", metadata->capture_device);
    if (metadata->dermatoscope_attached >= 0)
        json_add_bool(writer, "dermatoscope_attached", metadata->dermatoscope_attached);
    json_end_object(writer);
}

static bool within(int64_t value, int64_t low, int64_t high)
{
    return value == -1 || (value >= low && value <= high);
}

static enum status check_metadata(const struct job_metadata *metadata, struct error *err)
{
    const char *field = NULL;
    if (!within(metadata->patient_age, 0, JOB_AGE_MOST))
        field = "patient_age";
    else if (!within(metadata->fitzpatrick_type, JOB_FITZPATRICK_LEAST, JOB_FITZPATRICK_MOST))
        field = "fitzpatrick_type";
    else if (!within(metadata->dermatoscope_attached, 0, 1))
        field = "dermatoscope_attached";
    else if (!job_text_token(metadata->lesion_location))
        field = "lesion_location";
    else if (!job_text_token(metadata->capture_device))
        field = "capture_device";
    if (field)
        return error_set(err, STATUS_REJECTED, "field '%s' is outside the rules of a job record", field);
    return STATUS_OK;
}

static enum status check_record(const struct job_record *record, struct error *err)
{
    const struct {
        const char *name, *text;
        bool (*valid)(const char *text);
    } texts[] = {
        {"model_version", record->model_version, job_name_valid},
        {"site", record->site, job_name_valid},
        {"subject", record->subject, job_text_subject},
        {"image_uri", record->image_uri, job_text_uri},
        {"traceparent", record->traceparent, job_text_traceparent},
    };
    const char *field = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text[0] && !texts[i].valid(texts[i].text))
            field = texts[i].name;
    if (!job_request_id_valid(record->request_id))
        field = "request_id";
    else if (!within(record->submitted_at, 0, JSON_WHOLE_MOST))
        field = "submitted_at";
    else if (!within(record->deadline_at, 0, JSON_WHOLE_MOST))
        field = "deadline_at";
    if (field)
        return error_set(err, STATUS_REJECTED, "field '%s' is outside the rules of a job record", field);
    if ((record->image.size > 0) == (record->image_uri[0] != '\0'))
        return error_set(err, STATUS_REJECTED, "a job record needs exactly one of image bytes and image URI");
    if (record->image_uri[0] && !record->has_image_sha256)
        return error_set(err, STATUS_REJECTED, "a job record with an image URI needs the image's digest");
    return check_metadata(&record->metadata, err);
}

enum status job_record_write(const struct job_record *record, struct buffer *out, struct error *err)
{
    struct json_writer writer;
    char request_id[JOB_REQUEST_ID_SIZE];
    enum status status = check_record(record, err);
    if (status != STATUS_OK)
        return status;
    const uint8_t *given = (const uint8_t *)record->request_id;
    job_request_id_read((struct bytes){given, JOB_REQUEST_ID_SIZE - 1}, request_id);
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "schema", JOB_SCHEMA);
    json_add_text(&writer, "request_id", request_id);
    add_text(&writer, "model_version", record->model_version);
    add_text(&writer, "site", record->site);
    add_text(&writer, "subject", record->subject);
    add_text(&writer, "image_uri", record->image_uri);
    if (record->image.size > 0)
        json_add_base64(&writer, "image", record->image);
    if (record->has_image_sha256)
        json_add_digest(&writer, "image_sha256", &record->image_sha256);
    add_metadata(&writer, &record->metadata);
    add_number(&writer, "submitted_at", record->submitted_at);
    add_number(&writer, "deadline_at", record->deadline_at);
    add_text(&writer, "traceparent", record->traceparent);
    json_end_object(&writer);
    return json_write_end(&writer);
}
