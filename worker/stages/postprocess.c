// postprocess.c: stage 6. Distance from what the model has learnt, probabilities, the attention map as PNG in
// the object store, the cache. A map that can't be stored within the job's budget is left out and the answer
// says so. Threads: postprocess_threads.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/services/backoff.h"
#include "kernels/model/ood.h"
#include "worker/cache/cache.h"
#include "worker/stages/stages.h"
#include "worker/watchdog.h"

enum { RETRY_BASE_MS = 50, RETRY_LIMIT_MS = 2000 };

static float entropy_nats(const float probabilities[LESION_CLASSES])
{
    double sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (probabilities[i] > 0)
            sum -= probabilities[i] * log(probabilities[i]);
    return (float)sum;
}

static enum status draw(const struct engine *engine, const struct job *job, struct buffer *png,
                        struct error *err)
{
    const struct plan *plan = engine->plan;
    float *map = memory_alloc((size_t)(plan->map_height * plan->map_width) * sizeof *map);
    engine_mean_map(plan, job->maps, map);
    enum status status = engine_draw_map(engine, job->view, map, png, err);
    free(map);
    return status;
}

// Tries again with back-off within the job's budget; not while the store is known to be down, which would
// hold up every answer for the sake of a picture.
static enum status upload(struct worker *worker, const char *key, struct bytes png, struct error *err)
{
    struct backoff backoff;
    backoff_init(&backoff, RETRY_BASE_MS, RETRY_LIMIT_MS, (uint64_t)clock_monotonic_us());
    int64_t until_ms = clock_monotonic_ms() + worker->job_budget_ms;
    for (;;) {
        enum status status = object_store_put(worker->objects, key, png, "image/png", err);
        int64_t wait_ms = backoff_next_ms(&backoff);
        bool hopeless = object_store_is_down(worker->objects) || worker->stopping;
        if (status != STATUS_RETRY || hopeless || clock_monotonic_ms() + wait_ms > until_ms)
            return status;
        metrics_add(METRIC_OBJECT_RETRIES, OBJECT_WRITE, 1);
        clock_sleep_ms(wait_ms);
    }
}

static void store_map(struct worker *worker, struct job *job)
{
    struct buffer png;
    char key[OBJECT_KEY_SIZE];
    cache_map_key(&job->served->cache_terms, &job->image_sha256, key);
    enum status status = draw(&job->served->engine, job, &png, &job->attention_error);
    if (status == STATUS_OK)
        status = upload(worker, key, buffer_bytes(&png), &job->attention_error);
    if (status == STATUS_OK) {
        memcpy(job->attention_key, key, sizeof key);
        job->attention_sha256 = digest_of(png.data, png.size);
    } else {
        metrics_add(METRIC_UPLOAD_FAILURES, 0, 1);
        LOG_WARN("attention_map_not_stored", "request_id=%s reason=\"%s\"", job->record.request_id,
                 job->attention_error.message);
    }
    buffer_release(&png);
}

// The embedding is finite as the logits are, each of which sums up all of it.
static void measure_distance(struct job *job)
{
    if (!job->embedding)
        return;
    const struct ood_reference *reference = job->served->engine.model->reference;
    job->ood.distance = ood_distance(reference, job->embedding);
    job->ood.quantile = ood_quantile(reference, job->ood.distance);
}

static void decide(const struct worker *worker, struct job *job)
{
    policy_probabilities(job->logits, job->served->engine.model->manifest.temperature, job->probabilities);
    job->ood.energy = ood_energy(job->logits);
    job->features.entropy_nats = entropy_nats(job->probabilities);
    const struct evidence evidence = {job->probabilities, job->ood.quantile, &job->features};
    policy_decide(&worker->policy, &evidence, &job->decision);
    buffer_release(&job->value); // it can't fail any more: no dead letter
}

// The same image, so the same results; or the same fault, where the leader failed.
static void answer_riders(struct worker *worker, struct job *leader)
{
    struct job *rider = flights_land(&leader->served->flights, leader);
    while (rider) {
        struct job *next = rider->next_rider;
        rider->next_rider = NULL;
        memcpy(rider->logits, leader->logits, sizeof rider->logits);
        rider->ood = leader->ood;
        rider->features = leader->features;
        memcpy(rider->attention_key, leader->attention_key, sizeof rider->attention_key);
        rider->attention_sha256 = leader->attention_sha256;
        rider->attention_error = leader->attention_error;
        rider->cache_hit = true;
        if (leader->code == JOB_OK)
            decide(worker, rider);
        else
            job_fail(rider, leader->code, "%s", leader->error.message);
        job_stamp(rider, MOMENT_POSTPROCESSED);
        watchdog_end(); // a full inbox is publish's time, not ours
        worker_pass(worker, rider, STAGE_PUBLISH);
        watchdog_begin();
        rider = next;
    }
}

enum stage_id postprocess_step(struct worker *worker, struct job *job)
{
    if (job->code == JOB_OK) {
        measure_distance(job);
        decide(worker, job);
        if (job->maps)
            store_map(worker, job);
        else if (!job->cache_hit)
            error_set(&job->attention_error, STATUS_REJECTED, "this model gives no map");
    }
    if (job->code == JOB_OK)
        cache_store(worker, job);
    answer_riders(worker, job);
    job_stamp(job, MOMENT_POSTPROCESSED);
    return STAGE_PUBLISH;
}
