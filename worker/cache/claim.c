// claim.c: SET NX PX and polling; every failure of Redis means computing.
#include "worker/cache/claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/services/backoff.h"
#include "worker/cache/cache.h"

enum {
    CLAIM_LIVES = 2, // times as long as anyone waits, lest it ends just before the answer comes
    WAIT_MOST_MS = 2000,
    POLL_FIRST_MS = 2,
    POLL_MOST_MS = 20,
    CLAIM_KEY_SIZE = DIGEST_TEXT_SIZE + 24,
    OWNER_SIZE = 9
};

static void claim_key(const struct job *job, char key[CLAIM_KEY_SIZE])
{
    snprintf(key, CLAIM_KEY_SIZE, "skinsight-claim:%s", job->cache_key);
}

int64_t claim_wait_ms(int64_t now_ms, int64_t deadline_ms, int64_t learnt_us)
{
    int64_t learnt_ms = (learnt_us + 999) / 1000;
    int64_t wait_ms = learnt_ms < WAIT_MOST_MS ? (5 * learnt_ms + 3) / 4 : WAIT_MOST_MS;
    if (wait_ms > WAIT_MOST_MS)
        wait_ms = WAIT_MOST_MS;
    int64_t spare_ms = deadline_ms < 0 ? wait_ms : deadline_ms - now_ms - learnt_ms;
    if (spare_ms < wait_ms)
        wait_ms = spare_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

// Nothing is claimed that will not be stored, nor while it is not known how long an answer takes.
static bool is_worth_claiming(struct worker *worker, const struct job *job)
{
    const struct plan *plan = job->served->engine.plan;
    return !job->careful && atomic_load(&job->served->answer_us) > 0 &&
           plan->heads * plan->map_height * plan->map_width > 0 && !object_store_is_down(worker->objects);
}

static enum status make_claim(struct worker *worker, struct job *job, struct error *err)
{
    char key[CLAIM_KEY_SIZE], owner[OWNER_SIZE];
    claim_key(job, key);
    snprintf(owner, sizeof owner, "%08" PRIx32, worker->owner);
    struct bytes value = {(const uint8_t *)owner, OWNER_SIZE - 1};
    int64_t ttl_ms = CLAIM_LIVES * claim_wait_ms(0, -1, atomic_load(&job->served->answer_us));
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

// So that urgent jobs get past those that wait, one thread of fetch and one of load are left over.
static bool may_wait(struct worker *worker)
{
    int others = (int)config_integer(worker->config, "fetch_threads") - 1;
    if (atomic_fetch_add(&worker->claim_waits, 1) < others)
        return true;
    atomic_fetch_sub(&worker->claim_waits, 1);
    return false;
}

static int wait_for_answer(struct worker *worker, struct job *job)
{
    struct backoff backoff;
    struct error err;
    int64_t until_ms = clock_monotonic_ms() + claim_wait_ms(clock_wall_ms(), job->record.deadline_at,
                                                            atomic_load(&job->served->answer_us));
    backoff_init(&backoff, POLL_FIRST_MS, POLL_MOST_MS, (uint64_t)job->offset);
    for (;;) {
        int64_t pause_ms = backoff_next_ms(&backoff);
        if (clock_monotonic_ms() + pause_ms > until_ms || worker->stopping ||
            !assignment_is_current(&worker->assignment, job))
            return CLAIM_TIMED_OUT;
        clock_sleep_ms(pause_ms);
        enum cache_result result = cache_look(worker, job);
        if (result == CACHE_HIT)
            return CLAIM_ANSWERED;
        if (result != CACHE_MISS || make_claim(worker, job, &err) != STATUS_OK)
            return CLAIM_UNAVAILABLE;
        if (job->claimed)
            return CLAIM_TAKEN_OVER;
    }
}

bool claim_or_wait(struct worker *worker, struct job *job)
{
    struct error err;
    if (!is_worth_claiming(worker, job) || make_claim(worker, job, &err) != STATUS_OK || job->claimed ||
        is_ours(worker, job) || !may_wait(worker))
        return false;
    int outcome = wait_for_answer(worker, job);
    atomic_fetch_sub(&worker->claim_waits, 1);
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

void claim_learn(struct served_model *served, int64_t took_us)
{
    long long known_us = atomic_load(&served->answer_us);
    atomic_store(&served->answer_us, took_us > known_us ? took_us : known_us + (took_us - known_us) / 16);
}
