// test_http_later.c: requests that are answered later, from other threads, and clients that leave meanwhile.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/services/http_server.h"
#include "tests/support/http_raw.h"

enum { REQUEST_MS = 10000, LATER_MAX = 16 };

static struct {
    struct http_later *later[LATER_MAX]; // in the order of arrival
    atomic_int later_count;
    atomic_int finished; // outcomes told
} seen;

static void defer(void *context, struct http_request *request)
{
    (void)context;
    int place = atomic_load(&seen.later_count);
    assert_true(place < LATER_MAX);
    seen.later[place] = http_defer(request);
    atomic_fetch_add(&seen.later_count, 1);
}

static void answer_now(void *context, struct http_request *request)
{
    (void)context;
    http_answer(request, 200, "text/plain", (struct bytes){(const uint8_t *)"now", 3});
}

static void count_outcome(void *context, const struct http_outcome *outcome)
{
    (void)context, (void)outcome;
    atomic_fetch_add(&seen.finished, 1);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/later", .handle = defer},
    {.method = "GET", .path = "/now", .handle = answer_now},
};

static struct http_server *open_server(int64_t answer_ms)
{
    struct http_server *server;
    struct error err;
    const struct http_server_options options = {
        .address = ":0",
        .routes = routes,
        .route_count = sizeof routes / sizeof *routes,
        .request_ms = REQUEST_MS,
        .answer_ms = answer_ms,
        .problems = true,
        .finished = count_outcome,
    };
    memset(&seen, 0, sizeof seen);
    if (http_server_open(&server, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return server;
}

static int open_shared(void **state)
{
    *state = open_server(0);
    return 0;
}

static int close_shared(void **state)
{
    http_server_close(*state);
    return 0;
}

static struct raw_answer answer;

static int connect_to(const struct http_server *server)
{
    return raw_connect(http_server_port(server), "127.0.0.1");
}

static void send_get(int client, const char *path)
{
    char text[64];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    assert_true(raw_send(client, text, strlen(text)));
}

static void get(int client, const char *path)
{
    send_get(client, path);
    raw_receive(client, true, &answer);
}

static void wait_for(atomic_int *value, int wanted)
{
    int64_t until_ms = clock_monotonic_ms() + RAW_TIMEOUT_S * 1000;
    while (atomic_load(value) != wanted && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(1);
    assert_int_equal(atomic_load(value), wanted);
}

static int defer_one(const struct http_server *server)
{
    int before = atomic_load(&seen.later_count), client = connect_to(server);
    send_get(client, "/later");
    wait_for(&seen.later_count, before + 1);
    return client;
}

static const struct http_reply good = {
    .code = 200, .type = "text/plain", .body = {(const uint8_t *)"late", 4}};

static void *answer_from_elsewhere(void *later)
{
    http_later_answer(later, &good);
    return NULL;
}

static void test_answers_that_come_later(void **state)
{
    int clients[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        clients[i] = defer_one(*state);
    int other = connect_to(*state);
    get(other, "/now"); // nobody waits for those that wait
    assert_string_equal(answer.body, "now");
    close(other);
    for (int i = 3; i >= 0; i--)
        assert_int_equal(pthread_create(&threads[i], NULL, answer_from_elsewhere, seen.later[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        raw_receive(clients[i], true, &answer);
        assert_string_equal(answer.body, "late");
        get(clients[i], "/now"); // the connection goes on
        assert_string_equal(answer.body, "now");
        close(clients[i]);
    }
}

static void test_an_answer_after_the_client_left(void **state)
{
    struct linger reset = {1, 0};
    int client = defer_one(*state);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
    http_later_answer(seen.later[0], &good);
    wait_for(&seen.finished, 1);
    client = connect_to(*state);
    get(client, "/now");
    assert_string_equal(answer.body, "now");
    close(client);
}

static void test_an_answer_after_the_deadline(void **state)
{
    enum { ANSWER_MS = 50 };
    struct http_server *server = open_server(ANSWER_MS);
    int64_t begun_ms = clock_monotonic_ms();
    int client = defer_one(server);
    (void)state;
    raw_receive(client, true, &answer);
    assert_int_equal(answer.code, 504);
    assert_non_null(strstr(answer.body, "\"code\":\"timeout\""));
    assert_in_range(clock_monotonic_ms() - begun_ms, ANSWER_MS - 1, REQUEST_MS / 2);
    http_later_answer(seen.later[0], &good);
    get(client, "/now");
    assert_string_equal(answer.body, "now"); // not the late answer
    close(client);
    http_server_close(server);
}

static void test_an_answer_after_the_server_closed(void **state)
{
    static const struct http_problem problem = {503, "unavailable", "the store is away", 7};
    struct http_server *server = open_server(0);
    int client = defer_one(server);
    (void)state;
    close(defer_one(server));
    http_server_close(server);
    assert_true(raw_is_closed(client));
    close(client);
    http_later_answer(seen.later[0], &good);
    http_later_problem(seen.later[1], &problem);
}

static void test_problems_say_when_to_come_again(void **state)
{
    static const struct http_problem problem = {503, "overloaded", "too many requests are on their way", 7};
    int client = defer_one(*state);
    http_later_problem(seen.later[0], &problem);
    raw_receive(client, true, &answer);
    assert_int_equal(answer.code, 503);
    assert_non_null(strstr(answer.body, "\"code\":\"overloaded\""));
    assert_non_null(strstr(answer.head, "\r\nRetry-After: 7\r\n"));
    close(client);
}

#define SHARED(name) cmocka_unit_test_setup_teardown(name, open_shared, close_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED(test_answers_that_come_later),
        SHARED(test_an_answer_after_the_client_left),
        SHARED(test_problems_say_when_to_come_again),
        cmocka_unit_test(test_an_answer_after_the_deadline),
        cmocka_unit_test(test_an_answer_after_the_server_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
