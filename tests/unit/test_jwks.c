// test_jwks.c: an issuer's keys at a URL: read at the start and when a token names a new one, not for every
// token, kept while the issuer is away, and taken from nobody else.
#include "common/identity/jwks.h"

#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/services/http_server.h"
#include "tests/support/process.h"
#include "tests/support/tokens.h"

enum { TIMEOUT_MS = 20000, PAUSE_MS = 400, HOUR_MS = 3600 * 1000 };

static char folder[SCRATCH_SIZE];
static char certificate_path[SCRATCH_SIZE + 32], key_path[SCRATCH_SIZE + 32];
static struct error err;
static EVP_PKEY *first, *second;

// ---- the issuer ----

static struct {
    pthread_mutex_t lock;
    char set[3 * JWK_SIZE];
    atomic_int requests;
    atomic_int code;
} issuer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void give_keys(void *context, struct http_request *request)
{
    (void)context;
    atomic_fetch_add(&issuer.requests, 1);
    pthread_mutex_lock(&issuer.lock);
    http_answer(request, (unsigned)atomic_load(&issuer.code), "application/json",
                (struct bytes){(const uint8_t *)issuer.set, strlen(issuer.set)});
    pthread_mutex_unlock(&issuer.lock);
}

static const struct http_route routes[] = {{.method = "GET", .path = "/keys", .handle = give_keys}};

static void publish(EVP_PKEY *key, const char *id)
{
    char jwk[JWK_SIZE];
    jwk_of(key, id, "", jwk);
    pthread_mutex_lock(&issuer.lock);
    snprintf(issuer.set, sizeof issuer.set, "{\"keys\":[%s]}", jwk);
    pthread_mutex_unlock(&issuer.lock);
}

static void write_pem(const char *path, EVP_PKEY *key, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    if (key)
        PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    else
        PEM_write_X509(file, certificate);
    fclose(file);
}

