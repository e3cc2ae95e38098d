// batch.c: stage 3. While the device is busy, jobs gather; when it is free, what has gathered goes (a device
// never idles while a job waits, except batch_delay_ms for company that is on its way). Thread: one.
#include "worker/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "worker/stages.h"

enum { DEVICE_POLL_MS = 1 };

static bool expired(const struct job *job)
{
    return job->record.deadline_at >= 0 && clock_wall_ms() > job->record.deadline_at;
}

// Adds the job, unless nobody waits for it any more: then it leaves without seeing the device.
static void add(struct worker *worker, struct batch *batch, struct job *job)
{
    if (!assignment_is_current(&worker->assignment, job)) {
        worker_end_job(worker, job);
    } else if (expired(job)) {
        job_fail(job, JOB_DEADLINE_EXCEEDED, "the deadline passed before the job reached the device");
        worker_pass(worker, job, STAGE_POSTPROCESS);
    } else {
        batch->jobs[batch->count++] = job;
    }
}

static bool company_is_coming(struct worker *worker, const struct batch *batch)
{
    return atomic_load(&worker->unfinished) > batch->count;
}

// Whether the batch should go now, and why.
static bool is_due(struct worker *worker, struct batch *batch, int64_t since_ms)
{
    if (batch->count >= worker->batch_max) {
        batch->reason = BATCH_FULL;
        return true;
    }
    if (atomic_load(&worker->device_busy))
        return false;
    if (batch->jobs[0]->careful) {
        batch->reason = BATCH_CAREFUL;
        return true;
    }
    batch->reason = BATCH_IDLE;
    if (!company_is_coming(worker, batch))
        return true;
    batch->reason = BATCH_DELAY;
    return clock_monotonic_ms() - since_ms >= worker->batch_delay_ms;
}

// Fills *batch; false when the inbox is closed and nothing is left.
static bool gather(struct worker *worker, struct batch *batch)
{
    int64_t since_ms = 0;
    for (;;) {
        void *job = NULL;
        int64_t wait_ms = batch->count == 0 ? QUEUE_WAIT_FOREVER : DEVICE_POLL_MS;
        enum queue_result result = queue_pop(&worker->inboxes[STAGE_BATCH], &job, wait_ms);
        if (result == QUEUE_OK) {
            if (batch->count == 0)
                since_ms = clock_monotonic_ms();
            add(worker, batch, job);
        } else if (result == QUEUE_CLOSED) {
            batch->reason = BATCH_DRAIN;
            return batch->count > 0;
        }
        if (batch->count > 0 && is_due(worker, batch, since_ms))
            return true;
    }
}

static void hand_over(struct worker *worker, struct batch *batch)
{
    job_request_id_new(batch->id);
    for (int i = 0; i < batch->count; i++) {
        struct job *job = batch->jobs[i];
        memcpy(job->batch_id, batch->id, sizeof job->batch_id);
        job->batch_size = batch->count;
        job->batch_reason = batch->reason;
        job_stamp(job, MOMENT_BATCHED);
    }
    metrics_add(METRIC_BATCHES, batch->reason, 1);
    metrics_observe(METRIC_BATCH_SIZE, 0, batch->count);
    atomic_store(&worker->device_busy, 1);
    queue_push(&worker->inboxes[STAGE_INFER], QUEUE_ROUTINE, batch);
}

void batch_loop(struct worker *worker)
{
    for (;;) {
        struct batch *batch = memory_alloc(sizeof *batch);
        if (!gather(worker, batch)) {
            free(batch);
            return;
        }
        hand_over(worker, batch);
    }
}
