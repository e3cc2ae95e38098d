// batch.c: stage 4. While the device is busy, jobs gather; when it is free, what has gathered goes: a device
// never idles while a job waits, except batch_delay_ms for company that is on its way. A batch is cut short
// where its expected time would cost a job its deadline. Thread: one.
#include "worker/stages/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "worker/device/latency.h"
#include "worker/stages/stages.h"

enum { DEVICE_POLL_MS = 1 };

struct gathering {
    struct worker *worker;
    struct job *jobs[BATCH_LIMIT]; // in the order they came; behind a batch cut short, first what it left
    int count;
    bool passed;      // jobs with less time left went before these
    int64_t since_ms; // when the first of them came
};

// Whether a batch of size images that starts now ends after the job's deadline.
static bool misses_deadline(const struct worker *worker, const struct job *job, int size)
{
    int64_t expected_ms = latency_predict_us(&job->served->latency, size, clock_monotonic_us()) / 1000;
    return job->record.deadline_at >= 0 && clock_wall_ms() + expected_ms > job->record.deadline_at &&
           broker_clock_agrees(&worker->broker_clock);
}

// Takes the job, unless nobody waits for it any more: then it leaves without seeing the device.
static void add(struct gathering *gathering, struct job *job)
{
    struct worker *worker = gathering->worker;
    if (gathering->count == 0)
        gathering->since_ms = clock_monotonic_ms();
    if (!assignment_is_current(&worker->assignment, job))
        worker_end_job(worker, job);
    else if (!flights_board(&job->served->flights, job))
        gathering->jobs[gathering->count++] = job;
}

static void expire(struct worker *worker, struct job *job)
{
    job_fail(job, JOB_DEADLINE_EXCEEDED, "the deadline would pass before the device could answer");
    worker_pass(worker, job, STAGE_POSTPROCESS);
}

// The first of the job's riders that is ours and can still be answered in time leads instead of it; NULL:
// none.
static struct job *promote(struct worker *worker, struct job *former)
{
    struct job *leader = NULL;
    struct job *rider = flights_land(&former->served->flights, former);
    while (rider) {
        struct job *next = rider->next_rider;
        rider->next_rider = NULL;
        if (!assignment_is_current(&worker->assignment, rider))
            worker_end_job(worker, rider);
        else if (misses_deadline(worker, rider, 1))
            expire(worker, rider);
        else if (!flights_board(&rider->served->flights, rider))
            leader = rider;
        rider = next;
    }
    return leader;
}

int batch_keep_timely(struct worker *worker, struct job **jobs, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        struct job *job = jobs[i];
        if (!assignment_is_current(&worker->assignment, job)) {
            struct job *leader = promote(worker, job);
            worker_end_job(worker, job);
            job = leader;
        } else if (misses_deadline(worker, job, 1)) {
            struct job *leader = promote(worker, job);
            expire(worker, job);
            job = leader;
        }
        if (job)
            jobs[kept++] = job;
    }
    return kept;
}

// How many of the first jobs can run together without one of them missing its deadline. A job that would miss
// it in any batch that it is in does not cut the one before it.
static int fitting_count(const struct gathering *gathering)
{
    int count = gathering->count;
    for (int i = 0; i < count; i++) {
        int fits = count;
        while (fits > 1 && misses_deadline(gathering->worker, gathering->jobs[i], fits))
            fits--;
        count = fits > i ? fits : i;
    }
    return count;
}

static int64_t deadline_of(const struct job *job)
{
    return job->record.deadline_at >= 0 ? job->record.deadline_at : INT64_MAX;
}

static void sort_by_deadline(struct job **jobs, int count)
{
    for (int i = 1; i < count; i++) {
        struct job *job = jobs[i];
        int place = i;
        for (; place > 0 && deadline_of(jobs[place - 1]) > deadline_of(job); place--)
            jobs[place] = jobs[place - 1];
        jobs[place] = job;
    }
}