// Signed by itself, for "localhost".
static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    write_pem(key_path, key, NULL);
    write_pem(certificate_path, NULL, certificate);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static struct http_server *open_issuer(uint16_t port)
{
    char address[32];
    struct http_server *server;
    const struct http_server_options options = {.address = address,
                                                .routes = routes,
                                                .route_count = 1,
                                                .request_ms = 5000,
                                                .tls_certificate = certificate_path,
                                                .tls_key = key_path};
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    if (http_server_open(&server, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return server;
}

// ---- its tokens ----

static struct jwks *open_jwks(const struct http_server *server, const char *authorities, int64_t keep_ms)
{
    char url[64];
    struct jwks *jwks;
    snprintf(url, sizeof url, "https://localhost:%u/keys", http_server_port(server));
    const struct jwks_options options = {.source = url,
                                         .authorities = authorities,
                                         .refresh_ms = HOUR_MS,
                                         .pause_ms = PAUSE_MS,
                                         .keep_ms = keep_ms};
    if (jwks_open(&jwks, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return jwks;
}

static enum status judge(struct jwks *jwks, EVP_PKEY *key, const char *id)
{
    char token[TOKEN_SIZE], text[64];
    struct jose_header header;
    struct buffer payload;
    buffer_init(&payload, 1024);
    snprintf(text, sizeof text, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", id);
    token_make(key, text, "{}", token);
    assert_int_equal(jose_header_read(token, strlen(token), &header, &err), STATUS_OK);
    enum status status = jwks_verify(jwks, token, strlen(token), &header, &payload, &err);
    buffer_release(&payload);
    return status;
}

// Asks until the answer is another one than RETRY.
static enum status settle(struct jwks *jwks, EVP_PKEY *key, const char *id)
{
    enum status status;
    int64_t deadline = clock_monotonic_ms() + TIMEOUT_MS;
    while ((status = judge(jwks, key, id)) == STATUS_RETRY && clock_monotonic_ms() < deadline)
        poll(NULL, 0, 5);
    return status;
}

static int requests(void)
{
    return atomic_load(&issuer.requests);
}

// ---- the cases ----

static void test_rotation(void **state)
{
    struct http_server *server = *state;
    publish(first, "k1");
    struct jwks *jwks = open_jwks(server, certificate_path, HOUR_MS);
    assert_int_equal(settle(jwks, first, "k1"), STATUS_OK);
    assert_int_equal(judge(jwks, second, "k1"), STATUS_REJECTED); // another key's signature
    assert_int_equal(requests(), 1);
    publish(second, "k2");
    int64_t deadline = clock_monotonic_ms() + TIMEOUT_MS;
    enum status status;
    while ((status = judge(jwks, second, "k2")) != STATUS_OK && clock_monotonic_ms() < deadline)
        poll(NULL, 0, 5);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(requests(), 2);
    assert_int_equal(settle(jwks, first, "k1"), STATUS_REJECTED); // taken back
    jwks_close(jwks);
}

// Tokens that name keys nobody has: the issuer hears of it at most once in a pause.
static void test_a_flood_of_unknown_keys(void **state)
{
    struct http_server *server = *state;
    publish(first, "k1");
    struct jwks *jwks = open_jwks(server, certificate_path, HOUR_MS);
    assert_int_equal(settle(jwks, first, "k1"), STATUS_OK);
    int64_t start_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() - start_ms < 5 * PAUSE_MS) {
        (void)judge(jwks, second, "nobody");
        assert_int_equal(judge(jwks, first, "k1"), STATUS_OK); // others are answered meanwhile
    }
    assert_in_range(requests(), 2, 2 + (clock_monotonic_ms() - start_ms) / PAUSE_MS);
    jwks_close(jwks);
}

static void test_an_issuer_that_is_away(void **state)
{
    struct http_server *server = *state;
    publish(first, "k1");
    struct jwks *jwks = open_jwks(server, certificate_path, HOUR_MS);
    struct jwks *short_lived = open_jwks(server, certificate_path, 1);
    assert_int_equal(settle(jwks, first, "k1"), STATUS_OK);
    assert_int_equal(settle(short_lived, first, "k1"), STATUS_OK);
    atomic_store(&issuer.code, 500);
    int before = requests();
    int64_t deadline = clock_monotonic_ms() + TIMEOUT_MS;
    while (requests() < before + 2 && clock_monotonic_ms() < deadline) { // both have been told
        (void)judge(jwks, second, "k2");
        (void)judge(short_lived, second, "k2");
        poll(NULL, 0, 5);
    }
    assert_int_equal(judge(jwks, first, "k1"), STATUS_OK); // the last ones are good for a while
    while (judge(short_lived, first, "k1") != STATUS_RETRY) {
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 5);
    }
    atomic_store(&issuer.code, 200);
    assert_int_equal(settle(short_lived, first, "k1"), STATUS_OK);
    jwks_close(short_lived);
    jwks_close(jwks);
}

// A server whose certificate nobody vouches for is not believed.
static void test_a_strangers_certificate(void **state)
{
    struct http_server *server = *state;
    publish(first, "k1");
    struct jwks *jwks = open_jwks(server, "", HOUR_MS);
    int64_t start_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() - start_ms < 2 * PAUSE_MS) {
        assert_int_equal(judge(jwks, first, "k1"), STATUS_RETRY);
        poll(NULL, 0, 20);
    }
    assert_int_equal(requests(), 0);
    jwks_close(jwks);
}

static int start_issuer(void **state)
{
    atomic_store(&issuer.requests, 0);
    atomic_store(&issuer.code, 200);
    *state = open_issuer(0);
    return 0;
}

static int stop_issuer(void **state)
{
    http_server_close(*state);
    return 0;
}

int main(void)
{
#define WITH_ISSUER(test) cmocka_unit_test_setup_teardown(test, start_issuer, stop_issuer)
    const struct CMUnitTest tests[] = {
        WITH_ISSUER(test_rotation),
        WITH_ISSUER(test_a_flood_of_unknown_keys),
        WITH_ISSUER(test_an_issuer_that_is_away),
        WITH_ISSUER(test_a_strangers_certificate),
    };
    scratch_make(folder);
    snprintf(certificate_path, sizeof certificate_path, "%s/certificate.pem", folder);
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    make_certificate();
    first = EVP_EC_gen("P-256");
    second = EVP_EC_gen("P-256");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
    scratch_remove(folder);
    return failed;
}
