// jwks.c: the set is under a lock, which is held while a token is judged (a tenth of a millisecond) and never
// while the issuer is asked.
#include "common/identity/jwks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/services/https_get.h"

enum {
    REFRESH_MS = 10 * 60 * 1000,
    PAUSE_MS = 30 * 1000,
    KEEP_MS = 24 * 3600 * 1000,
    FETCH_TIMEOUT_MS = 5000,
    BAD_FILE_AGAIN_MS = 1000, // a bad file that has not changed is read so often, not at every request
};

struct jwks {
    char *source, *authorities;
    bool is_url;
    int64_t refresh_ms, pause_ms, keep_ms;
    pthread_t thread;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t changed;
    struct jose_set *set; // NULL: none yet, or it is too old
    int64_t set_at_ms;    // monotonic
    int64_t asked_at_ms;  // URL: when the last request began; 0: never
    bool asking, wanted, closing;
    // Of a file.
    struct stat seen;
    int64_t read_at_ms;
    struct error err; // where there is no set
};

static void take_set(struct jwks *jwks, struct jose_set *set)
{
    jose_set_free(jwks->set);
    jwks->set = set;
    jwks->set_at_ms = clock_monotonic_ms();
}

// ---- a file ----

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

// Under the lock. A file that was good and is not any more leaves no keys: its writer may have taken one
// back.
static enum status read_file_again(struct jwks *jwks, struct error *err)
{
    struct stat now;
    struct buffer text;
    struct jose_set *set = NULL;
    if (stat(jwks->source, &now) != 0)
        memset(&now, 0, sizeof now);
    bool same = same_file(&now, &jwks->seen), good = jwks->set != NULL;
    if (same && good)
        return STATUS_OK;
    if (same && jwks->read_at_ms && clock_monotonic_ms() - jwks->read_at_ms < BAD_FILE_AGAIN_MS)
        return error_set(err, STATUS_RETRY, "%s", jwks->err.message);
    buffer_init(&text, JOSE_SET_BYTES);
    enum status status = file_read(jwks->source, &text, &jwks->err);
    if (status == STATUS_OK)
        status = jose_set_read(buffer_bytes(&text), &set, &jwks->err);
    buffer_release(&text);
    take_set(jwks, set);
    jwks->seen = now;
    jwks->read_at_ms = clock_monotonic_ms();
    return status == STATUS_OK ? status : error_set(err, status, "%s", jwks->err.message);
}

// ---- a URL ----

static void fetch(struct jwks *jwks)
{
    const struct https_get_options options = {
        .url = jwks->source, .authorities = jwks->authorities, .timeout_ms = FETCH_TIMEOUT_MS};
    struct jose_set *set = NULL;
    struct buffer text;
    struct error err;
    buffer_init(&text, JOSE_SET_BYTES);
    enum status status = https_get(&options, &text, &err);
    if (status == STATUS_OK)
        status = jose_set_read(buffer_bytes(&text), &set, &err);
    buffer_release(&text);
    if (status != STATUS_OK)
        LOG_WARN("jwks_not_read", "reason=\"%s\"", err.message);
    pthread_mutex_lock(&jwks->lock);
    if (status == STATUS_OK)
        take_set(jwks, set);
    else if (jwks->set && clock_monotonic_ms() - jwks->set_at_ms > jwks->keep_ms)
        take_set(jwks, NULL);
    jwks->asking = false;
    pthread_mutex_unlock(&jwks->lock);
}

// When the issuer is asked next. Under the lock.
static int64_t due_at_ms(const struct jwks *jwks)
{
    if (jwks->asked_at_ms == 0)
        return 0;
    bool hurry = jwks->wanted || !jwks->set || jwks->set_at_ms < jwks->asked_at_ms; // the last request failed
    return jwks->asked_at_ms + (hurry ? jwks->pause_ms : jwks->refresh_ms);
}

