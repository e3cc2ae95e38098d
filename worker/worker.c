// worker.c: opens and closes what the stages share, and holds what they do to a job or to the worker.
#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"
#include "common/services/circuit.h"
#include "worker/cache/cache.h"
#include "worker/descriptors.h"
#include "worker/faults.h"

enum { LEAK_SIZE = 4096, COMPLAIN_MS = 10000, PICTURE_POLL_MS = 1 };

const char *const worker_topic_options[WORKER_TOPIC_COUNT] = {"jobs_topic", "urgent_jobs_topic",
                                                              "predictions_topic", "dead_letters_topic"};

const char *job_topic_name(const struct worker *worker, enum job_topic topic)
{
    return config_text(worker->config, topic == TOPIC_URGENT ? "urgent_jobs_topic" : "jobs_topic");
}

enum job_topic job_topic_of(const struct worker *worker, const char *name)
{
    return strcmp(name, job_topic_name(worker, TOPIC_URGENT)) == 0 ? TOPIC_URGENT : TOPIC_ROUTINE;
}

static void read_settings(struct worker *worker, const struct config *config)
{
    worker->config = config;
    worker->max_image_bytes = (size_t)config_integer(config, "max_image_bytes");
    worker->max_image_pixels = config_integer(config, "max_image_pixels");
    worker->cache_ttl_ms = config_integer(config, "cache_ttl_s") * 1000;
    worker->checked_again = config_integer(config, "known_answer_batches") > 0;
    worker->job_budget_ms = config_integer(config, "job_budget_ms");
    worker->intake_limit_jobs = (int)config_integer(config, "intake_limit_jobs");
    worker->intake_limit_bytes = config_integer(config, "intake_limit_bytes");
    worker->batch_delay_ms = config_integer(config, "batch_delay_ms");
    worker->batch_max = (int)config_integer(config, "batch_max");
    worker->window = (int)config_integer(config, "window");
    worker->metadata_old_form = strcmp(config_text(config, "metadata_format"), "ss1") == 0;
    worker->commit_interval_ms = config_integer(config, "commit_interval_ms");
    worker->transaction_timeout_ms = config_integer(config, "transaction_timeout_ms");
    while (worker->owner == 0)
        getentropy(&worker->owner, sizeof worker->owner);
    const char *instance = config_text(config, "instance");
    if (*instance)
        snprintf(worker->instance, sizeof worker->instance, "%s", instance);
    else
        job_request_id_new(worker->instance);
}

enum status worker_check_topics(const struct config *config, struct error *err)
{
    const char *const *options = worker_topic_options;
    for (int i = 0; i < WORKER_TOPIC_COUNT; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(config_text(config, options[i]), config_text(config, options[k])) == 0)
                return error_set(err, STATUS_REJECTED, "%s and %s must not both be '%s'", options[k],
                                 options[i], config_text(config, options[i]));
    return STATUS_OK;
}

static void note_circuit(void *context, bool open)
{
    unsigned service = (unsigned)(uintptr_t)context;
    if (open)
        metrics_add(METRIC_CIRCUIT_OPENINGS, service, 1);
    metrics_set(METRIC_CIRCUIT_OPEN, service, open);
}

static void watch_circuits(struct worker *worker)
{
    static const struct circuit_watch redis = {note_circuit, (void *)METRIC_REDIS},
                                      reads = {note_circuit, (void *)METRIC_OBJECT_READS},
                                      writes = {note_circuit, (void *)METRIC_OBJECT_WRITES};
    object_store_set_watches(worker->objects, &reads, &writes);
    if (worker->cache)
        redis_set_watch(worker->cache, &redis);
}

static enum status open_stores(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;
    struct object_store_options objects;
    config_objects(config, &objects);
    enum status status = object_store_open(&worker->objects, &objects, err);
    if (status == STATUS_OK)
        status = cache_open(&worker->cache, config, err);
    if (status == STATUS_OK)
        watch_circuits(worker);
    return status;
}

enum status worker_open(struct worker *worker, const struct config *config, struct error *err)
{
    memset(worker, 0, sizeof *worker);
    read_settings(worker, config);
    assignment_init(&worker->assignment);
    reading_init(&worker->reading);
    broker_clock_init(&worker->broker_clock, config_integer(config, "clock_tolerance_ms"));
    blocked_init(&worker->blocked);
    pthread_mutex_init(&worker->waiting_lock, NULL);
    pthread_mutex_init(&worker->picture_turn, NULL);
    unproven_init(&worker->unproven);
    enum status status = descriptors_claim(config, err);
    if (status == STATUS_OK)
        status = policy_load(&worker->policy, config_text(config, "policy"), err);
    if (status == STATUS_OK)
        status = served_model_open(&worker->served, config, worker->batch_max, err);
    if (status == STATUS_OK)
        status = open_stores(worker, err);
    if (status == STATUS_OK)
        status = cache_terms_init(&worker->served.cache_terms, &worker->served.engine, worker->objects,
                                  config, err);
    return status;
}

void worker_close(struct worker *worker)
{
    redis_close(worker->cache);
    object_store_close(worker->objects);
    served_model_close(&worker->served);
    for (int i = 0; i < STAGE_COUNT; i++)
        queue_release(&worker->inboxes[i]);
    unproven_release(&worker->unproven);
    pthread_mutex_destroy(&worker->picture_turn);
    pthread_mutex_destroy(&worker->waiting_lock);
    blocked_release(&worker->blocked);
    reading_release(&worker->reading);
    assignment_release(&worker->assignment);
}

