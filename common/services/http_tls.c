// http_tls.c: GnuTLS keeps pointers into a pair until the handshake that asked for it ends. So a pair that
// was replaced stays for as long as a handshake may take, and is freed at a later reload or at the end.
#include "common/services/http_tls.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"

enum { CHAIN_MAX = 8, KEY_ID_SIZE = 64 };

struct pair {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned chain_length;
    gnutls_privkey_t key;
    int64_t replaced_ms;
    struct pair *older;
};

struct http_tls {
    char *certificate_path, *key_path;
    int64_t keep_ms;
    pthread_mutex_t lock;
    struct pair *newest; // in use; then those that it replaced
};

static _Thread_local struct http_tls *bound;

static void pair_free(struct pair *pair)
{
    for (unsigned i = 0; i < pair->chain_length; i++)
        gnutls_pcert_deinit(&pair->chain[i]);
    if (pair->key)
        gnutls_privkey_deinit(pair->key);
    free(pair);
}

static enum status read_chain(struct pair *pair, const char *path, struct error *err)
{
    unsigned count = CHAIN_MAX;
    int result =
        gnutls_pcert_list_import_x509_file(pair->chain, &count, path, GNUTLS_X509_FMT_PEM, NULL, NULL, 0);
    if (result < 0)
        return error_set(err, STATUS_REJECTED, "the certificate in %s can't be used: %s", path,
                         gnutls_strerror(result));
    pair->chain_length = count;
    return STATUS_OK;
}

static enum status read_key(struct pair *pair, const char *path, struct error *err)
{
    gnutls_datum_t text = {NULL, 0};
    int result = gnutls_load_file(path, &text);
    if (result == 0)
        result = gnutls_privkey_init(&pair->key);
    if (result == 0)
        result = gnutls_privkey_import_x509_raw(pair->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (text.data) {
        gnutls_memset(text.data, 0, text.size);
        gnutls_free(text.data);
    }
    if (result < 0)
        return error_set(err, STATUS_REJECTED, "the key in %s can't be used: %s", path,
                         gnutls_strerror(result));
    return STATUS_OK;
}

static bool is_pair(const struct pair *pair)
{
    unsigned char of_key[KEY_ID_SIZE], of_certificate[KEY_ID_SIZE];
    size_t key_size = sizeof of_key, certificate_size = sizeof of_certificate;
    gnutls_pubkey_t from_key;
    if (gnutls_pubkey_init(&from_key) != 0)
        return false;
    bool equal = gnutls_pubkey_import_privkey(from_key, pair->key, 0, 0) == 0 &&
                 gnutls_pubkey_get_key_id(from_key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) == 0 &&
                 gnutls_pubkey_get_key_id(pair->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_certificate,
                                          &certificate_size) == 0 &&
                 key_size == certificate_size && memcmp(of_key, of_certificate, key_size) == 0;
    gnutls_pubkey_deinit(from_key);
    return equal;
}

static void drop_old(struct http_tls *tls, int64_t now_ms)
{
    struct pair *pair = tls->newest, *older;
    while ((older = pair->older)) {
        if (now_ms - older->replaced_ms <= tls->keep_ms) {
            pair = older;
            continue;
        }
        pair->older = older->older;
        pair_free(older);
    }
}

enum status http_tls_reload(struct http_tls *tls, struct error *err)
{
    struct pair *pair = memory_alloc(sizeof *pair);
    enum status status = read_chain(pair, tls->certificate_path, err);
    if (status == STATUS_OK)
        status = read_key(pair, tls->key_path, err);
    if (status == STATUS_OK && !is_pair(pair))
        status = error_set(err, STATUS_REJECTED, "the key in %s is not the one of the certificate in %s",
                           tls->key_path, tls->certificate_path);
    if (status != STATUS_OK) {
        pair_free(pair);
        return status;
    }
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&tls->lock);
    if (tls->newest)
        tls->newest->replaced_ms = now_ms;
    pair->older = tls->newest;
    tls->newest = pair;
    drop_old(tls, now_ms);
    pthread_mutex_unlock(&tls->lock);
    return STATUS_OK;
}

enum status http_tls_open(struct http_tls **tls, const char *certificate, const char *key, int64_t keep_ms,
                          struct error *err)
{
    struct http_tls *made = memory_alloc(sizeof *made);
    made->certificate_path = memory_strdup(certificate);
    made->key_path = memory_strdup(key);
    made->keep_ms = keep_ms;
    pthread_mutex_init(&made->lock, NULL);
    enum status status = http_tls_reload(made, err);
    if (status != STATUS_OK) {
        http_tls_close(made);
        made = NULL;
    }
    *tls = made;
    return status;
}

void http_tls_bind(struct http_tls *tls)
{
    bound = tls;
}

void http_tls_close(struct http_tls *tls)
{
    if (!tls)
        return;
    for (struct pair *pair = tls->newest, *older; pair; pair = older) {
        older = pair->older;
        pair_free(pair);
    }
    pthread_mutex_destroy(&tls->lock);
    free(tls->certificate_path);
    free(tls->key_path);
    free(tls);
}

int http_tls_choose(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                    const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **chain,
                    unsigned *chain_length, gnutls_privkey_t *key)
{
    (void)session, (void)authorities, (void)authority_count, (void)algorithms, (void)algorithm_count;
    pthread_mutex_lock(&bound->lock);
    struct pair *pair = bound->newest;
    pthread_mutex_unlock(&bound->lock);
    *chain = pair->chain;
    *chain_length = pair->chain_length;
    *key = pair->key;
    return 0;
}
