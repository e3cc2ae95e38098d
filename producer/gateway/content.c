// content.c: RFC 8785 asks for names in order, no blanks, and the shortest form of texts and numbers. All
// texts here are tokens without anything to escape, and all numbers whole, so the writer's form is the
// canonical one.
#include "producer/gateway/content.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json_write.h"

enum { CANONICAL_LIMIT = 1024, PATIENT_REF_MOST = 64 };

struct digest content_digest(const struct digest *image, const struct job_metadata *metadata,
                             const char *model_version, bool urgent)
{
    struct buffer text;
    struct json_writer writer;
    struct error err;
    buffer_init(&text, CANONICAL_LIMIT);
    json_write_begin(&writer, &text, &err);
    json_add_object(&writer, NULL);
    json_add_digest(&writer, "image_sha256", image);
    json_add_object(&writer, "metadata");
    if (metadata->capture_device[0])
        json_add_text(&writer, "capture_device", metadata->capture_device);
    if (metadata->dermatoscope_attached >= 0)
        json_add_bool(&writer, "dermatoscope_attached", metadata->dermatoscope_attached);
    if (metadata->fitzpatrick_type >= 0)
        json_add_integer(&writer, "fitzpatrick_type", metadata->fitzpatrick_type);
    if (metadata->lesion_location[0])
        json_add_text(&writer, "lesion_location", metadata->lesion_location);
    if (metadata->patient_age >= 0)
        json_add_integer(&writer, "patient_age", metadata->patient_age);
    json_end_object(&writer);
    if (*model_version)
        json_add_text(&writer, "model_version", model_version);
    json_add_text(&writer, "priority", urgent ? "urgent" : "routine");
    json_end_object(&writer);
    enum status status = json_write_end(&writer);
    assert(status == STATUS_OK); // every field has a limit, and they fit
    (void)status;
    struct digest digest = digest_of(text.data, text.size);
    explicit_bzero(text.data, text.capacity);
    buffer_release(&text);
    return digest;
}

void content_subject(struct bytes key, const char *site, const char *patient_ref,
                     char subject[JOB_SUBJECT_SIZE])
{
    char text[JOB_TOKEN_SIZE + PATIENT_REF_MOST + 2];
    int size = snprintf(text, sizeof text, "%.64s%c%.64s", site, '\0', patient_ref);
    struct digest digest = digest_keyed(key, text, (size_t)size);
    explicit_bzero(text, sizeof text);
    digest_text(&digest, subject);
}
