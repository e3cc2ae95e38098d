// infer.c: stage 5. Runs batches on the device, which is checked by known images first and again and again
// (health.h), and asked for faults while it has nothing to do. Thread: one for each device.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/device/health.h"
#include "worker/device/latency.h"
#include "worker/device/watchdog.h"
#include "worker/stages/batch.h"
#include "worker/stages/stages.h"

enum { LOOK_INTERVAL_MS = 1000 };

// The batch's results before they are dealt out; sized once for the largest batch.
struct results {
    float *logits;
    float *maps;
    size_t map_size; // values of one image's maps
};

static void deal_out(struct job *job, const struct results *results, int slot)
{
    memcpy(job->logits, results->logits + slot * LESION_CLASSES, sizeof job->logits);
    if (!health_is_finite(job->logits, 1)) {
        job_fail(job, JOB_INTERNAL,
                 "the network gave a value that is not finite, twice, on a device that passed its check");
        return;
    }
    if (results->map_size == 0)
        return;
    job->maps = memory_alloc(results->map_size * sizeof(float));
    memcpy(job->maps, results->maps + (size_t)slot * results->map_size, results->map_size * sizeof(float));
}

static enum status compute(struct health *health, struct batch *batch, struct results *results,
                           struct error *err)
{
    const uint8_t *views[BATCH_LIMIT];
    for (int i = 0; i < batch->count; i++)
        views[i] = batch->jobs[i]->view;
    struct inference inference = {.logits = results->logits, .attention = results->maps};
    return health_run(health, views, batch->count, &inference, err);
}

static void run_batch(struct worker *worker, struct health *health, struct batch *batch,
                      struct results *results)
{
    struct error err;
    batch->count = batch_keep_timely(worker, batch->jobs, batch->count); // it waited for the device
    if (batch->count == 0) {
        atomic_fetch_sub(&worker->device_batches, 1);
        return;
    }
    batch_stamp(worker, batch); // again: some have gone, and some lead since a moment ago
    metrics_add(METRIC_BATCHES, batch->reason, 1);
    metrics_observe(METRIC_BATCH_SIZE, 0, batch->count);
    int64_t begun_us = clock_monotonic_us();
    watchdog_begin();
    enum status status = compute(health, batch, results, &err);
    int64_t elapsed_us = clock_monotonic_us() - begun_us;
    metrics_observe(METRIC_STAGE_SECONDS, STAGE_INFER, (double)elapsed_us / 1e6);
    if (status == STATUS_OK) {
        latency_learn(&batch->jobs[0]->served->latency, batch->count, elapsed_us, begun_us + elapsed_us);
        status = health_check_if_due(health, &err);
    }
    watchdog_end();
    atomic_fetch_sub(&worker->device_batches, 1);
    if (status != STATUS_OK)
        worker_fail(worker, &err);
    for (int i = 0; i < batch->count; i++) {
        struct job *job = batch->jobs[i];
        if (status != STATUS_OK) { // a lost device answers nothing: another worker will
            worker_end_job(worker, job);
            continue;
        }
        deal_out(job, results, i);
        job->inference_us = elapsed_us;
        job_stamp(job, MOMENT_INFERRED);
        worker_pass(worker, job, STAGE_POSTPROCESS);
    }
}

// The check before the first job, or a look while there is none. What comes in after a failure is ended by
// run_batch.
static void watch_over(struct worker *worker, struct health *health,
                       enum status (*look)(struct health *health, struct error *err))
{
    struct error err;
    watchdog_begin();
    enum status status = look(health, &err);
    watchdog_end();
    if (status != STATUS_OK)
        worker_fail(worker, &err);
}

void infer_loop(struct worker *worker)
{
    const struct plan *plan = worker->served.engine.plan;
    struct results results = {.map_size = (size_t)(plan->heads * plan->map_height * plan->map_width)};
    size_t batch_max = (size_t)worker->batch_max;
    results.logits = memory_alloc(batch_max * LESION_CLASSES * sizeof(float));
    results.maps = results.map_size ? memory_alloc(batch_max * results.map_size * sizeof(float)) : NULL;
    struct health *health = health_new(worker);
    watch_over(worker, health, health_check);
    void *batch;
    enum queue_result result;
    while ((result = queue_pop(&worker->inboxes[STAGE_INFER], &batch, LOOK_INTERVAL_MS)) != QUEUE_CLOSED) {
        if (result == QUEUE_TIMEOUT) {
            watch_over(worker, health, health_look);
            continue;
        }
        run_batch(worker, health, batch, &results);
        free(batch);
    }
    health_free(health);
    free(results.logits);
    free(results.maps);
}
