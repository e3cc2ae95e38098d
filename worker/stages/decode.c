// decode.c: stage 3. From JPEG bytes to the network's view and its features. What a picture will take is
// known from its header, and it is decoded once intake_limit_bytes has room for that. Threads:
// decode_threads.
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/picture/image.h"
#include "kernels/image/preprocess.h"
#include "worker/faults.h"
#include "worker/stages/features.h"
#include "worker/stages/stages.h"
#include "worker/watchdog.h"

// A test names a job that kills its worker by its image's digest.
static void die_where_a_test_says(const struct job *job)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(&job->image_sha256, digest);
    if (!fault_matches(FAULT_ABORT_ON, digest))
        return;
    LOG_WARN("ends_on_request", "topic=%d partition=%d offset=%" PRId64, job->topic, job->partition,
             job->offset);
    abort();
}

static enum job_code code_of(enum status status, const struct image *image)
{
    if (status != STATUS_REJECTED)
        return JOB_INTERNAL;
    return image->too_large ? JOB_IMAGE_TOO_LARGE : JOB_IMAGE_UNDECODABLE;
}

static enum status make_view(const struct image *image, struct job *job, struct error *err)
{
    size_t size = (size_t)job->served->engine.plan->view_size;
    job->view = memory_try_alloc(size);
    if (!job->view)
        return error_set(err, STATUS_FATAL, "no memory for a view of %zu bytes", size);
    return preprocess_view(image, &job->served->engine.model->manifest.preprocessing, job->view, err);
}

static void decode(struct worker *worker, struct job *job)
{
    struct image image = {0};
    struct error err;
    enum status status = jpeg_decode(job->image, worker->max_image_pixels, &image, &err);
    if (status == STATUS_OK)
        status = make_view(&image, job, &err);
    if (status == STATUS_OK)
        features_of_view(job->view, job->served->engine.model->manifest.preprocessing.crop, &job->features);
    else
        job_fail(job, code_of(status, &image), "%s", err.message);
    image_release(&image);
}

static void wait_for_room(struct worker *worker, struct job *job)
{
    watchdog_end(); // waiting for other pictures is not this step's time
    worker_admit_picture(worker, job, jpeg_decoding_size(job->image, worker->max_image_pixels));
    watchdog_begin();
}

enum stage_id decode_step(struct worker *worker, struct job *job)
{
    wait_for_room(worker, job);
    int64_t begun_us = clock_monotonic_us();
    die_where_a_test_says(job);
    decode(worker, job);
    job->preprocessing_us = clock_monotonic_us() - begun_us;
    free(job->inline_image);
    job->inline_image = NULL;
    buffer_release(&job->object);
    job->image = (struct bytes){0};
    job->picture_size = 0;
    worker_count_bytes(worker, job);
    job_stamp(job, MOMENT_DECODED);
    return job->code == JOB_OK ? STAGE_BATCH : STAGE_POSTPROCESS;
}