void worker_begin_job(struct worker *worker, struct job *job)
{
    job->taken = job->inside = true;
    job->served = &worker->served;
    atomic_fetch_add(&worker->unfinished, 1);
    atomic_fetch_add(&worker->inside[job->topic], 1);
    worker_count_bytes(worker, job);
    metrics_add(METRIC_JOBS_CONSUMED, job->topic, 1);
}

static void leave_inside(struct worker *worker, struct job *job)
{
    if (job->inside)
        atomic_fetch_sub(&worker->inside[job->topic], 1);
    job->inside = false;
}

// An answer that waits to be committed must not keep the next job from the device. The publisher has limits
// of its own.
static void leave_intake(struct worker *worker, struct job *job)
{
    leave_inside(worker, job);
    worker_count_bytes(worker, job); // what was kept for a dead letter is gone
}

static enum queue_lane lane_of(const struct job *job)
{
    return job->topic == TOPIC_URGENT ? QUEUE_URGENT : QUEUE_ROUTINE;
}

enum queue_result worker_offer(struct worker *worker, struct job *job, enum stage_id stage)
{
    return queue_try_push(&worker->inboxes[stage], lane_of(job), job);
}

void worker_pass(struct worker *worker, struct job *job, enum stage_id stage)
{
    if (stage == STAGE_PUBLISH)
        leave_intake(worker, job);
    enum queue_result result = queue_push(&worker->inboxes[stage], lane_of(job), job);
    if (result != QUEUE_OK)
        abort(); // a stage's inbox closes only after every earlier stage has ended
}

void worker_begin_computing(struct worker *worker, struct job *job)
{
    job->computing = true;
    atomic_fetch_add(&worker->computing, 1);
}

void worker_end_computing(struct worker *worker, struct job *job)
{
    if (job->computing)
        atomic_fetch_sub(&worker->computing, 1);
    job->computing = false;
}

static void count(atomic_llong *total, size_t *counted, size_t size)
{
    atomic_fetch_add(total, (long long)size - (long long)*counted);
    *counted = size;
}

void worker_count_bytes(struct worker *worker, struct job *job)
{
    count(&worker->record_bytes, &job->record_bytes, job->key.size + job->value.size);
    count(&worker->image_bytes, &job->image_bytes, job->image.size);
    count(&worker->picture_bytes, &job->picture_bytes, job->picture_size);
}

static bool has_bytes_for(struct worker *worker, size_t size)
{
    return atomic_load(&worker->record_bytes) + atomic_load(&worker->image_bytes) +
               atomic_load(&worker->picture_bytes) + (long long)size <=
           worker->intake_limit_bytes;
}

bool worker_has_bytes(struct worker *worker)
{
    long long files = atomic_load(&worker->record_bytes) + atomic_load(&worker->image_bytes);
    return files <= worker->intake_limit_bytes / 4 * 3 && has_bytes_for(worker, 0);
}

void worker_admit_picture(struct worker *worker, struct job *job, size_t size)
{
    pthread_mutex_lock(&worker->picture_turn);
    while (atomic_load(&worker->picture_bytes) > 0 && !has_bytes_for(worker, size))
        clock_sleep_ms(PICTURE_POLL_MS);
    job->picture_size = size;
    worker_count_bytes(worker, job);
    pthread_mutex_unlock(&worker->picture_turn);
}

bool worker_suspects(struct worker *worker, const struct job *job)
{
    return job->code == JOB_OK && atomic_load(&worker->device) == DEVICE_WRONG;
}

static void end_one(struct worker *worker, struct job *job)
{
    worker_end_computing(worker, job);
    atomic_fetch_sub(&worker->unfinished, 1);
    leave_inside(worker, job);
    count(&worker->record_bytes, &job->record_bytes, 0);
    count(&worker->image_bytes, &job->image_bytes, 0);
    count(&worker->picture_bytes, &job->picture_bytes, 0);
    job_free(job);
    if (fault_is_on(FAULT_LEAK))
        memset(memory_alloc(LEAK_SIZE), 1, LEAK_SIZE);
}

void worker_end_job(struct worker *worker, struct job *job)
{
    struct job *rider = flights_land(&job->served->flights, job);
    while (rider) {
        struct job *next = rider->next_rider;
        end_one(worker, rider);
        rider = next;
    }
    end_one(worker, job);
}

void worker_complain(struct worker *worker, const struct error *complaint, int64_t *told_ms)
{
    pthread_mutex_lock(&worker->waiting_lock);
    bool same = strcmp(worker->waiting_for.message, complaint->message) == 0;
    worker->waiting_for = *complaint;
    pthread_mutex_unlock(&worker->waiting_lock);
    if (same && clock_monotonic_ms() - *told_ms < COMPLAIN_MS)
        return;
    LOG_WARN("waiting", "reason=\"%s\"", complaint->message);
    *told_ms = clock_monotonic_ms();
}

void worker_fail(struct worker *worker, const char *format, ...)
{
    if (atomic_exchange(&worker->failing, true))
        return;
    va_list arguments;
    va_start(arguments, format);
    error_vset(&worker->failure, STATUS_FATAL, format, arguments);
    va_end(arguments);
    atomic_store(&worker->failed, true);
    LOG_ERROR("worker_failed", "reason=\"%s\"", worker->failure.message);
    shutdown_request();
}
