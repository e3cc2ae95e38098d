// fetch.c: stage 1. Reads the record, finds the image's bytes (in the record or in the object store), checks
// their digest and looks the answer up in the cache. Threads: fetch_threads.
#include <inttypes.h>
#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "worker/cache.h"
#include "worker/claim.h"
#include "worker/stages.h"

enum { RETRY_BASE_MS = 50, RETRY_LIMIT_MS = 2000, OBJECT_READ = 0 };

static void parse_record(struct worker *worker, struct job *job)
{
    struct error err;
    enum job_code code = job_record_parse(buffer_bytes(&job->value), worker->max_image_bytes,
                                          &job->inline_image, &job->record, &err);
    if (code != JOB_OK)
        job_fail(job, code, "%s", err.message);
}

static void check_record(struct worker *worker, struct job *job)
{
    const char *loaded = worker->engine.model->manifest.model_version;
    if (*job->record.model_version && strcmp(job->record.model_version, loaded) != 0)
        job_fail(job, JOB_UNKNOWN_MODEL, "model '%s' is not loaded; loaded are: %s",
                 job->record.model_version, loaded);
    else if (job->record.deadline_at >= 0 && clock_wall_ms() > job->record.deadline_at)
        job_fail(job, JOB_DEADLINE_EXCEEDED, "the deadline had passed before the job was begun");
}

// Tries again with back-off until the job's budget or a stop ends it.
static enum status get_object(struct worker *worker, struct job *job, const char *key, struct error *err)
{
    struct backoff backoff;
    backoff_init(&backoff, RETRY_BASE_MS, RETRY_LIMIT_MS, (uint64_t)job->offset);
    int64_t until_ms = clock_monotonic_ms() + worker->job_budget_ms;
    for (;;) {
        buffer_clear(&job->object);
        enum status status = object_store_get(worker->objects, key, &job->object, err);
        int64_t wait_ms = backoff_next_ms(&backoff);
        job->unfetched =
            status == STATUS_RETRY && (worker->stopping || !assignment_is_current(&worker->assignment, job));
        if (status != STATUS_RETRY || job->unfetched || clock_monotonic_ms() + wait_ms > until_ms)
            return status;
        metrics_add(METRIC_OBJECT_RETRIES, OBJECT_READ, 1);
        clock_sleep_ms(wait_ms);
    }
}

// Where this process has no memory, the image may be as good as any.
static enum job_code code_of(enum status status, const struct job *job)
{
    if (job->object.overflowed)
        return JOB_IMAGE_TOO_LARGE;
    return status == STATUS_FATAL ? JOB_INTERNAL : JOB_IMAGE_UNAVAILABLE;
}

static void fetch_object(struct worker *worker, struct job *job)
{
    char key[OBJECT_KEY_SIZE];
    struct error err;
    if (object_store_key(worker->objects, job->record.image_uri, key, &err) != STATUS_OK) {
        job_fail(job, JOB_INVALID_FIELD, "image_uri: %s", err.message);
        return;
    }
    buffer_init(&job->object, worker->max_image_bytes);
    enum status status = get_object(worker, job, key, &err);
    if (status == STATUS_OK)
        job->image = buffer_bytes(&job->object);
    else
        job_fail(job, code_of(status, job), "image_uri: %s", err.message);
}

static void find_image(struct worker *worker, struct job *job)
{
    if (job->record.image.size > 0)
        job->image = job->record.image;
    else if (*job->record.image_uri)
        fetch_object(worker, job);
    if (job->code != JOB_OK)
        return;
    job->image_sha256 = digest_of(job->image.data, job->image.size);
    job->has_image_sha256 = true;
    if (job->record.has_image_sha256 && !digest_equal(&job->image_sha256, &job->record.image_sha256))
        job_fail(job, JOB_IMAGE_DIGEST_MISMATCH, "the image's SHA-256 is not the record's image_sha256");
}

enum stage_id fetch_step(struct worker *worker, struct job *job)
{
    parse_record(worker, job);
    if (job->code == JOB_OK)
        check_record(worker, job);
    if (job->code == JOB_OK)
        find_image(worker, job);
    job_stamp(job, MOMENT_FETCHED);
    if (job->unfetched)
        return STAGE_NONE;
    if (job->code != JOB_OK)
        return STAGE_POSTPROCESS;
    enum cache_result found = cache_find(worker, job);
    if (found == CACHE_HIT || (found == CACHE_MISS && claim_or_wait(worker, job)))
        return STAGE_POSTPROCESS;
    return STAGE_DECODE;
}
