// test_http.c: the operators' listener as libcurl sees it: paths, methods, probes, addresses, limits.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/program/http.h"
#include "tests/support/skip.h"
#include "worker/metrics_rows.h"

enum { TIMEOUT_S = 10, BODY_SIZE = 64 * 1024, CLIENTS = 8, REQUESTS = 25 };

static atomic_bool healthy = true, ready;

static bool say_healthy(void *context, char *reason, size_t size)
{
    snprintf(reason, size, "%s", atomic_load(&healthy) ? "alive" : (const char *)context);
    return atomic_load(&healthy);
}

static bool say_ready(void *context, char *reason, size_t size)
{
    (void)context, (void)reason, (void)size; // no reason given
    return atomic_load(&ready);
}

static char device_lost[] = "the device is lost";
static const struct http_probes probes = {say_healthy, say_ready, device_lost};

struct answer {
    long code;
    char type[128];
    char allow[64];
    char body[BODY_SIZE];
    size_t size;
};

static size_t take_body(char *data, size_t one, size_t size, void *context)
{
    struct answer *answer = context;
    if (one * size >= BODY_SIZE - answer->size)
        return 0;
    memcpy(answer->body + answer->size, data, one * size);
    answer->size += one * size;
    answer->body[answer->size] = '\0';
    return one * size;
}

static size_t take_header(char *data, size_t one, size_t size, void *context)
{
    struct answer *answer = context;
    if (size > 7 && strncmp(data, "Allow: ", 7) == 0)
        snprintf(answer->allow, sizeof answer->allow, "%.*s", (int)(size - 9), data + 7);
    return one * size;
}

// body may be NULL.
static CURLcode try_url(const char *url, const char *method, const char *body, struct answer *answer)
{
    CURL *curl = curl_easy_init();
    assert_non_null(curl);
    *answer = (struct answer){0};
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode result = curl_easy_perform(curl);
    const char *type = NULL;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->code);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    snprintf(answer->type, sizeof answer->type, "%s", type ? type : "");
    curl_easy_cleanup(curl);
    return result;
}

static void request(const struct http_server *server, const char *method, const char *path,
                    struct answer *answer)
{
    char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", http_server_port(server), path);
    assert_int_equal(try_url(url, method, NULL, answer), CURLE_OK);
}

static struct http_server *open_server(const char *address)
{
    struct http_server *server;
    struct error err;
    if (http_server_open(&server, address, &probes, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_not_equal(http_server_port(server), 0);
    return server;
}

static int open_shared(void **state)
{
    *state = open_server("127.0.0.1:0");
    atomic_store(&healthy, true);
    atomic_store(&ready, false);
    return 0;
}

static int close_shared(void **state)
{
    http_server_close(*state);
    return 0;
}

static struct answer answer;

static void test_metrics(void **state)
{
    metrics_add(METRIC_UPLOAD_FAILURES, 0, 42);
    request(*state, "GET", "/metrics", &answer);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(answer.body, "\nskinsight_attention_upload_failures_total 42\n"));
    request(*state, "GET", "/metrics?name[]=x", &answer);
    assert_int_equal(answer.code, 200);
}

static void test_probes(void **state)
{
    request(*state, "GET", "/healthz", &answer);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "alive\n");
    request(*state, "GET", "/readyz", &answer);
    assert_int_equal(answer.code, 503);
    assert_string_equal(answer.body, "no\n");
    atomic_store(&healthy, false);
    atomic_store(&ready, true);
    request(*state, "GET", "/healthz", &answer);
    assert_int_equal(answer.code, 503);
    assert_string_equal(answer.body, "the device is lost\n");
    request(*state, "GET", "/readyz", &answer);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "yes\n");
}

static void test_head_has_no_body(void **state)
{
    request(*state, "HEAD", "/healthz", &answer);
    assert_int_equal(answer.code, 200);
    assert_int_equal(answer.size, 0);
}

static void test_other_methods(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        request(*state, methods[i], "/healthz", &answer);
        assert_int_equal(answer.code, 405);
        assert_string_equal(answer.allow, "GET, HEAD");
    }
}

