// fetch.c: stage 1. Reads the record. Where it holds the image, checks its digest and looks the answer up in
// the cache; where it names one in the object store, load.c does that. Threads: fetch_threads.
#include <string.h>

#include "common/base/clock.h"
#include "worker/cache/cache.h"
#include "worker/stages/stages.h"

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
    const char *loaded = job->served->engine.model->manifest.model_version;
    if (*job->record.model_version && strcmp(job->record.model_version, loaded) != 0) {
        job_fail(job, JOB_UNKNOWN_MODEL, "model '%s' is not loaded; loaded are: %s",
                 job->record.model_version, loaded);
        return;
    }
    job->model_found = true;
    if (job->record.deadline_at >= 0 && clock_wall_ms() > job->record.deadline_at &&
        broker_clock_agrees(&worker->broker_clock))
        job_fail(job, JOB_DEADLINE_EXCEEDED, "the deadline had passed before the job was begun");
}

static void check_digest(struct job *job)
{
    job->image_sha256 = digest_of(job->image.data, job->image.size);
    job->has_image_sha256 = true;
    job->image_file_bytes = (int64_t)job->image.size;
    if (job->record.has_image_sha256 && !digest_equal(&job->image_sha256, &job->record.image_sha256))
        job_fail(job, JOB_IMAGE_DIGEST_MISMATCH, "the image's SHA-256 is not the record's image_sha256");
}

// What the image is, and whether its answer is known.
enum stage_id fetch_conclude(struct worker *worker, struct job *job)
{
    worker_count_bytes(worker, job);
    if (job->code == JOB_OK)
        check_digest(job);
    job_stamp(job, MOMENT_FETCHED);
    if (job->code != JOB_OK)
        return STAGE_POSTPROCESS;
    return cache_find(worker, job) ? STAGE_POSTPROCESS : STAGE_DECODE;
}

enum stage_id fetch_step(struct worker *worker, struct job *job)
{
    parse_record(worker, job);
    if (job->code == JOB_OK)
        check_record(worker, job);
    job->image = job->record.image;
    if (job->code == JOB_OK && job->image.size == 0 && *job->record.image_uri)
        return STAGE_LOAD;
    return fetch_conclude(worker, job);
}
