// job_write.c: writes a job record as JSON, in the order of docs/FORMATS.md. What is written is what
// job_record_parse accepts: a record outside the rules is refused here, at its sender. No text needs
// escaping, because none of the characters allowed does. Any thread.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/records/job.h"
#include "common/records/job_text.h"

// Appends until something goes wrong, then does nothing more.
struct writer {
    struct buffer *out;
    struct error *err;
    enum status status;
};

static void put_bytes(struct writer *writer, const char *text, size_t size)
{
    if (writer->status == STATUS_OK)
        writer->status = buffer_append(writer->out, text, size, writer->err);
}

static void PRINTF_LIKE(2, 3) put(struct writer *writer, const char *format, ...)
{
    char text[JOB_URI_SIZE + 64];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_bytes(writer, text, (size_t)length);
}

static void put_text(struct writer *writer, const char *name, const char *text)
{
    if (text[0])
        put(writer, ",\"%s\":\"%s\"", name, text);
}

static void put_image(struct writer *writer, struct bytes image)
{
    enum { PIECE = 3 * 1024 };
    char text[PIECE / 3 * 4 + 1];
    put(writer, ",\"image\":\"");
    for (size_t done = 0; done < image.size && writer->status == STATUS_OK; done += PIECE) {
        size_t size = image.size - done < PIECE ? image.size - done : PIECE;
        base64_encode(image.data + done, size, text);
        put_bytes(writer, text, base64_encoded_size(size));
    }
    put(writer, "\"");
}

static void put_metadata(struct writer *writer, const struct job_metadata *metadata)
{
    size_t start = writer->out->size;
    put(writer, ",\"metadata\":{");
    size_t first = writer->out->size;
    if (metadata->patient_age >= 0)
        put(writer, ",\"patient_age\":%d", metadata->patient_age);
    put_text(writer, "lesion_location", metadata->lesion_location);
    if (metadata->fitzpatrick_type >= 0)
        put(writer, ",\"fitzpatrick_type\":%d", metadata->fitzpatrick_type);
    put_text(writer, "capture_device", metadata->capture_device);
    if (metadata->dermatoscope_attached >= 0)
        put(writer, ",\"dermatoscope_attached\":%s", metadata->dermatoscope_attached ? "true" : "false");
    if (writer->status != STATUS_OK)
        return;
    if (writer->out->size == first) {
        writer->out->size = start; // nothing is known: no object
        return;
    }
    memmove(writer->out->data + first, writer->out->data + first + 1, writer->out->size - first - 1);
    writer->out->size--; // the comma before the first field
    put(writer, "}");
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
    const char *field = NULL;
    if (!job_request_id_valid(record->request_id))
        field = "request_id";
    else if (!job_text_token(record->model_version))
        field = "model_version";
    else if (record->image_uri[0] && !job_text_uri(record->image_uri))
        field = "image_uri";
    else if (!within(record->submitted_at, 0, (int64_t)JOB_TIME_MOST))
        field = "submitted_at";
    else if (!within(record->deadline_at, 0, (int64_t)JOB_TIME_MOST))
        field = "deadline_at";
    else if (record->traceparent[0] && !job_text_traceparent(record->traceparent))
        field = "traceparent";
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
    size_t start = out->size;
    struct writer writer = {out, err, check_record(record, err)};
    char request_id[JOB_REQUEST_ID_SIZE];
    if (writer.status != STATUS_OK)
        return writer.status;
    const uint8_t *given = (const uint8_t *)record->request_id;
    job_request_id_read((struct bytes){given, JOB_REQUEST_ID_SIZE - 1}, request_id);
    put(&writer, "{\"schema\":\"" JOB_SCHEMA "\",\"request_id\":\"%s\"", request_id);
    put_text(&writer, "model_version", record->model_version);
    if (record->image_uri[0])
        put_text(&writer, "image_uri", record->image_uri);
    else
        put_image(&writer, record->image);
    if (record->has_image_sha256) {
        char digest[DIGEST_TEXT_SIZE];
        digest_text(&record->image_sha256, digest);
        put_text(&writer, "image_sha256", digest);
    }
    put_metadata(&writer, &record->metadata);
    if (record->submitted_at >= 0)
        put(&writer, ",\"submitted_at\":%" PRId64, record->submitted_at);
    if (record->deadline_at >= 0)
        put(&writer, ",\"deadline_at\":%" PRId64, record->deadline_at);
    put_text(&writer, "traceparent", record->traceparent);
    put(&writer, "}");
    if (writer.status != STATUS_OK)
        out->size = start;
    return writer.status;
}