static void test_bodies_are_dropped(void **state)
{
    static char body[200 * 1024]; // more than libmicrohttpd takes at once
    char url[64];
    memset(body, 'x', sizeof body - 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/healthz", http_server_port(*state));
    assert_int_equal(try_url(url, "GET", body, &answer), CURLE_OK);
    assert_int_equal(answer.code, 200);
    assert_int_equal(try_url(url, "POST", "some=body", &answer), CURLE_OK);
    assert_int_equal(answer.code, 405);
}

static void test_other_paths(void **state)
{
    static const char *const paths[] = {"/", "/metrics/", "/healthz2", "/../metrics/x", "/Metrics"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        request(*state, "GET", paths[i], &answer);
        assert_int_equal(answer.code, 404);
        assert_string_equal(answer.body, "here are /metrics, /healthz and /readyz\n");
    }
}

static void *ask_often(void *server)
{
    struct answer *mine = calloc(1, sizeof *mine);
    char url[64];
    uintptr_t good = 0;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/metrics", http_server_port(server));
    for (int i = 0; mine && i < REQUESTS; i++)
        good += try_url(url, "GET", NULL, mine) == CURLE_OK && mine->code == 200;
    free(mine);
    return (void *)good;
}

static void test_many_clients(void **state)
{
    pthread_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, ask_often, *state), 0);
    for (int i = 0; i < CLIENTS; i++) {
        void *good;
        assert_int_equal(pthread_join(clients[i], &good), 0);
        assert_int_equal((uintptr_t)good, REQUESTS);
    }
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {TIMEOUT_S, 0};
    assert_true(client >= 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); // of connect as well
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    return client;
}

// Clients that begin requests and never end them: a byte each, again and again; those that the server closed
// come back.
enum { TRICKLERS = 500, PROBES = 200, PROBE_LIMIT_MS = 100 };
static atomic_bool trickle_begun, trickle_ends;

