// claim.c: SET NX PX and polling; every failure of Redis means computing.
#include "worker/claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "worker/cache.h"

enum {
    CLAIM_LIVES = 2, // times as long as anyone waits, lest it ends just before the answer comes
    WAIT_MOST_US = 2000000,
    WAIT_LEAST_US = 1000, // of a Redis key's life
    POLL_FIRST_MS = 2,
    POLL_MOST_MS = 20,
    CLAIM_KEY_SIZE = DIGEST_TEXT_SIZE + 24,
    OWNER_SIZE = 9
};

enum { CLAIM_ANSWERED, CLAIM_TAKEN_OVER, CLAIM_TIMED_OUT, CLAIM_UNAVAILABLE };

static void claim_key(const struct job *job, char key[CLAIM_KEY_SIZE])
{
    snprintf(key, CLAIM_KEY_SIZE, "skinsight-claim:%s", job->cache_key);
}

static int64_t wait_us(struct worker *worker)
{
    long long us = atomic_load(&worker->answer_us);
    return us > 0 && us < WAIT_LEAST_US ? WAIT_LEAST_US : us;
}

// Nothing is claimed that will not be stored, nor while it is not known how long an answer takes.
static bool is_worth_claiming(struct worker *worker, const struct job *job)
{
    const struct plan *plan = worker->engine.plan;
    return !job->careful && wait_us(worker) > 0 && plan->heads * plan->map_height * plan->map_width > 0 &&
           !object_store_is_down(worker->objects);
}

static enum status make_claim(struct worker *worker, struct job *job, struct error *err)
{
    char key[CLAIM_KEY_SIZE], owner[OWNER_SIZE];
    claim_key(job, key);
    snprintf(owner, sizeof owner, "%08" PRIx32, worker->owner);
    struct bytes value = {(const uint8_t *)owner, OWNER_SIZE - 1};
    int64_t ttl_ms = CLAIM_LIVES * wait_us(worker) / 1000;
    return redis_set_new(worker->cache, key, value, ttl_ms, &job->claimed, err);
}

// By another job of this process, which flights.h will bring together.
static bool is_ours(struct worker *worker, const struct job *job)
{
    char key[CLAIM_KEY_SIZE], owner[OWNER_SIZE];
    struct buffer value;
    struct error err;
    bool found;
    buffer_init(&value, OWNER_SIZE);
    claim_key(job, key);
    snprintf(owner, sizeof owner, "%08" PRIx32, worker->owner);
    bool ours = redis_get(worker->cache, key, &value, &found, &err) == STATUS_OK && found &&
                value.size == OWNER_SIZE - 1 && memcmp(value.data, owner, value.size) == 0;
    buffer_release(&value);
    return ours;
}

// Monotonic ms; where the job has a deadline, there must be time left to compute it afterwards.
static int64_t wait_until(struct worker *worker, const struct job *job)
{
    int64_t now_ms = clock_monotonic_ms(), wait_ms = wait_us(worker) / 1000;
    if (job->record.deadline_at < 0)
        return now_ms + wait_ms;
    int64_t spare_ms = job->record.deadline_at - clock_wall_ms() - wait_ms;
    return now_ms + (spare_ms < wait_ms ? spare_ms : wait_ms);
}

static int wait_for_answer(struct worker *worker, struct job *job)
{
    struct backoff backoff;
    struct error err;
    int64_t until_ms = wait_until(worker, job);
    backoff_init(&backoff, POLL_FIRST_MS, POLL_MOST_MS, (uint64_t)job->offset);
    for (;;) {
        int64_t pause_ms = backoff_next_ms(&backoff);
        if (clock_monotonic_ms() + pause_ms > until_ms || worker->stopping ||
            !assignment_is_current(&worker->assignment, job))
            return CLAIM_TIMED_OUT;
        struct timespec pause = {0, pause_ms * 1000000};
        nanosleep(&pause, NULL);
        enum cache_result result = cache_look(worker, job);
        if (result == CACHE_HIT)
            return CLAIM_ANSWERED;
        if (result == CACHE_UNAVAILABLE || make_claim(worker, job, &err) != STATUS_OK)
            return CLAIM_UNAVAILABLE;
        if (job->claimed)
            return CLAIM_TAKEN_OVER;
    }
}

bool claim_or_wait(struct worker *worker, struct job *job)
{
    struct error err;
    if (!is_worth_claiming(worker, job) || make_claim(worker, job, &err) != STATUS_OK || job->claimed ||
        is_ours(worker, job))
        return false;
    int outcome = wait_for_answer(worker, job);
    metrics_add(METRIC_CACHE_WAITS, (unsigned)outcome, 1);
    return outcome == CLAIM_ANSWERED;
}

void claim_release(struct worker *worker, const struct job *job)
{
    char key[CLAIM_KEY_SIZE];
    const char *keys[] = {key};
    struct error err;
    if (!job->claimed)
        return;
    claim_key(job, key);
    if (redis_delete(worker->cache, keys, 1, &err) != STATUS_OK)
        return; // it expires
}

void claim_learn(struct worker *worker, const struct job *job)
{
    long long took_us = clock_monotonic_us() - job->fetched_us, known_us = atomic_load(&worker->answer_us);
    if (took_us > WAIT_MOST_US)
        took_us = WAIT_MOST_US;
    atomic_store(&worker->answer_us, took_us > known_us ? took_us : known_us + (took_us - known_us) / 16);
}
