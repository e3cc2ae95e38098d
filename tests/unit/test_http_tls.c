// test_http_tls.c: what a TLS client sees: versions and ciphers, the certificate before and after it was read
// again, requests as without TLS, and clients that never finish their handshake.
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/services/http_server.h"
#include "tests/support/http_raw.h"

enum { REQUEST_MS = 1000, PEM_SIZE = 16 * 1024, BODY_SIZE = 300000 };

static char folder[] = "/tmp/skinsight-tls-XXXXXX";
static char certificate_path[64], key_path[64], other_key_path[64];

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

// A certificate signed by itself, whose serial number tells it from another.
static void write_pair(unsigned char serial, const char *key_file)
{
    static char pem[PEM_SIZE];
    size_t size = sizeof pem;
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    time_t now = time(NULL);
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, pem, &size), 0);
    write_file(key_file, pem, size);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_set_version(certificate, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(certificate, &serial, 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(certificate, now - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(certificate, now + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(certificate, "CN=localhost", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(certificate, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
    size = sizeof pem;
    assert_int_equal(gnutls_x509_crt_export(certificate, GNUTLS_X509_FMT_PEM, pem, &size), 0);
    write_file(certificate_path, pem, size);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}

static void answer_large(void *context, struct http_request *request)
{
    (void)context;
    char *body = calloc(1, BODY_SIZE);
    assert_non_null(body);
    memset(body, 'x', BODY_SIZE);
    http_answer(request, 200, "text/plain", (struct bytes){(const uint8_t *)body, BODY_SIZE});
    free(body);
}

static const struct http_route routes[] = {{.method = "GET", .path = "/", .handle = answer_large}};

static enum status try_open(struct http_server **server, struct error *err)
{
    const struct http_server_options options = {
        .address = ":0",
        .routes = routes,
        .route_count = 1,
        .request_ms = REQUEST_MS,
        .tls_certificate = certificate_path,
        .tls_key = key_path,
    };
    return http_server_open(server, &options, err);
}

static int open_shared(void **state)
{
    struct http_server *server;
    struct error err;
    write_pair(1, key_path);
    if (try_open(&server, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    *state = server;
    return 0;
}

static int close_shared(void **state)
{
    http_server_close(*state);
    return 0;
}

struct client {
    int socket;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static bool greet(struct client *client, const struct http_server *server, const char *priorities)
{
    int result;
    client->socket = raw_connect(http_server_port(server), "127.0.0.1");
    assert_int_equal(gnutls_init(&client->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&client->credentials), 0);
    assert_int_equal(gnutls_priority_set_direct(client->session, priorities, NULL), 0);
    gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    gnutls_transport_set_int(client->session, client->socket);
    do
        result = gnutls_handshake(client->session);
    while (result < 0 && !gnutls_error_is_fatal(result));
    return result == 0;
}

static void leave(struct client *client)
{
    gnutls_deinit(client->session);
    gnutls_certificate_free_credentials(client->credentials);
    close(client->socket);
}

static unsigned serial_seen(const struct client *client)
{
    unsigned count;
    unsigned char serial[32];
    size_t size = sizeof serial;
    gnutls_x509_crt_t certificate;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(client->session, &count);
    assert_int_equal(count, 1);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crt_get_serial(certificate, serial, &size), 0);
    gnutls_x509_crt_deinit(certificate);
    return serial[size - 1];
}

static void test_versions_and_ciphers(void **state)
{
    static const struct {
        const char *priorities;
        gnutls_protocol_t version; // 0: refused
    } cases[] = {
        {"NORMAL", GNUTLS_TLS1_3},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3", GNUTLS_TLS1_3},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2", GNUTLS_TLS1_2},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.1", 0},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.0", 0},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client;
        bool greeted = greet(&client, *state, cases[i].priorities);
        if (greeted != (cases[i].version != 0) ||
            (greeted && gnutls_protocol_get_version(client.session) != cases[i].version))
            fail_msg("%s gives %s", cases[i].priorities,
                     greeted ? gnutls_protocol_get_name(gnutls_protocol_get_version(client.session))
                             : "nothing");
        leave(&client);
    }
}

static void test_requests(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static char text[BODY_SIZE + 4096];
    struct client client;
    assert_true(greet(&client, *state, "NORMAL"));
    for (int i = 0; i < 2; i++) { // the connection goes on
        size_t used = 0;
        const char *body = NULL;
        memset(text, 0, sizeof text);
        assert_int_equal(gnutls_record_send(client.session, request, sizeof request - 1), sizeof request - 1);
        while (!body || used < (size_t)(body - text) + BODY_SIZE) {
            ssize_t got = gnutls_record_recv(client.session, text + used, sizeof text - 1 - used);
            if (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED)
                continue;
            assert_true(got > 0);
            used += (size_t)got;
            body = strstr(text, "\r\n\r\n");
            body = body ? body + 4 : NULL;
        }
        assert_int_equal(memcmp(text, "HTTP/1.1 200", 12), 0);
        assert_non_null(strstr(text, "\r\nStrict-Transport-Security: max-age=31536000\r\n"));
        assert_int_equal(strspn(body, "x"), BODY_SIZE);
    }
    leave(&client);
}

static void test_plain_text_is_refused(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char text[256];
    int client = raw_connect(http_server_port(*state), "127.0.0.1");
    assert_true(raw_send(client, request, sizeof request - 1));
    assert_true(raw_receive_all(client, text, sizeof text));
    assert_null(strstr(text, "HTTP/1.1 2"));
    close(client);
}

static void test_the_certificate_is_read_again(void **state)
{
    struct client before, after;
    struct error err;
    assert_true(greet(&before, *state, "NORMAL"));
    assert_int_equal(serial_seen(&before), 1);
    write_pair(2, key_path);
    assert_int_equal(http_server_reload_tls(*state, &err), STATUS_OK);
    assert_true(greet(&after, *state, "NORMAL"));
    assert_int_equal(serial_seen(&after), 2);
    leave(&before);
    leave(&after);
    write_pair(3, other_key_path); // a new certificate beside the old key
    assert_int_equal(http_server_reload_tls(*state, &err), STATUS_REJECTED);
    assert_true(greet(&after, *state, "NORMAL"));
    assert_int_equal(serial_seen(&after), 2);
    leave(&after);
}

static void test_unusable_files(void **state)
{
    struct http_server *server;
    struct error err;
    char sentence[512];
    (void)state;
    write_pair(1, other_key_path);
    write_file(key_path, "no key", 6);
    assert_int_equal(try_open(&server, &err), STATUS_REJECTED);
    snprintf(sentence, sizeof sentence, "the key in %s can't be used: ", key_path);
    assert_int_equal(strncmp(err.message, sentence, strlen(sentence)), 0);
    write_pair(1, key_path);
    write_pair(2, other_key_path);
    assert_int_equal(try_open(&server, &err), STATUS_REJECTED);
    snprintf(sentence, sizeof sentence, "the key in %s is not the one of the certificate in %s", key_path,
             certificate_path);
    assert_string_equal(err.message, sentence);
    unlink(certificate_path);
    assert_int_equal(try_open(&server, &err), STATUS_REJECTED);
    snprintf(sentence, sizeof sentence, "the certificate in %s can't be used: ", certificate_path);
    assert_int_equal(strncmp(err.message, sentence, strlen(sentence)), 0);
}

// A client that begins its handshake and stays silent is closed like any that begins no request.
static void test_a_handshake_has_a_limit(void **state)
{
    static const char hello[] = "\x16\x03\x01\x02"; // of a record of 512 bytes or more
    int64_t begun_ms = clock_monotonic_ms();
    int client = raw_connect(http_server_port(*state), "127.0.0.1");
    assert_true(raw_send(client, hello, sizeof hello - 1));
    assert_true(raw_is_closed(client));
    assert_in_range(clock_monotonic_ms() - begun_ms, REQUEST_MS - 10, 4 * REQUEST_MS);
    close(client);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(certificate_path, sizeof certificate_path, "%s/certificate.pem", folder);
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    snprintf(other_key_path, sizeof other_key_path, "%s/other.pem", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(certificate_path);
    unlink(key_path);
    unlink(other_key_path);
    return rmdir(folder);
}

#define SHARED(name) cmocka_unit_test_setup_teardown(name, open_shared, close_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED(test_versions_and_ciphers),    SHARED(test_requests),
        SHARED(test_plain_text_is_refused),   SHARED(test_the_certificate_is_read_again),
        SHARED(test_a_handshake_has_a_limit), cmocka_unit_test(test_unusable_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