static void *trickle(void *server)
{
    static int clients[TRICKLERS];
    uint16_t port = http_server_port(server);
    for (int i = 0; i < TRICKLERS; i++)
        clients[i] = connect_to(port);
    atomic_store(&trickle_begun, true);
    for (int i = 0; !atomic_load(&trickle_ends); i = (i + 1) % TRICKLERS) {
        if (send(clients[i], "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 1) {
            close(clients[i]);
            clients[i] = connect_to(port);
        }
        if (i % 4 == 0)
            clock_sleep_ms(1);
    }
    for (int i = 0; i < TRICKLERS; i++)
        close(clients[i]);
    return NULL;
}

static int compare_times(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void test_trickling_clients_do_not_delay_probes(void **state)
{
    int64_t took_us[PROBES];
    char url[64];
    pthread_t thread;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/healthz", http_server_port(*state));
    atomic_store(&trickle_ends, false);
    assert_int_equal(pthread_create(&thread, NULL, trickle, *state), 0);
    while (!atomic_load(&trickle_begun))
        clock_sleep_ms(1);
    for (int i = 0; i < PROBES; i++) {
        int64_t begun_us = clock_monotonic_us();
        CURLcode result = try_url(url, "GET", NULL, &answer);
        took_us[i] = result == CURLE_OK ? clock_monotonic_us() - begun_us : INT64_MAX;
    }
    atomic_store(&trickle_ends, true);
    pthread_join(thread, NULL);
    qsort(took_us, PROBES, sizeof *took_us, compare_times);
    print_message("probes beside %d trickling clients: p50 %lld us, p99 %lld us, longest %lld us\n",
                  TRICKLERS, (long long)took_us[PROBES / 2], (long long)took_us[PROBES * 99 / 100 - 1],
                  (long long)took_us[PROBES - 1]);
    assert_true(took_us[PROBES * 99 / 100 - 1] <= PROBE_LIMIT_MS * 1000);
}

static void test_garbage_is_answered_and_survived(void **state)
{
    static const char garbage[] = "\x16\x03\x01 no http\r\n\r\n";
    char reply[16];
    int client = connect_to(http_server_port(*state));
    assert_int_equal(send(client, garbage, sizeof garbage - 1, MSG_NOSIGNAL), sizeof garbage - 1);
    ssize_t got = recv(client, reply, sizeof reply, 0); // an error page or a closed connection
    assert_true(got == 0 || (got > 9 && memcmp(reply, "HTTP/1.", 7) == 0));
    close(client);
    request(*state, "GET", "/healthz", &answer);
    assert_int_equal(answer.code, 200);
}

static void test_idle_connection_does_not_delay_the_end(void **state)
{
    struct http_server *server = open_server("127.0.0.1:0");
    char byte;
    (void)state;
    int client = connect_to(http_server_port(server));
    http_server_close(server);
    assert_true(recv(client, &byte, 1, 0) <= 0); // closed or reset, not timed out
    close(client);
    http_server_close(NULL);
}

static void test_addresses(void **state)
{
    static const char *const good[] = {":0", "127.0.0.1:0", "localhost:0", "0.0.0.0:0"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct http_server *server = open_server(good[i]);
        http_server_close(server);
    }
}

// The default is loopback and nothing else: another address of this machine is not served.
static void test_only_the_given_address_is_served(void **state)
{
    char url[64];
    (void)state;
    struct http_server *server = open_server(":0");
    request(server, "GET", "/healthz", &answer);
    assert_int_equal(answer.code, 200);
    snprintf(url, sizeof url, "http://127.0.0.2:%u/healthz", http_server_port(server));
    assert_int_equal(try_url(url, "GET", NULL, &answer), CURLE_COULDNT_CONNECT);
    http_server_close(server);
}

static void test_ipv6(void **state)
{
    struct http_server *server;
    struct error err;
    char url[64];
    (void)state;
    if (http_server_open(&server, "[::1]:0", &probes, &err) != STATUS_OK)
        SKIP("no IPv6 here (%s)", err.message);
    snprintf(url, sizeof url, "http://[::1]:%u/healthz", http_server_port(server));
    assert_int_equal(try_url(url, "GET", NULL, &answer), CURLE_OK);
    assert_int_equal(answer.code, 200);
    http_server_close(server);
}

static void test_bad_addresses(void **state)
{
    static const char *const bad[] = {"",        "9100", "host",   "host:",      "host:x",
                                      "host:1x", ":-1",  ":65536", ":99999999",  "::1:9100",
                                      "[::1]",   "[]:0", "[:0",    "[1.2.3.4:0", "192.0.2.1:0"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http_server *server;
        struct error err = {""};
        enum status status = http_server_open(&server, bad[i], &probes, &err);
        if (status != STATUS_REJECTED || !*err.message || server)
            fail_msg("'%s' gives %d, '%s'", bad[i], (int)status, err.message);
    }
}

static void test_address_in_use(void **state)
{
    struct http_server *second;
    struct error err;
    char address[32], sentence[128];
    snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(*state));
    snprintf(sentence, sizeof sentence, "can't listen on %s: Address already in use", address);
    assert_int_equal(http_server_open(&second, address, &probes, &err), STATUS_RETRY);
    assert_string_equal(err.message, sentence);
}

static void test_port_can_be_opened_again(void **state)
{
    char address[32];
    (void)state;
    struct http_server *server = open_server("127.0.0.1:0");
    snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(server));
    request(server, "GET", "/healthz", &answer);
    http_server_close(server);
    http_server_close(open_server(address));
}

#define SHARED(name) cmocka_unit_test_setup_teardown(name, open_shared, close_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED(test_metrics),
        SHARED(test_probes),
        SHARED(test_head_has_no_body),
        SHARED(test_other_methods),
        SHARED(test_bodies_are_dropped),
        SHARED(test_other_paths),
        SHARED(test_many_clients),
        SHARED(test_trickling_clients_do_not_delay_probes),
        SHARED(test_garbage_is_answered_and_survived),
        SHARED(test_address_in_use),
        cmocka_unit_test(test_idle_connection_does_not_delay_the_end),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_only_the_given_address_is_served),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_port_can_be_opened_again),
    };
    metrics_use(&worker_metrics);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