// How many go now. Where not all of them can, those with the least time left go first, but not twice in a
// row: the jobs they passed are the first of the next batch.
static int choose_batch(struct gathering *gathering)
{
    int count = fitting_count(gathering);
    gathering->passed = count < gathering->count && !gathering->passed;
    if (!gathering->passed)
        return count;
    sort_by_deadline(gathering->jobs, gathering->count);
    return fitting_count(gathering);
}

static bool company_is_coming(const struct gathering *gathering)
{
    return atomic_load(&gathering->worker->unfinished) > gathering->count;
}

// Whether a batch should go now, and why.
static bool is_due(const struct gathering *gathering, enum batch_reason *reason)
{
    struct worker *worker = gathering->worker;
    *reason = BATCH_FULL;
    if (atomic_load(&worker->handing_over))
        return false;
    if (gathering->count >= worker->batch_max)
        return true;
    if (atomic_load(&worker->device_batches) > 0)
        return false;
    *reason = gathering->jobs[0]->careful ? BATCH_CAREFUL : BATCH_IDLE;
    if (gathering->jobs[0]->careful || !company_is_coming(gathering))
        return true;
    *reason = BATCH_DELAY;
    return clock_monotonic_ms() - gathering->since_ms >= worker->batch_delay_ms;
}

void batch_stamp(struct worker *worker, const struct batch *batch)
{
    for (int i = 0; i < batch->count; i++) {
        struct job *job = batch->jobs[i];
        memcpy(job->batch_id, batch->id, sizeof job->batch_id);
        job->batch_size = batch->count;
        job->batch_reason = batch->reason;
        if (job->computing)
            continue;
        worker_begin_computing(worker, job);
        job_stamp(job, MOMENT_BATCHED);
        int64_t waited_ms = job->moments[MOMENT_BATCHED] - job->moments[MOMENT_DECODED];
        metrics_observe(METRIC_STAGE_SECONDS, STAGE_BATCH, (double)(waited_ms > 0 ? waited_ms : 0) / 1e3);
    }
}

// Sends as many of the gathered jobs as fit; the others stay for the next batch.
static void send_batch(struct gathering *gathering, enum batch_reason reason)
{
    struct worker *worker = gathering->worker;
    gathering->count = batch_keep_timely(worker, gathering->jobs, gathering->count);
    if (gathering->count == 0)
        return;
    struct batch *batch = memory_alloc(sizeof *batch);
    batch->count = choose_batch(gathering);
    batch->reason = batch->count < gathering->count ? BATCH_DEADLINE : reason;
    job_request_id_new(batch->id);
    memcpy(batch->jobs, gathering->jobs, (size_t)batch->count * sizeof *batch->jobs);
    gathering->count -= batch->count;
    memmove(gathering->jobs, gathering->jobs + batch->count,
            (size_t)gathering->count * sizeof *gathering->jobs);
    batch_stamp(worker, batch);
    atomic_fetch_add(&worker->device_batches, 1);
    queue_push(&worker->inboxes[STAGE_INFER], QUEUE_ROUTINE, batch);
}

void batch_loop(struct worker *worker)
{
    struct gathering gathering = {.worker = worker};
    for (;;) {
        void *job = NULL;
        int64_t wait_ms = gathering.count == 0 ? QUEUE_WAIT_FOREVER : DEVICE_POLL_MS;
        enum queue_result result = QUEUE_TIMEOUT;
        if (gathering.count < worker->batch_max)
            result = queue_pop(&worker->inboxes[STAGE_BATCH], &job, wait_ms);
        else if (atomic_load(&worker->handing_over))
            clock_sleep_ms(DEVICE_POLL_MS);
        if (result == QUEUE_OK)
            add(&gathering, job);
        if (result == QUEUE_CLOSED)
            break;
        enum batch_reason reason;
        if (gathering.count > 0 && is_due(&gathering, &reason))
            send_batch(&gathering, reason);
    }
    while (gathering.count > 0)
        send_batch(&gathering, BATCH_DRAIN);
}
