// gate.c: reads the header, and gives its credential to whoever knows it. The file of keys is read again
// when it has changed, which its inode and times tell: a revoked key ends with the next request. Where it has
// become unreadable nobody with a key gets in, since nobody knows which keys are revoked.
#include "common/identity/gate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/identity/api_keys.h"
#include "common/identity/jwt.h"
#include "common/program/config.h"

// A bad file that has not changed is read so often: every request would cost a reading, and what was wrong
// need not be the file.
enum { BAD_FILE_AGAIN_MS = 1000 };

struct identity_gate {
    struct jwt *jwt; // NULL: no tokens
    char *path;      // of the file of keys; NULL: none
    pthread_mutex_t lock;
    struct stat seen;   // the file that keys were read from; st_ino 0: none
    int64_t read_at_ms; // monotonic
    enum status status;
    struct error err; // where status is not OK
    struct api_keys keys;
};

// ---- API keys ----

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

// Under the lock.
static void read_again_if_changed(struct identity_gate *gate)
{
    struct stat now;
    if (stat(gate->path, &now) != 0)
        memset(&now, 0, sizeof now);
    int64_t now_ms = clock_monotonic_ms();
    bool soon = gate->status != STATUS_OK && now_ms - gate->read_at_ms < BAD_FILE_AGAIN_MS;
    if ((gate->keys.keys || soon) && same_file(&now, &gate->seen))
        return;
    gate->read_at_ms = now_ms;
    api_keys_release(&gate->keys);
    gate->status = api_keys_read(gate->path, &gate->keys, &gate->err);
    if (gate->status != STATUS_OK) {
        api_keys_release(&gate->keys);
        gate->status = STATUS_RETRY; // of the request: the file may be mended
    }
    gate->seen = now;
}

static enum status of_api_key(struct identity_gate *gate, const char *text, size_t size,
                              struct identity *identity, struct error *err)
{
    if (!gate->path)
        return error_set(err, STATUS_REJECTED, "API keys are not accepted here");
    pthread_mutex_lock(&gate->lock);
    read_again_if_changed(gate);
    enum status status = gate->status;
    const struct api_key *key = status == STATUS_OK ? api_keys_find(&gate->keys, text, size) : NULL;
    if (key) {
        *identity = (struct identity){.role = key->role, .urgent = key->urgent};
        strcpy(identity->actor, key->actor);
        strcpy(identity->site, key->site);
        snprintf(identity->account, sizeof identity->account, "key:%s", key->id);
    } else if (status == STATUS_OK) {
        status = error_set(err, STATUS_REJECTED, "the API key is not known, or revoked");
    } else {
        (void)error_set(err, status, "%s", gate->err.message);
    }
    pthread_mutex_unlock(&gate->lock);
    return status;
}

// ---- the header ----

// RFC 9110: the scheme in any case, one or more blanks, then the credential (RFC 6750's characters).
static const char *credential_of(const char *authorization, size_t *size)
{
    static const char scheme[] = "Bearer ";
    if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *text = authorization + sizeof scheme - 1;
    text += strspn(text, " ");
    *size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");
    return *size > 0 && text[*size + strspn(text + *size, " ")] == '\0' ? text : NULL;
}

enum status identity_of(struct identity_gate *gate, const char *authorization, struct identity *identity,
                        struct error *err)
{
    size_t size;
    memset(identity, 0, sizeof *identity);
    if (!authorization || !*authorization)
        return error_set(err, STATUS_REJECTED, "the request has no Authorization header");
    if (strnlen(authorization, AUTHORIZATION_MOST + 1) > AUTHORIZATION_MOST)
        return error_set(err, STATUS_REJECTED, "the Authorization header is longer than %d bytes",
                         AUTHORIZATION_MOST);
    const char *credential = credential_of(authorization, &size);
    if (!credential)
        return error_set(err, STATUS_REJECTED, "the Authorization header is not 'Bearer' and a key or token");
    if (gate->jwt && strncmp(credential, "ssk_", 4) != 0)
        return jwt_identity(gate->jwt, credential, size, clock_wall_ms() / 1000, identity, err);
    return of_api_key(gate, credential, size, identity, err);
}

void identity_options_read(struct identity_options *options, const struct config *config)
{
    *options = (struct identity_options){
        .api_keys = config_text(config, "api_keys"),
        .jwt_jwks = config_text(config, "jwt_jwks"),
        .jwt_authorities = config_text(config, "jwt_authorities"),
        .jwt_issuer = config_text(config, "jwt_issuer"),
        .jwt_audience = config_text(config, "jwt_audience"),
        .jwt_site_claim = config_text(config, "jwt_site_claim"),
        .jwt_role_claim = config_text(config, "jwt_role_claim"),
        .jwt_clock_skew_s = config_integer(config, "jwt_clock_skew_s"),
    };
}

static enum status open_keys(struct identity_gate *gate, const char *path, struct error *err)
{
    if (!*path)
        return STATUS_OK;
    gate->path = memory_strdup(path);
    read_again_if_changed(gate);
    return gate->status == STATUS_OK ? STATUS_OK : error_set(err, STATUS_REJECTED, "%s", gate->err.message);
}

static enum status open_tokens(struct identity_gate *gate, const struct identity_options *options,
                               struct error *err)
{
    const struct jwt_options jwt = {
        .jwks = {.source = options->jwt_jwks,
                 .authorities = options->jwt_authorities ? options->jwt_authorities : ""},
        .issuer = options->jwt_issuer,
        .audience = options->jwt_audience,
        .site_claim = options->jwt_site_claim,
        .role_claim = options->jwt_role_claim,
        .clock_skew_s = options->jwt_clock_skew_s,
    };
    return *options->jwt_jwks ? jwt_open(&gate->jwt, &jwt, err) : STATUS_OK;
}

enum status identity_open(struct identity_gate **opened, const struct identity_options *options,
                          struct error *err)
{
    *opened = NULL;
    if (!*options->api_keys && !*options->jwt_jwks)
        return error_set(err, STATUS_REJECTED, "nobody could ask: set api_keys or jwt_jwks");
    struct identity_gate *gate = memory_alloc(sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    enum status status = open_keys(gate, options->api_keys, err);
    if (status == STATUS_OK)
        status = open_tokens(gate, options, err);
    if (status == STATUS_OK)
        *opened = gate;
    else
        identity_close(gate);
    return status;
}

void identity_close(struct identity_gate *gate)
{
    if (!gate)
        return;
    jwt_close(gate->jwt);
    api_keys_release(&gate->keys);
    pthread_mutex_destroy(&gate->lock);
    free(gate->path);
    free(gate);
}
