// test_http_server.c: the server as libcurl sees it: routes, methods, addresses, limits.
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
#include "common/services/http_server.h"
#include "tests/support/http_ask.h"
#include "tests/support/skip.h"

// Twice as many connections are within what an address may have: one that its client has closed stays until
// the server sees it, and a newcomer over the limit would push out another that has not asked yet.
enum { TIMEOUT_S = 10, REQUEST_MS = 10000, CLIENTS = 5, REQUESTS = 40 };

static void answer_page(void *context, struct http_request *request)
{
    static const char page[] = "a page of its own type\n";
    assert_string_equal(context, "context");
    http_answer(request, 200, "text/plain; version=0.0.4",
                (struct bytes){(const uint8_t *)page, sizeof page - 1});
}

static void answer_good(void *context, struct http_request *request)
{
    (void)context;
    http_answer_line(request, 200, "running");
}

static void answer_bad(void *context, struct http_request *request)
{
    (void)context;
    http_answer_line(request, 503, "the device is lost");
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/metrics", .handle = answer_page},
    {.method = "GET", .path = "/healthz", .handle = answer_good},
    {.method = "GET", .path = "/readyz", .handle = answer_bad},
};

static enum status try_open(struct http_server **server, const char *address, int64_t request_ms,
                            struct error *err)
{
    static char context[] = "context";
    const struct http_server_options options = {
        .address = address, .routes = routes, .route_count = 3, .context = context, .request_ms = request_ms};
    return http_server_open(server, &options, err);
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
    if (try_open(&server, address, REQUEST_MS, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_not_equal(http_server_port(server), 0);
    return server;
}

static int open_shared(void **state)
{
    *state = open_server("127.0.0.1:0");
    return 0;
}

static int close_shared(void **state)
{
    http_server_close(*state);
    return 0;
}

static struct answer answer;

static void test_routes(void **state)
{
    request(*state, "GET", "/metrics?name[]=x", &answer);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.type, "text/plain; version=0.0.4");
    assert_string_equal(answer.body, "a page of its own type\n");
    request(*state, "GET", "/healthz", &answer);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "running\n");
    request(*state, "GET", "/readyz", &answer);
    assert_int_equal(answer.code, 503);
    assert_string_equal(answer.body, "the device is lost\n");
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

// A client that is never idle and never done is closed at the limit, though nobody else comes.
static void test_a_request_has_a_limit(void **state)
{
    enum { LIMIT_MS = 300 };
    struct http_server *server;
    struct error err;
    char byte;
    (void)state;
    assert_int_equal(try_open(&server, "127.0.0.1:0", LIMIT_MS, &err), STATUS_OK);
    int64_t begun_ms = clock_monotonic_ms();
    int client = connect_to(http_server_port(server));
    struct timeval pause = {0, 20000};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
    while (clock_monotonic_ms() - begun_ms < TIMEOUT_S * 1000 && send(client, "G", 1, MSG_NOSIGNAL) == 1 &&
           recv(client, &byte, 1, 0) != 0) {
    }
    assert_in_range(clock_monotonic_ms() - begun_ms, LIMIT_MS - 10, TIMEOUT_S * 1000 - 1);
    close(client);
    http_server_close(server);
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
    if (try_open(&server, "[::1]:0", REQUEST_MS, &err) != STATUS_OK)
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
        enum status status = try_open(&server, bad[i], REQUEST_MS, &err);
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
    assert_int_equal(try_open(&second, address, REQUEST_MS, &err), STATUS_RETRY);
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
        SHARED(test_routes),
        SHARED(test_head_has_no_body),
        SHARED(test_other_methods),
        SHARED(test_bodies_are_dropped),
        SHARED(test_other_paths),
        SHARED(test_many_clients),
        SHARED(test_trickling_clients_do_not_delay_probes),
        SHARED(test_garbage_is_answered_and_survived),
        SHARED(test_address_in_use),
        cmocka_unit_test(test_a_request_has_a_limit),
        cmocka_unit_test(test_idle_connection_does_not_delay_the_end),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_only_the_given_address_is_served),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_port_can_be_opened_again),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
