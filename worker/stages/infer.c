// infer.c: stage 5. Runs batches on the device, which health.h judges: before the first job, after each
// batch, and while it has nothing to do. A device that fails is never used again: the worker takes no further
// job and ends with exit code 1. Of one that gave a wrong answer it also publishes no prediction that is not
// out yet, and deletes what it cached since the last good check. What was published since then can't be
// recalled; the log says since when. Thread: one for each device.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/cache/cache.h"
#include "worker/device/health.h"
#include "worker/stages/batch.h"
#include "worker/stages/stages.h"
#include "worker/watchdog.h"

enum { LOOK_INTERVAL_MS = 1000 };

struct infer {
    struct worker *worker;
    struct health health;
    float *logits;          // of a batch, before they are dealt out; sized once for the largest,
    float *maps;            // as these are,
    float *embeddings;      // and these
    size_t map_size;        // values of one image's maps; 0: none
    size_t embedding_width; // 0: the model has no reference, so nobody asks for embeddings
};

// One image's share of a batch's values, the caller's; NULL: it has none.
static float *copy_of(const float *values, size_t count, int slot)
{
    if (count == 0)
        return NULL;
    float *copy = memory_alloc(count * sizeof *copy);
    memcpy(copy, values + (size_t)slot * count, count * sizeof *copy);
    return copy;
}

static void deal_out(const struct infer *infer, struct job *job, int slot)
{
    memcpy(job->logits, infer->logits + slot * LESION_CLASSES, sizeof job->logits);
    if (!engine_gave_numbers(job->logits, 1)) {
        job_fail(job, JOB_INTERNAL,
                 "the network gave a value that is not finite, twice, on a device that passed its check");
        return;
    }
    job->maps = copy_of(infer->maps, infer->map_size, slot);
    job->embedding = copy_of(infer->embeddings, infer->embedding_width, slot);
}

// What follows from a verdict of health. False: the device is never used again. What a wrong one computed and
// is not out yet stays in: the publish stage asks for worker->device before each transaction. What a lost one
// gave before was looked at after its batch, and goes out.
static bool go_on(struct infer *infer, enum device_state state, const struct error *err)
{
    struct worker *worker = infer->worker;
    const struct health *health = &infer->health;
    if (state == DEVICE_GOOD)
        return true;
    atomic_store(&worker->device, (int)state);
    if (state == DEVICE_WRONG && health->good_at > 0)
        LOG_ERROR("answers_suspect", "worker=%s since_unix_ms=%" PRId64 " batches=%" PRId64, worker->instance,
                  health->good_at, health->batches);
    worker_fail(worker, "%s",
                err->message); // before what waits for Redis, where the watchdog may end the process
    if (state == DEVICE_WRONG)
        cache_disprove(worker);
    return false;
}

static enum device_state check(struct infer *infer, struct error *err)
{
    enum device_state state = health_check(&infer->health, err);
    if (state == DEVICE_GOOD) {
        cache_prove(infer->worker);
        atomic_store(&infer->worker->device, DEVICE_GOOD);
    }
    return state;
}

static enum status run_once(struct infer *infer, const struct batch *batch, struct error *err)
{
    const uint8_t *views[BATCH_LIMIT];
    for (int i = 0; i < batch->count; i++)
        views[i] = batch->jobs[i]->view;
    const struct inference inference = {
        .logits = infer->logits, .attention = infer->maps, .embedding = infer->embeddings};
    infer->health.batches++;
    return engine_run(&batch->jobs[0]->served->engine, views, batch->count, &inference, err);
}

// A device error, or a logit that is no number (the input is bytes: it should never be), is followed by a
// check and, where the device passes it, by a second try.
static enum device_state compute(struct infer *infer, const struct batch *batch, struct error *err)
{
    enum status status = run_once(infer, batch, err);
    batch->jobs[0]->served->engine.batches++;
    if (status == STATUS_OK && !engine_gave_numbers(infer->logits, batch->count))
        status = error_set(err, STATUS_FATAL, "a logit is no number");
    if (status != STATUS_OK) {
        LOG_WARN("device_error", "reason=\"%s\"", err->message);
        enum device_state state = check(infer, err);
        if (state != DEVICE_GOOD)
            return state;
        status = run_once(infer, batch, err);
    }
    return status == STATUS_OK ? health_look(&infer->health, err) : DEVICE_LOST;
}

