// fuzz_job.c: any bytes as a job record and as metadata. A record that is accepted can be written, and what
// was written is read as the same record.
#include <stdlib.h>
#include <string.h>

#include "common/records/job.h"

enum { IMAGE_MOST = 4096, RECORD_MOST = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool same_metadata(const struct job_metadata *a, const struct job_metadata *b)
{
    return a->patient_age == b->patient_age && a->fitzpatrick_type == b->fitzpatrick_type &&
           a->dermatoscope_attached == b->dermatoscope_attached &&
           strcmp(a->lesion_location, b->lesion_location) == 0 &&
           strcmp(a->capture_device, b->capture_device) == 0;
}

static bool same_record(const struct job_record *a, const struct job_record *b)
{
    return strcmp(a->request_id, b->request_id) == 0 && strcmp(a->model_version, b->model_version) == 0 &&
           strcmp(a->site, b->site) == 0 && strcmp(a->subject, b->subject) == 0 &&
           bytes_equal(a->image, b->image) && strcmp(a->image_uri, b->image_uri) == 0 &&
           a->has_image_sha256 == b->has_image_sha256 && digest_equal(&a->image_sha256, &b->image_sha256) &&
           a->submitted_at == b->submitted_at && a->deadline_at == b->deadline_at &&
           strcmp(a->traceparent, b->traceparent) == 0 && same_metadata(&a->metadata, &b->metadata);
}

static void write_and_read(const struct job_record *record)
{
    uint8_t *image = NULL;
    struct buffer out;
    struct job_record again;
    struct error err;
    buffer_init(&out, RECORD_MOST);
    check(job_record_write(record, &out, &err) == STATUS_OK);
    check(job_record_parse(buffer_bytes(&out), IMAGE_MOST, &image, &again, &err) == JOB_OK);
    check(same_record(record, &again));
    buffer_release(&out);
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *image = NULL;
    struct job_record record;
    struct job_metadata metadata;
    struct error err = {""};
    enum job_code code = job_record_parse((struct bytes){data, size}, IMAGE_MOST, &image, &record, &err);
    check(code != JOB_INTERNAL); // there is memory
    check(record.request_id[0] == '\0' || job_request_id_valid(record.request_id));
    if (code == JOB_OK)
        write_and_read(&record);
    else
        check(err.message[0] != '\0');
    free(image);
    if (job_metadata_parse((struct bytes){data, size}, &metadata, &err) == STATUS_OK)
        check(metadata.patient_age >= -1 && metadata.patient_age <= 130 && metadata.fitzpatrick_type <= 6);
    return 0;
}
