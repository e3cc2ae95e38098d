// run.c: the service. Starts everything in order, waits for a stop, and stops it in the same order.
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"
#include "common/program/service.h"
#include "worker/cache/cache.h"
#include "worker/commands/commands.h"
#include "worker/faults.h"
#include "worker/group/broker_limits.h"
#include "worker/group/member.h"
#include "worker/group/publisher.h"
#include "worker/pipeline.h"
#include "worker/stages/consume.h"
#include "worker/stages/stages.h"
#include "worker/watchdog.h"

enum { STOP_POLL_MS = 20, CHECK_POLL_MS = 5, BROKER_TIMEOUT_MS = 3000 };

static void say_phase(struct worker *worker, int phase, char *reason, size_t size)
{
    static const char *const names[] = {[PHASE_STARTING] = "starting",
                                        [PHASE_JOINING] = "joining the consumer group",
                                        [PHASE_STOPPING] = "stopping"};
    pthread_mutex_lock(&worker->waiting_lock);
    bool waiting = phase == PHASE_NO_BROKER || phase == PHASE_NO_TOPICS;
    snprintf(reason, size, "%s", waiting ? worker->waiting_for.message : names[phase]);
    pthread_mutex_unlock(&worker->waiting_lock);
}

// What a worker that is ready says nevertheless: part of its work waits, or all of it is slow.
static void say_running(struct worker *worker, char *reason, size_t size)
{
    char sentence[256];
    if (reading_say(worker, sentence, sizeof sentence) != ALL_READ ||
        kafka_throttled_lately(sentence, sizeof sentence))
        snprintf(reason, size, "running, but %s", sentence);
    else
        snprintf(reason, size, "running");
}

static bool is_stuck(struct worker *worker, int phase, char *reason, size_t size)
{
    if (phase != PHASE_JOINING && phase != PHASE_RUNNING)
        return false;
    if (member_is_out(worker, reason, size))
        return true;
    return phase == PHASE_RUNNING &&
           (broker_clock_is_wrong(&worker->broker_clock, reason, size) ||
            publish_is_stuck(worker, reason, size) || reading_say(worker, reason, size) == NOTHING_READ);
}

static bool say_ready(void *context, char *reason, size_t size)
{
    struct worker *worker = context;
    int phase = atomic_load(&worker->phase), device = atomic_load(&worker->device);
    const char *hanging = watchdog_hanging(worker->watchdog);
    bool stuck = is_stuck(worker, phase, reason, size);
    if (hanging)
        snprintf(reason, size, "stage %s hangs", hanging);
    else if (device == DEVICE_LOST)
        snprintf(reason, size, "the device failed or reported a fault");
    else if (device == DEVICE_WRONG)
        snprintf(reason, size, "the device does not give the known answers");
    else if (!stuck && phase == PHASE_RUNNING)
        say_running(worker, reason, size);
    else if (!stuck)
        say_phase(worker, phase, reason, size);
    return !hanging && device == DEVICE_GOOD && phase == PHASE_RUNNING && !stuck;
}

static void *run_consume(void *context)
{
    pthread_setname_np(pthread_self(), "consume");
    consume_run(context);
    return NULL;
}

static int count_unfinished(void *context)
{
    struct worker *worker = context;
    return atomic_load(&worker->unfinished);
}

static void set_gauges(void *context)
{
    struct worker *worker = context;
    for (unsigned stage = 0; stage < STAGE_COUNT; stage++)
        metrics_set(METRIC_QUEUE_JOBS, stage, (double)queue_count(&worker->inboxes[stage]));
    metrics_set(METRIC_UNFINISHED_JOBS, 0, atomic_load(&worker->unfinished));
    metrics_set(METRIC_CLOCK_AHEAD, 0, (double)broker_clock_ahead_ms(&worker->broker_clock) / 1e3);
    metrics_set(METRIC_THROTTLE, THROTTLED_CONSUMER, kafka_newest_throttle_ms(RD_KAFKA_CONSUMER) / 1e3);
    metrics_set(METRIC_THROTTLE, THROTTLED_PRODUCER, kafka_newest_throttle_ms(RD_KAFKA_PRODUCER) / 1e3);
    char reason[256];
    metrics_set(METRIC_READY, 0, say_ready(worker, reason, sizeof reason));
}

