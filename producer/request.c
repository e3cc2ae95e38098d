// request.c: reads image files and makes job records of them. Two buffers are kept for the whole run: the
// memory a run needs does not depend on how many files it sends.
#include "producer/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"
#include "common/services/backoff.h"

enum { METADATA_LIMIT = 64 << 10, RECORD_EXTRA = 64 << 10 };

static enum status read_metadata(const char *path, struct job_metadata *metadata, struct error *err)
{
    job_metadata_init(metadata);
    if (!*path)
        return STATUS_OK;
    struct buffer text;
    buffer_init(&text, METADATA_LIMIT);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        status = job_metadata_parse(buffer_bytes(&text), metadata, err);
        if (status != STATUS_OK)
            error_prefix(err, "'%s'", path);
    }
    buffer_release(&text);
    return status;
}

enum status request_options_read(struct request_options *options, const struct config *config,
                                 struct error *err)
{
    *options = (struct request_options){
        .model_version = config_text(config, "model_version"),
        .site = config_text(config, "site"),
        .subject = config_text(config, "subject"),
        .deadline_ms = config_integer(config, "deadline_ms"),
        .inline_limit_bytes = config_integer(config, "inline_limit_bytes"),
        .keep_images = config_switch(config, "keep_images"),
        .max_image_bytes = config_integer(config, "max_image_bytes"),
        .store_timeout_ms = config_integer(config, "timeout_ms"),
    };
    config_objects(config, &options->store);
    return read_metadata(config_text(config, "metadata"), &options->metadata, err);
}

void request_maker_init(struct request_maker *maker, const struct request_options *options)
{
    *maker = (struct request_maker){.options = *options};
    size_t inline_limit = (size_t)options->inline_limit_bytes;
    buffer_init(&maker->image, (size_t)options->max_image_bytes);
    buffer_init(&maker->record, base64_encoded_size(inline_limit) + RECORD_EXTRA);
}

void request_maker_release(struct request_maker *maker)
{
    object_store_close(maker->store);
    buffer_release(&maker->image);
    buffer_release(&maker->record);
    *maker = (struct request_maker){0};
}

static enum status put_once(struct request_maker *maker, const char *key, struct error *err)
{
    return object_store_put(maker->store, key, buffer_bytes(&maker->image), "image/jpeg", err);
}

static enum status put_image(struct request_maker *maker, const char *key, struct error *err)
{
    struct backoff backoff;
    backoff_init(&backoff, 100, 2000, (uint64_t)clock_monotonic_us());
    int64_t deadline_ms = clock_monotonic_ms() + maker->options.store_timeout_ms;
    for (bool told = false;; told = true) {
        enum status status = put_once(maker, key, err);
        int64_t wait_ms = backoff_next_ms(&backoff);
        if (status != STATUS_RETRY || clock_monotonic_ms() + wait_ms >= deadline_ms)
            return status;
        if (!told)
            LOG_WARN("object_store_again", "until_ms=%" PRId64 " reason=\"%s\"",
                     maker->options.store_timeout_ms, err->message);
        if (shutdown_wait_ms(wait_ms))
            return status;
    }
}

static enum status open_store(struct request_maker *maker, const struct job_record *job,
                              char key[OBJECT_KEY_SIZE], struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(&job->image_sha256, digest);
    snprintf(key, OBJECT_KEY_SIZE, "images/%s.jpg", digest);
    return maker->store ? STATUS_OK : object_store_open(&maker->store, &maker->options.store, err);
}

// One try: a job does not wait for what only a later training needs.
static void keep_image(struct request_maker *maker, const struct job_record *job)
{
    struct error err;
    char key[OBJECT_KEY_SIZE];
    enum status status = open_store(maker, job, key, &err);
    if (status == STATUS_OK)
        status = put_once(maker, key, &err);
    if (status != STATUS_OK && !maker->loss_told) {
        LOG_WARN("image_not_kept", "reason=\"%s\"", err.message);
        maker->loss_told = true;
    }
}

// The claim check: the object is in the store before the job that names it is sent.
static enum status store_image(struct request_maker *maker, struct job_record *job, struct error *err)
{
    char key[OBJECT_KEY_SIZE];
    enum status status = open_store(maker, job, key, err);
    if (status == STATUS_OK)
        status = put_image(maker, key, err);
    if (status == STATUS_OK)
        object_store_uri(maker->store, key, job->image_uri);
    return status;
}

enum status request_make(struct request_maker *maker, const char *path, const char *request_id,
                         struct bytes *value, struct error *err)
{
    const struct request_options *options = &maker->options;
    buffer_clear(&maker->image);
    enum status status = file_read(path, &maker->image, err);
    if (status != STATUS_OK)
        return status;
    struct job_record job = {.metadata = options->metadata, .submitted_at = clock_wall_ms()};
    job.deadline_at = options->deadline_ms > 0 ? job.submitted_at + options->deadline_ms : -1;
    snprintf(job.request_id, sizeof job.request_id, "%s", request_id);
    snprintf(job.model_version, sizeof job.model_version, "%s", options->model_version);
    snprintf(job.site, sizeof job.site, "%s", options->site);
    snprintf(job.subject, sizeof job.subject, "%s", options->subject);
    job.image_sha256 = digest_of(maker->image.data, maker->image.size);
    job.has_image_sha256 = true;
    // An empty image can't be told from an absent one inline; in the store it is an object like any other.
    if (maker->image.size > 0 && maker->image.size <= (size_t)options->inline_limit_bytes)
        job.image = buffer_bytes(&maker->image);
    else
        status = store_image(maker, &job, err);
    if (job.image.size > 0 && options->keep_images)
        keep_image(maker, &job);
    if (status == STATUS_OK) {
        buffer_clear(&maker->record);
        status = job_record_write(&job, &maker->record, err);
        *value = buffer_bytes(&maker->record);
    }
    if (status != STATUS_OK)
        error_prefix(err, "'%s' is not sent", path);
    return status;
}
