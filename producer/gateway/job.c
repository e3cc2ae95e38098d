// job.c: from what a client asks for to what the fleet is asked for.
#include "producer/gateway/job.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "producer/gateway/content.h"
#include "producer/gateway/gateway.h"

enum { OTHER_FIELDS_SIZE = 8 << 10 };

void job_image_key(const struct digest *image, char key[OBJECT_KEY_SIZE])
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(image, digest);
    snprintf(key, OBJECT_KEY_SIZE, "images/%s.jpg", digest);
}

static void take_subject(struct visit *visit, struct job_record *job)
{
    struct bytes key = buffer_bytes(&visit->gateway->subject_key);
    struct analysis *analysis = &visit->analysis;
    if (key.size > 0 && analysis->patient_ref[0])
        content_subject(key, visit->identity.site, analysis->patient_ref, job->subject);
    explicit_bzero(analysis->patient_ref, sizeof analysis->patient_ref);
}

enum status job_write(struct visit *visit, bool stored, struct error *err)
{
    const struct gateway *gateway = visit->gateway;
    const struct analysis *analysis = &visit->analysis;
    struct job_record job = {.image_sha256 = visit->image,
                             .has_image_sha256 = true,
                             .metadata = analysis->metadata,
                             .submitted_at = clock_wall_ms()};
    char key[OBJECT_KEY_SIZE];
    visit->submitted_at = job.submitted_at;
    job.deadline_at = job.submitted_at + gateway->options.job_deadline_ms;
    strcpy(job.request_id, analysis->request_id);
    strcpy(job.model_version, analysis->model_version);
    snprintf(job.site, sizeof job.site, "%s", visit->identity.site);
    take_subject(visit, &job);
    if (stored) {
        job_image_key(&visit->image, key);
        object_store_uri(gateway->objects, key, job.image_uri);
    } else {
        job.image = buffer_bytes(&visit->body.image);
    }
    buffer_init(&visit->record, base64_encoded_size(job.image.size) + OTHER_FIELDS_SIZE);
    enum status status = job_record_write(&job, &visit->record, err);
    explicit_bzero(&job, sizeof job);
    return status;
}
