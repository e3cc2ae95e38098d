// cache.c: looks answers up and stores them; every failure is a miss and a log line.
#include "worker/cache.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/version.h"
#include "worker/faults.h"
#include "worker/health.h"

enum { REDIS_KEY_SIZE = DIGEST_TEXT_SIZE + 16, DELETE_TIMEOUT_MS = 3000, DELETE_PAUSE_MS = 50 };

static void init_map_scope(struct worker *worker)
{
    const struct engine *engine = &worker->engine;
    char text[256], digits[DIGEST_TEXT_SIZE];
    int length =
        snprintf(text, sizeof text, "%s %s %s %s", engine->backend->name, engine->backend->device_class,
                 precision_names[engine->plan->precision], skinsight_build);
    struct digest digest = digest_of(text, (size_t)length);
    digest_text(&digest, digits);
    memcpy(worker->map_scope, digits, sizeof worker->map_scope - 1);
}

void cache_scope_init(struct worker *worker)
{
    const struct engine *engine = &worker->engine;
    init_map_scope(worker);
    char root[OBJECT_URI_SIZE], root_digest[DIGEST_TEXT_SIZE];
    object_store_uri(worker->objects, "", root);
    struct digest digest = digest_of(root, strlen(root));
    digest_text(&digest, root_digest);
    memset(worker->cache_scope, 0, sizeof worker->cache_scope);
    snprintf(worker->cache_scope, sizeof worker->cache_scope,
             "model=%s preprocessing=%s backend=%s precision=%s device=%s build=%s objects=%.16s",
             engine->model_sha256, engine->model->manifest.preprocessing.version, engine->backend->name,
             precision_names[engine->plan->precision], engine->backend->device_class, skinsight_build,
             root_digest);
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

static struct digest checksum_of(const struct cache_value *value)
{
    return digest_of(value, offsetof(struct cache_value, checksum));
}

void cache_value_fill(struct cache_value *value, const char *scope, const struct job *job)
{
    memset(value, 0, sizeof *value);
    memcpy(value->magic, "SSCACHE1", sizeof value->magic);
    snprintf(value->scope, sizeof value->scope, "%s", scope);
    value->image_sha256 = job->image_sha256;
    memcpy(value->logits, job->logits, sizeof value->logits);
    value->features = job->features;
    memcpy(value->attention_key, job->attention_key, sizeof value->attention_key);
    value->attention_sha256 = job->attention_sha256;
    value->checksum = checksum_of(value);
}

static bool is_sound(const struct cache_value *value, const char *scope, const struct job *job)
{
    struct digest checksum = checksum_of(value);
    if (memcmp(value->magic, "SSCACHE1", sizeof value->magic) != 0 ||
        !digest_equal(&checksum, &value->checksum))
        return false;
    if (strncmp(value->scope, scope, sizeof value->scope) != 0)
        return false;
    if (!digest_equal(&value->image_sha256, &job->image_sha256) && !fault_is_on(FAULT_SHORT_KEY))
        return false;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(value->logits[i]))
            return false;
    return value->attention_key[0] && memchr(value->attention_key, '\0', sizeof value->attention_key);
}

bool cache_value_read(struct bytes bytes, const char *scope, struct job *job)
{
    struct cache_value value;
    if (bytes.size != sizeof value)
        return false;
    memcpy(&value, bytes.data, sizeof value);
    if (!is_sound(&value, scope, job))
        return false;
    memcpy(job->logits, value.logits, sizeof job->logits);
    job->features = value.features;
    memcpy(job->attention_key, value.attention_key, sizeof job->attention_key);
    job->attention_sha256 = value.attention_sha256;
    return true;
}

static void redis_key(const char cache_key[DIGEST_TEXT_SIZE], char key[REDIS_KEY_SIZE])
{
    snprintf(key, REDIS_KEY_SIZE, "skinsight:%s", cache_key);
}

enum cache_result cache_look(struct worker *worker, struct job *job)
{
    char key[REDIS_KEY_SIZE];
    redis_key(job->cache_key, key);
    struct buffer bytes;
    struct error err;
    bool found = false;
    buffer_init(&bytes, sizeof(struct cache_value));
    enum status status = redis_get(worker->cache, key, &bytes, &found, &err);
    if (status != STATUS_OK)
        LOG_INFO("cache_unavailable", "reason=\"%s\"", err.message);
    else if (found && !cache_value_read(buffer_bytes(&bytes), worker->cache_scope, job)) {
        LOG_WARN("cache_value_refused", "key=%s", key);
        found = false;
    }
    buffer_release(&bytes);
    job->cache_hit = status == STATUS_OK && found;
    return status != STATUS_OK ? CACHE_UNAVAILABLE : found ? CACHE_HIT : CACHE_MISS;
}

enum cache_result cache_find(struct worker *worker, struct job *job)
{
    if (!worker->cache)
        return CACHE_UNAVAILABLE;
    make_key(worker->cache_scope, &job->image_sha256, job->cache_key);
    enum cache_result result = cache_look(worker, job);
    metrics_add(METRIC_CACHE_LOOKUPS, result, 1);
    if (result == CACHE_UNAVAILABLE)
        job->cache_key[0] = '\0'; // nor is it stored: one time-out is enough for a job
    return result;
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

// Written down first, and looked at again after: whenever the device is found out, either cache_disprove sees
// the key, or this thread does what it would have done.
bool cache_store(struct worker *worker, const struct job *job)
{
    if (!worker->cache || job->cache_hit || !*job->cache_key || !*job->attention_key ||
        redis_is_down(worker->cache))
        return false;
    struct cache_value value;
    struct digest digest;
    struct error err;
    char key[REDIS_KEY_SIZE];
    redis_key(job->cache_key, key);
    cache_value_fill(&value, worker->cache_scope, job);
    struct bytes bytes = {(const uint8_t *)&value, sizeof value};
    bool remembered = digest_parse(job->cache_key, &digest) && unproven_add(&worker->unproven, &digest);
    if (!remembered && worker->checked_again) {
        withhold(worker);
        return false;
    }
    if (health_is_suspect(worker, job))
        return false;
    enum status status = redis_set(worker->cache, key, bytes, jittered(worker->cache_ttl_ms, job), &err);
    if (status != STATUS_OK)
        LOG_INFO("cache_not_written", "reason=\"%s\"", err.message);
    if (health_is_suspect(worker, job) && unproven_add(&worker->unproven, &digest))
        cache_disprove(worker);
    return status == STATUS_OK;
}
