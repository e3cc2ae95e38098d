// cache.c: looks answers up and stores them; every failure is a miss and a log line.
#include "worker/cache/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/cache/cache_value.h"
#include "worker/faults.h"
#include "worker/thread_counts.h"

enum { REDIS_KEY_SIZE = DIGEST_TEXT_SIZE + 16, DELETE_TIMEOUT_MS = 3000, DELETE_PAUSE_MS = 50 };

enum status cache_open(struct redis **cache, const struct config *config, struct error *err)
{
    const char *url = config_text(config, "cache");
    int connections = 1 + thread_count_at_services(config); // one is infer's, when it deletes
    if (strcmp(url, "none") == 0)
        return STATUS_OK;
    enum status status = cache_check(config, err);
    if (status != STATUS_OK)
        return status;
    return redis_open(cache, url, config_integer(config, "cache_timeout_ms"), connections, err);
}

static void make_key(const char *scope, const struct digest *image, char text[DIGEST_TEXT_SIZE])
{
    struct digest_stream *stream = digest_stream_new();
    digest_stream_add(stream, image->value, sizeof image->value);
    digest_stream_add(stream, scope, strlen(scope));
    struct digest digest = digest_stream_finish(stream);
    digest_text(&digest, text);
    if (fault_is_on(FAULT_SHORT_KEY))
        memset(text + 1, '0', DIGEST_TEXT_SIZE - 2);
}

static void redis_key(const char cache_key[DIGEST_TEXT_SIZE], char key[REDIS_KEY_SIZE])
{
    snprintf(key, REDIS_KEY_SIZE, "skinsight:%s", cache_key);
}

// What is refused is a miss.
static enum cache_result refuse(enum cache_refusal reason, const char *key)
{
    metrics_add(METRIC_CACHE_REFUSED, reason, 1);
    LOG_WARN("cache_value_refused", "key=%s reason=%s", key, cache_refusal_names[reason]);
    return CACHE_MISS;
}

static enum cache_result look(struct worker *worker, struct job *job)
{
    char key[REDIS_KEY_SIZE];
    struct buffer bytes;
    struct error err;
    bool found = false;
    enum cache_result result = CACHE_MISS;
    redis_key(job->cache_key, key);
    buffer_init(&bytes, sizeof(struct cache_value));
    enum status status = redis_get(worker->cache, key, &bytes, &found, &err);
    if (status == STATUS_REJECTED) {
        result = refuse(CACHE_REFUSED_FORM, key);
    } else if (status != STATUS_OK) {
        LOG_INFO("cache_unavailable", "reason=\"%s\"", err.message);
        result = CACHE_UNAVAILABLE;
    } else if (found) {
        enum cache_refusal refusal = cache_value_read(buffer_bytes(&bytes), &job->served->cache_terms, job);
        result = refusal == CACHE_BELIEVED ? CACHE_HIT : refuse(refusal, key);
    }
    buffer_release(&bytes);
    return result;
}

bool cache_find(struct worker *worker, struct job *job)
{
    if (!worker->cache)
        return false;
    make_key(job->served->cache_terms.scope, &job->image_sha256, job->cache_key);
    enum cache_result result = look(worker, job);
    metrics_add(METRIC_CACHE_LOOKUPS, result, 1);
    if (result == CACHE_UNAVAILABLE)
        job->cache_key[0] = '\0'; // nor is it stored: one time-out is enough for a job
    job->cache_hit = result == CACHE_HIT;
    return job->cache_hit;
}

// Spread over a tenth, so that entries written together don't all expire together.
static int64_t jittered(int64_t ttl_ms, const struct job *job)
{
    return ttl_ms - ttl_ms / 10 * job->image_sha256.value[0] / 255;
}

// Keeps trying for a while; how many keys are left.
static int delete_keys(struct worker *worker, const struct digest *digests, int count, int64_t until_ms)
{
    char texts[REDIS_DELETE_MOST][REDIS_KEY_SIZE];
    const char *keys[REDIS_DELETE_MOST];
    struct error err;
    for (int i = 0; i < count; i++) {
        char digits[DIGEST_TEXT_SIZE];
        digest_text(&digests[i], digits);
        redis_key(digits, texts[i]);
        keys[i] = texts[i];
    }
    while (redis_delete(worker->cache, keys, count, &err) != STATUS_OK) {
        if (clock_monotonic_ms() >= until_ms)
            return count;
        clock_sleep_ms(DELETE_PAUSE_MS);
    }
    return 0;
}

void cache_prove(struct worker *worker)
{
    atomic_store(&worker->cache_withholds, false);
    unproven_clear(&worker->unproven);
}

void cache_disprove(struct worker *worker)
{
    struct digest digests[REDIS_DELETE_MOST];
    int64_t until_ms = clock_monotonic_ms() + DELETE_TIMEOUT_MS;
    int count, deleted = 0, left = 0;
    while ((count = unproven_take(&worker->unproven, digests, REDIS_DELETE_MOST)) > 0) {
        int kept = clock_monotonic_ms() < until_ms ? delete_keys(worker, digests, count, until_ms) : count;
        left += kept;
        deleted += count - kept;
    }
    if (deleted > 0)
        LOG_WARN("cache_cleaned", "values=%d", deleted);
    if (left > 0)
        LOG_ERROR("cache_not_cleaned", "values=%d", left);
}

// Too many values wait for the next check already.
static void withhold(struct worker *worker)
{
    metrics_add(METRIC_CACHE_WITHHELD, 0, 1);
    if (!atomic_exchange(&worker->cache_withholds, true))
        LOG_INFO("cache_waits_for_check", "values=%d known_answer_batches=%" PRId64, UNPROVEN_MOST,
                 config_integer(worker->config, "known_answer_batches"));
}

// The key is remembered before the SET, and the device looked at after it: either cache_disprove finds the
// key, or this thread deletes it.
void cache_store(struct worker *worker, const struct job *job)
{
    if (!worker->cache || job->cache_hit || !*job->cache_key || !*job->attention_key ||
        redis_is_down(worker->cache))
        return;
    struct cache_value value;
    struct digest digest;
    struct error err;
    char key[REDIS_KEY_SIZE];
    redis_key(job->cache_key, key);
    cache_value_fill(&value, &job->served->cache_terms, job);
    struct bytes bytes = {(const uint8_t *)&value, sizeof value};
    bool remembered = digest_parse(job->cache_key, &digest) && unproven_add(&worker->unproven, &digest);
    if (!remembered && worker->checked_again) {
        withhold(worker);
        return;
    }
    if (worker_suspects(worker, job))
        return;
    if (redis_set(worker->cache, key, bytes, jittered(worker->cache_ttl_ms, job), &err) != STATUS_OK)
        LOG_INFO("cache_not_written", "reason=\"%s\"", err.message);
    if (worker_suspects(worker, job) && unproven_add(&worker->unproven, &digest))
        cache_disprove(worker);
}