static void *follow_url(void *context)
{
    struct jwks *jwks = context;
    pthread_mutex_lock(&jwks->lock);
    while (!jwks->closing) {
        int64_t left_ms = due_at_ms(jwks) - clock_monotonic_ms();
        if (left_ms > 0) {
            struct timespec until = clock_monotonic_after_ms(left_ms);
            pthread_cond_timedwait(&jwks->changed, &jwks->lock, &until);
            continue;
        }
        jwks->asked_at_ms = clock_monotonic_ms();
        jwks->asking = true;
        jwks->wanted = false;
        pthread_mutex_unlock(&jwks->lock);
        fetch(jwks);
        pthread_mutex_lock(&jwks->lock);
    }
    pthread_mutex_unlock(&jwks->lock);
    return NULL;
}

// A token names a key that is not there. Whether it may be there soon: the issuer is being asked, or will be
// now. Under the lock.
static bool ask_issuer(struct jwks *jwks)
{
    if (jwks->asking)
        return true;
    if (jwks->asked_at_ms && clock_monotonic_ms() - jwks->asked_at_ms < jwks->pause_ms)
        return false; // it was asked a moment ago, and has no such key
    jwks->wanted = true;
    pthread_cond_signal(&jwks->changed);
    return true;
}

// ---- the calls ----

enum status jwks_verify(struct jwks *jwks, const char *token, size_t size, const struct jose_header *header,
                        struct buffer *payload, struct error *err)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&jwks->lock);
    if (!jwks->is_url && read_file_again(jwks, err) != STATUS_OK)
        status = STATUS_RETRY;
    else if (jwks->is_url && (!jwks->set || !jose_set_has(jwks->set, header)) && ask_issuer(jwks))
        status = error_set(err, STATUS_RETRY, "the issuer's keys are being read");
    else if (!jwks->set)
        status = error_set(err, STATUS_RETRY, "the issuer's keys can't be read");
    else
        status = jose_verify(jwks->set, token, size, header, payload, err);
    pthread_mutex_unlock(&jwks->lock);
    return status;
}

static struct jwks *new_jwks(const struct jwks_options *options)
{
    struct jwks *jwks = memory_alloc(sizeof *jwks);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&jwks->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&jwks->lock, NULL);
    jwks->source = memory_strdup(options->source);
    jwks->authorities = memory_strdup(options->authorities);
    jwks->is_url = strstr(options->source, "://") != NULL;
    jwks->refresh_ms = options->refresh_ms ? options->refresh_ms : REFRESH_MS;
    jwks->pause_ms = options->pause_ms ? options->pause_ms : PAUSE_MS;
    jwks->keep_ms = options->keep_ms ? options->keep_ms : KEEP_MS;
    return jwks;
}

static void release(struct jwks *jwks)
{
    jose_set_free(jwks->set);
    pthread_cond_destroy(&jwks->changed);
    pthread_mutex_destroy(&jwks->lock);
    free(jwks->source);
    free(jwks->authorities);
    free(jwks);
}

enum status jwks_open(struct jwks **opened, const struct jwks_options *options, struct error *err)
{
    struct jwks *jwks = new_jwks(options);
    enum status status = STATUS_OK;
    *opened = NULL;
    if (!jwks->is_url)
        status = read_file_again(jwks, err) == STATUS_OK ? STATUS_OK : STATUS_REJECTED;
    else if (!https_url_good(options->source))
        status = error_set(err, STATUS_REJECTED, "jwt_jwks must be a file or an https:// URL");
    else if (pthread_create(&jwks->thread, NULL, follow_url, jwks) != 0)
        status = error_set(err, STATUS_FATAL, "no thread for the issuer's keys");
    if (status == STATUS_OK)
        *opened = jwks;
    else
        release(jwks);
    return status;
}

void jwks_close(struct jwks *jwks)
{
    if (!jwks)
        return;
    pthread_mutex_lock(&jwks->lock);
    jwks->closing = true;
    pthread_cond_signal(&jwks->changed);
    pthread_mutex_unlock(&jwks->lock);
    if (jwks->is_url)
        pthread_join(jwks->thread, NULL);
    release(jwks);
}
