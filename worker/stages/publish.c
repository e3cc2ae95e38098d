// publish.c: stage 7 and last: the loop that gathers answers, and when it publishes. The transaction is in
// publisher.c. At low load an answer is committed at once, under load every commit_interval_ms.
#include "worker/group/publisher.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/services/backoff.h"
#include "worker/stages/stages.h"

enum { RETRY_BASE_MS = 20, RETRY_LIMIT_MS = 1000 };

// False: the publisher is full.
static bool add(struct worker *worker, struct job *job)
{
    pthread_mutex_lock(&worker->assignment.membership);
    bool room = publisher_add(worker->publisher, job);
    pthread_mutex_unlock(&worker->assignment.membership);
    return room;
}

// Pops into the publisher until until_ms, or it is full. False when the inbox is closed and empty.
static bool gather(struct worker *worker, int64_t until_ms)
{
    for (;;) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        void *job;
        enum queue_result result =
            queue_pop(&worker->inboxes[STAGE_PUBLISH], &job, left_ms > 0 ? left_ms : 0);
        if (result != QUEUE_OK)
            return result != QUEUE_CLOSED;
        if (!add(worker, job))
            return true;
    }
}

// Where the worker ends, what the publisher holds is the next owner's.
static enum status publish_once(struct worker *worker, struct error *err)
{
    int64_t begun_us = clock_monotonic_us();
    pthread_mutex_lock(&worker->assignment.membership);
    enum status status = publisher_publish(worker->publisher, COMMIT_ANSWERED, err);
    if (status != STATUS_OK && status != STATUS_RETRY)
        publisher_drop(worker->publisher);
    pthread_mutex_unlock(&worker->assignment.membership);
    metrics_observe(METRIC_STAGE_SECONDS, STAGE_PUBLISH, (double)(clock_monotonic_us() - begun_us) / 1e6);
    return status;
}

static void note_reason(struct worker *worker, const char *reason)
{
    pthread_mutex_lock(&worker->waiting_lock);
    snprintf(worker->unpublished_for.message, sizeof worker->unpublished_for.message, "%s", reason);
    pthread_mutex_unlock(&worker->waiting_lock);
}

bool publish_is_stuck(struct worker *worker, char *reason, size_t size)
{
    int64_t since_ms = atomic_load(&worker->unpublished_since_ms);
    int64_t waited_ms = since_ms > 0 ? clock_monotonic_ms() - since_ms : 0;
    if (waited_ms <= config_integer(worker->config, "session_timeout_ms"))
        return false;
    pthread_mutex_lock(&worker->waiting_lock);
    const char *known = worker->unpublished_for.message;
    snprintf(reason, size, "answers have waited %" PRId64 " s to be published: %s", waited_ms / 1000,
             *known ? known : "the first try has not ended");
    pthread_mutex_unlock(&worker->waiting_lock);
    return true;
}

// Publishes what the publisher holds, again and again until it is done; a rebalance may come in between.
static void publish_all(struct worker *worker)
{
    struct backoff backoff;
    backoff_init(&backoff, RETRY_BASE_MS, RETRY_LIMIT_MS, (uint64_t)clock_monotonic_us());
    struct error err;
    note_reason(worker, "");
    atomic_store(&worker->unpublished_since_ms, clock_monotonic_ms());
    while (publish_once(worker, &err) == STATUS_RETRY) {
        note_reason(worker, err.message);
        metrics_add(METRIC_PUBLISH_RETRIES, 0, 1);
        LOG_WARN("publish_again", "reason=\"%s\"", err.message);
        int64_t wait_ms = backoff_next_ms(&backoff);
        clock_sleep_ms(wait_ms);
    }
    atomic_store(&worker->unpublished_since_ms, 0);
}

void publish_loop(struct worker *worker)
{
    int64_t last_ms = 0;
    bool open = true;
    while (open) {
        void *job;
        if (queue_pop(&worker->inboxes[STAGE_PUBLISH], &job, QUEUE_WAIT_FOREVER) == QUEUE_CLOSED)
            return;
        if (add(worker, job))
            open = gather(worker, last_ms + worker->commit_interval_ms);
        publish_all(worker);
        last_ms = clock_monotonic_ms();
    }
}
