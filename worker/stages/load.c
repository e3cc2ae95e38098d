// load.c: stage 2. Gets from the object store the images that records only name. The store may be slow or
// away: jobs that bring their image don't pass here and never wait for it. Threads: as many as fetch has.
#include "common/base/clock.h"
#include "common/services/backoff.h"
#include "worker/stages/stages.h"
#include "worker/watchdog.h"

enum { RETRY_BASE_MS = 50, RETRY_LIMIT_MS = 2000, ROOM_POLL_MS = 2 };

static bool is_futile(struct worker *worker, const struct job *job)
{
    return worker->stopping || !assignment_is_current(&worker->assignment, job);
}

// When the record was taken nobody knew the image's size, so intake_limit_bytes holds here too; what the
// threads load at the same moment comes on top. Jobs with an image are not waiting here, so that there is an
// end to it. False: nobody needs the job done here any more.
static bool wait_for_room(struct worker *worker, const struct job *job)
{
    watchdog_end(); // waiting for later stages to free memory is not this step's time
    while (!is_futile(worker, job) && atomic_load(&worker->image_bytes) > 0 && !worker_has_bytes(worker))
        clock_sleep_ms(ROOM_POLL_MS);
    watchdog_begin();
    return !is_futile(worker, job);
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
        job->unfetched = status == STATUS_RETRY && is_futile(worker, job);
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

static void load_object(struct worker *worker, struct job *job)
{
    char key[OBJECT_KEY_SIZE];
    struct error err;
    if (object_store_key(worker->objects, job->record.image_uri, key, &err) != STATUS_OK) {
        job_fail(job, JOB_INVALID_FIELD, "image_uri: %s", err.message);
        return;
    }
    buffer_init(&job->object, worker->max_image_bytes);
    enum status status = get_object(worker, job, key, &err);
    if (status == STATUS_OK) {
        job->image = buffer_bytes(&job->object);
        return;
    }
    job_fail(job, code_of(status, job), "image_uri: %s", err.message);
    buffer_release(&job->object); // the part that was read
}

enum stage_id load_step(struct worker *worker, struct job *job)
{
    if (!wait_for_room(worker, job))
        return STAGE_NONE;
    load_object(worker, job);
    return job->unfetched ? STAGE_NONE : fetch_conclude(worker, job);
}