// False: a device that is not to be used any more answers nothing: another worker will.
static bool compute_and_judge(struct infer *infer, struct batch *batch)
{
    struct error err;
    if (atomic_load(&infer->worker->device) != DEVICE_GOOD)
        return false;
    int64_t begun_us = clock_monotonic_us();
    watchdog_begin();
    enum device_state state = compute(infer, batch, &err);
    batch->elapsed_us = clock_monotonic_us() - begun_us;
    metrics_observe(METRIC_STAGE_SECONDS, STAGE_INFER, (double)batch->elapsed_us / 1e6);
    if (state == DEVICE_GOOD) {
        latency_learn(&batch->jobs[0]->served->latency, batch->count, batch->elapsed_us,
                      begun_us + batch->elapsed_us);
        if (health_is_check_due(&infer->health))
            state = check(infer, &err);
    }
    bool good = go_on(infer, state, &err);
    watchdog_end();
    return good;
}

static void run_batch(struct infer *infer, struct batch *batch)
{
    struct worker *worker = infer->worker;
    batch->count = batch_keep_timely(worker, batch->jobs, batch->count); // it waited for the device
    if (batch->count == 0) {
        atomic_fetch_sub(&worker->device_batches, 1);
        return;
    }
    batch_stamp(worker, batch); // again: some have gone, and some lead since a moment ago
    metrics_add(METRIC_BATCHES, batch->reason, 1);
    metrics_observe(METRIC_BATCH_SIZE, 0, batch->count);
    bool computed = compute_and_judge(infer, batch);
    atomic_fetch_sub(&worker->device_batches, 1);
    for (int i = 0; i < batch->count; i++) {
        struct job *job = batch->jobs[i];
        if (!computed) {
            worker_end_job(worker, job);
            continue;
        }
        deal_out(infer, job, i);
        job->inference_us = batch->elapsed_us;
        job_stamp(job, MOMENT_INFERRED);
        worker_pass(worker, job, STAGE_POSTPROCESS);
    }
}

// The check before the first job, and a look while there is none.
static void watch_over(struct infer *infer)
{
    struct error err;
    int state = atomic_load(&infer->worker->device);
    watchdog_begin();
    if (state == DEVICE_UNCHECKED)
        go_on(infer, check(infer, &err), &err);
    else if (state == DEVICE_GOOD)
        go_on(infer, health_look(&infer->health, &err), &err);
    watchdog_end();
}

void infer_loop(struct worker *worker)
{
    struct served_model *served = &worker->served;
    const struct plan *plan = served->engine.plan;
    struct infer infer = {.worker = worker,
                          .map_size = (size_t)(plan->heads * plan->map_height * plan->map_width),
                          .embedding_width =
                              served->engine.model->reference ? (size_t)plan->embedding_width : 0};
    size_t batch_max = (size_t)worker->batch_max;
    infer.logits = memory_alloc(batch_max * LESION_CLASSES * sizeof(float));
    infer.maps = infer.map_size ? memory_alloc(batch_max * infer.map_size * sizeof(float)) : NULL;
    if (infer.embedding_width)
        infer.embeddings = memory_alloc(batch_max * infer.embedding_width * sizeof(float));
    health_init(&infer.health, served, config_integer(worker->config, "known_answer_batches"));
    if (!served->known_images.has_stored)
        LOG_INFO("known_answers_absent", "compared_with=\"this device's own first answers\"");
    watch_over(&infer);
    void *batch;
    enum queue_result result;
    while ((result = queue_pop(&worker->inboxes[STAGE_INFER], &batch, LOOK_INTERVAL_MS)) != QUEUE_CLOSED) {
        if (result == QUEUE_TIMEOUT) {
            watch_over(&infer);
            continue;
        }
        run_batch(&infer, batch);
        free(batch);
    }
    free(infer.logits);
    free(infer.maps);
    free(infer.embeddings);
}