static void serve(struct worker *worker, struct consume *consume, struct service *service)
{
    pthread_t consume_thread;
    atomic_store(&worker->phase, PHASE_STARTING);
    struct pipeline *pipeline = pipeline_start(worker);
    while (atomic_load(&worker->device) == DEVICE_UNCHECKED && !shutdown_wait_ms(CHECK_POLL_MS)) {
    }
    bool consuming = atomic_load(&worker->device) == DEVICE_GOOD; // another one never joins the group
    if (consuming && pthread_create(&consume_thread, NULL, run_consume, consume) != 0)
        abort();
    while (consuming && !shutdown_wait_ms(INT64_MAX)) {
    }
    service_begin_drain(service);
    while (consuming && !atomic_load(&worker->stopping)) // consume hands out nothing more once this is set
        clock_sleep_ms(STOP_POLL_MS);
    pipeline_stop(pipeline);
    atomic_store(&worker->pipeline_done, true);
    if (consuming)
        pthread_join(consume_thread, NULL);
}

static enum status open_service(struct worker *worker, struct service **service, struct error *err)
{
    const struct service_options options = {
        .address = config_text(worker->config, "http_address"),
        .drain_timeout_ms = config_integer(worker->config, "drain_timeout_ms"),
        .ready = say_ready,
        .measure = set_gauges,
        .unfinished = count_unfinished,
        .context = worker,
    };
    return service_open(service, &options, err);
}

// The model serves all the same: one without a reference has to be there for a rollback.
static void warn_of_reference(const struct worker *worker)
{
    if (policy_needs_reference(&worker->policy) && !worker->served.engine.model->reference)
        LOG_WARN("policy_not_applied", "limit=ood_quantile_above reason=\"the model has no reference\"");
}

static enum status check_brokers(struct worker *worker, struct error *err)
{
    struct error note;
    enum status status = broker_limits_check(worker->consumer, worker->config, BROKER_TIMEOUT_MS, &note, err);
    if (note.message[0])
        LOG_WARN("broker_limits", "reason=\"%s\"", note.message);
    return status;
}

enum status run_check(const struct config *config, struct error *err)
{
    enum status status = worker_check_topics(config, err);
    return status == STATUS_OK ? cache_check(config, err) : status;
}

enum status run_command(struct config *config, struct error *err)
{
    struct worker *worker = memory_alloc(sizeof *worker);
    struct consume *consume = NULL;
    struct service *service = NULL;
    shutdown_install();
    faults_announce();
    enum status status = worker_open(worker, config, err);
    pipeline_init_inboxes(worker);
    worker->watchdog = watchdog_start(config_integer(config, "stage_timeout_ms"));
    reading_publish_metrics(worker);
    if (status == STATUS_OK)
        status = open_service(worker, &service, err);
    if (status == STATUS_OK)
        status = consume_open(&consume, worker, err);
    if (status == STATUS_OK)
        worker->publisher = publisher_new(worker);
    if (status == STATUS_OK) {
        engine_warn_untrained(&worker->served.engine);
        warn_of_reference(worker);
        LOG_INFO("started", "instance=%s model=%s device=\"%s\"", worker->instance,
                 worker->served.engine.model->manifest.model_version, worker->served.engine.backend->device);
        if (consume_wait_for_topics(consume))
            status = check_brokers(worker, err);
        if (status == STATUS_OK && !shutdown_requested())
            serve(worker, consume, service);
    }
    consume_close(consume);
    publisher_free(worker->publisher);
    service_close(service);
    watchdog_stop(worker->watchdog);
    if (atomic_load(&worker->failed)) {
        *err = worker->failure;
        status = STATUS_FATAL;
    }
    worker_close(worker);
    if (kafka_consumers_ended()) // else one calls it
        free(worker);
    return status;
}
