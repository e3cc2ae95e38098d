// pipeline.c: the worker as one table. Reading it from top to bottom is reading a job's way: consume.c fills
// the first inbox, each stage pops from its own and passes on, publish.c ends every job.
#include "worker/pipeline.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "worker/stages/stages.h"
#include "worker/thread_counts.h"
#include "worker/watchdog.h"

// Whether the watchdog looks at a stage's steps, and whether one may try the object store again and again.
// Batch waits for the device and publish for Kafka, and both have limits of their own.
enum watch { UNWATCHED, WATCHED, WATCHED_AT_STORE };

struct stage {
    const char *name;    // of its threads, in metrics and in the log
    const char *threads; // an option; NULL: one thread
    int inbox_times;     // jobs that its inbox holds: so many times
    const char *inbox;   // this option; NULL: 1
    enum watch watch;    // by the watchdog
    enum stage_id (*step)(struct worker *worker, struct job *job); // one job at a time, or
    void (*loop)(struct worker *worker);                           // a loop of its own
};

// What waits in front of the device is kept short: an urgent job can't overtake what is already in a batch.
// In front of load there is room for every job: a full inbox would make fetch wait for the object store.
static const struct stage stages[STAGE_COUNT] = {
    [STAGE_FETCH] = {"fetch", "fetch_threads", 1, "queue_jobs", WATCHED, .step = fetch_step},
    [STAGE_LOAD] = {"load", "fetch_threads", 1, "intake_limit_jobs", WATCHED_AT_STORE, .step = load_step},
    [STAGE_DECODE] = {"decode", "decode_threads", 2, "batch_max", WATCHED, .step = decode_step},
    [STAGE_BATCH] = {"batch", NULL, 2, "batch_max", UNWATCHED, .loop = batch_loop},
    [STAGE_INFER] = {"infer", NULL, 1, NULL, WATCHED, .loop = infer_loop},
    [STAGE_POSTPROCESS] = {"postprocess", "postprocess_threads", 1, "queue_jobs", WATCHED_AT_STORE,
                           .step = postprocess_step},
    [STAGE_PUBLISH] = {"publish", NULL, 1, "queue_jobs", UNWATCHED, .loop = publish_loop},
};

enum { STAGE_MAX_THREADS = 64 };

struct stage_threads {
    struct worker *worker;
    enum stage_id id;
    int count;
    pthread_t threads[STAGE_MAX_THREADS];
};

struct pipeline {
    struct worker *worker;
    struct stage_threads stages[STAGE_COUNT];
};

const char *pipeline_stage_name(unsigned id)
{
    return id == STAGE_TOTAL ? "total" : stages[id].name;
}

int64_t pipeline_more_ms(const struct worker *worker, enum stage_id id)
{
    if (stages[id].watch == UNWATCHED)
        return -1;
    return stages[id].watch == WATCHED_AT_STORE ? worker->job_budget_ms : 0;
}

void pipeline_init_inboxes(struct worker *worker)
{
    const struct config *config = worker->config;
    unsigned urgent_share = (unsigned)config_integer(config, "urgent_share");
    for (int id = 0; id < STAGE_COUNT; id++) {
        int64_t unit = stages[id].inbox ? config_integer(config, stages[id].inbox) : 1;
        queue_init(&worker->inboxes[id], (size_t)(unit * stages[id].inbox_times), urgent_share);
    }
}

// A job that lost its partition, whose prediction must not go out, or that nobody has begun when a stop was
// asked for, is not worth a step.
static bool is_worthless(struct worker *worker, const struct job *job, enum stage_id id)
{
    bool may_have_riders = id == STAGE_POSTPROCESS && job->computing; // flights.h
    return (!may_have_riders && !assignment_is_current(&worker->assignment, job)) ||
           (id <= STAGE_LOAD && worker->stopping) ||
           (id == STAGE_POSTPROCESS && worker_suspects(worker, job));
}

static void run_steps(struct worker *worker, enum stage_id id)
{
    void *item;
    while (queue_pop(&worker->inboxes[id], &item, QUEUE_WAIT_FOREVER) == QUEUE_OK) {
        struct job *job = item;
        if (is_worthless(worker, job, id)) {
            worker_end_job(worker, job);
            continue;
        }
        int64_t begun_us = clock_monotonic_us();
        watchdog_begin();
        enum stage_id next = stages[id].step(worker, job);
        watchdog_end();
        metrics_observe(METRIC_STAGE_SECONDS, id, (double)(clock_monotonic_us() - begun_us) / 1e6);
        if (next == STAGE_NONE)
            worker_end_job(worker, job);
        else
            worker_pass(worker, job, next);
    }
}

static void *run_thread(void *context)
{
    struct stage_threads *own = context;
    const struct stage *stage = &stages[own->id];
    int64_t more_ms = pipeline_more_ms(own->worker, own->id);
    pthread_setname_np(pthread_self(), stage->name);
    if (more_ms >= 0)
        watchdog_enter(own->worker->watchdog, stage->name, more_ms);
    if (stage->loop)
        stage->loop(own->worker);
    else
        run_steps(own->worker, own->id);
    return NULL;
}

struct pipeline *pipeline_start(struct worker *worker)
{
    struct pipeline *pipeline = memory_alloc(sizeof *pipeline);
    pipeline->worker = worker;
    for (int id = 0; id < STAGE_COUNT; id++) {
        struct stage_threads *own = &pipeline->stages[id];
        *own = (struct stage_threads){.worker = worker, .id = (enum stage_id)id};
        own->count = stages[id].threads ? thread_count(worker->config, stages[id].threads) : 1;
        for (int i = 0; i < own->count; i++)
            if (pthread_create(&own->threads[i], NULL, run_thread, own) != 0)
                abort(); // as for any small allocation
    }
    return pipeline;
}

void pipeline_stop(struct pipeline *pipeline)
{
    for (int id = 0; id < STAGE_COUNT; id++) {
        struct stage_threads *own = &pipeline->stages[id];
        queue_close(&pipeline->worker->inboxes[id]);
        for (int i = 0; i < own->count; i++)
            pthread_join(own->threads[i], NULL);
    }
    free(pipeline);
}
