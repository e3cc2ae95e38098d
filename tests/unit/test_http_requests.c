// test_http_requests.c: what a client can send, byte by byte: heads, bodies in parts, too much of everything.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/memory.h"
#include "common/services/http_server.h"
#include "tests/support/http_raw.h"

enum { BODY_LIMIT = 20000, HEADER_LIMIT = 8192, REQUEST_MS = 10000 };

static struct {
    atomic_int states;   // kept, and not released
    atomic_int finished; // outcomes told
    atomic_uint last_code;
} seen;

static void answer_text(struct http_request *request, const char *text)
{
    http_answer(request, 200, "text/plain", (struct bytes){(const uint8_t *)text, strlen(text)});
}

static void answer_echo(void *context, struct http_request *request)
{
    char text[512], value[32] = "", peer[HTTP_PEER_SIZE];
    (void)context;
    enum http_field field = http_request_query(request, "q", value, sizeof value);
    http_request_peer(request, peer);
    snprintf(text, sizeof text, "part=%s q=%d:%s peer=%s", http_request_part(request), (int)field,
             field == HTTP_FIELD_PRESENT ? value : "", peer);
    answer_text(request, text);
}

struct sum {
    size_t bytes;
    unsigned total; // of all bytes
};

static void release_sum(void *state)
{
    free(state);
    atomic_fetch_sub(&seen.states, 1);
}

static void begin_sum(void *context, struct http_request *request)
{
    const char *authorization = http_request_header(request, "Authorization");
    (void)context;
    if (!authorization) {
        http_answer_problem(request, &(struct http_problem){401, "unauthorized", "no key", 0});
        return;
    }
    atomic_fetch_add(&seen.states, 1);
    http_request_keep(request, memory_alloc(sizeof(struct sum)), release_sum);
}

static void add_sum(void *context, struct http_request *request, struct bytes part)
{
    struct sum *sum = http_request_state(request);
    (void)context;
    sum->bytes += part.size;
    for (size_t i = 0; i < part.size; i++) {
        sum->total += part.data[i];
        if (part.data[i] == '!')
            http_answer_problem(request, &(struct http_problem){422, "invalid_field", "no '!'", 0});
    }
}

static void answer_sum(void *context, struct http_request *request)
{
    const struct sum *sum = http_request_state(request);
    char text[64];
    (void)context;
    snprintf(text, sizeof text, "%zu %u", sum->bytes, sum->total);
    answer_text(request, text);
}

static void count_outcome(void *context, const struct http_outcome *outcome)
{
    (void)context;
    atomic_store(&seen.last_code, outcome->code);
    atomic_fetch_add(&seen.finished, 1);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/echo/<name>.png", .handle = answer_echo},
    {.method = "POST",
     .path = "/sum",
     .handle = answer_sum,
     .body_limit = BODY_LIMIT,
     .body_type = "application/json",
     .begin = begin_sum,
     .body = add_sum},
    {.method = "GET", .path = "/both", .handle = answer_echo},
    {.method = "POST", .path = "/both", .handle = answer_echo},
};

static struct http_server *open_server(void)
{
    struct http_server *server;
    struct error err;
    const struct http_server_options options = {
        .address = ":0",
        .routes = routes,
        .route_count = sizeof routes / sizeof *routes,
        .request_ms = REQUEST_MS,
        .header_limit = HEADER_LIMIT,
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
    *state = open_server();
    return 0;
}

static int close_shared(void **state)
{
    http_server_close(*state);
    assert_int_equal(atomic_load(&seen.states), 0); // all were released
    return 0;
}

static struct raw_answer answer;

static int connect_to(const struct http_server *server)
{
    return raw_connect(http_server_port(server), "127.0.0.1");
}

static void ask(int client, const char *text)
{
    assert_true(raw_send(client, text, strlen(text)));
    raw_receive(client, strncmp(text, "HEAD", 4) != 0, &answer);
}

static void ask_alone(const struct http_server *server, const char *text)
{
    int client = connect_to(server);
    ask(client, text);
    close(client);
}

static void assert_problem(unsigned status, const char *code)
{
    static const struct json_limits limits = {RAW_SIZE, 16, 2};
    struct bytes text = {(const uint8_t *)answer.body, answer.body_size};
    struct error err = {""};
    cJSON *json = NULL;
    if (answer.code != status || !strstr(answer.head, "\r\nContent-Type: application/problem+json\r\n"))
        fail_msg("not %u but %s%s", status, answer.head, answer.body);
    assert_int_equal(json_parse(text, &limits, &json, &err), STATUS_OK);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "code")), code);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "status")), status);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "type")), "about:blank");
    assert_true(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(json, "title"))) > 2);
    assert_true(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(json, "detail"))) > 2);
    cJSON_Delete(json);
}

#define HOST        "Host: a\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

static void test_parts_and_queries(void **state)
{
    static const struct {
        const char *request, *body; // NULL: 404
    } cases[] = {
        {GET("/echo/a.png"), "part=a q=0: peer=127.0.0.1"},
        {GET("/echo/a%20b%c3%a4.png?q=%31+2"), "part=a b\xc3\xa4 q=1:1 2 peer=127.0.0.1"},
        {GET("/echo/a.png?q"), "part=a q=1: peer=127.0.0.1"},
        {GET("/echo/a.png?other=1&q=%26"), "part=a q=1:& peer=127.0.0.1"},
        {GET("/echo/a.png?q=1&q=1"), "part=a q=2: peer=127.0.0.1"},
        {GET("/echo/a.png?q=%"), "part=a q=2: peer=127.0.0.1"},
        {GET("/echo/a.png?q=%4"), "part=a q=2: peer=127.0.0.1"},
        {GET("/echo/a.png?q=%zz"), "part=a q=2: peer=127.0.0.1"},
        {GET("/echo/a.png?q=%00"), "part=a q=2: peer=127.0.0.1"},
        {GET("/echo/a.png?q=0123456789012345678901234567890"),
         "part=a q=1:0123456789012345678901234567890 peer=127.0.0.1"},
        {GET("/echo/a.png?q=01234567890123456789012345678901"), "part=a q=2: peer=127.0.0.1"},
        {GET("/echo/a%2fb.png"), "part=a/b q=0: peer=127.0.0.1"},
        {GET("/echo/a%00b.png"), NULL},
        {GET("/echo/a%0ab.png"), NULL},
        {GET("/echo/a%.png"), NULL},
        {GET("/echo/.png"), NULL},
        {GET("/echo/a/b.png"), NULL},
        {GET("/echo/a.pn"), NULL},
        {GET("/ech%6f/a.png"), NULL},
        {GET("http://a/echo/a.png"), NULL},
        {GET("/"), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask_alone(*state, cases[i].request);
        if (!cases[i].body)
            assert_problem(404, "not_found");
        else if (answer.code != 200 || strcmp(answer.body, cases[i].body) != 0)
            fail_msg("%s gives %u %s", cases[i].request, answer.code, answer.body);
    }
}

static void test_strict_headers_on_every_answer(void **state)
{
    static const char *const requests[] = {GET("/echo/a.png"), GET("/nowhere"),
                                           "DELETE /sum HTTP/1.1\r\n" HOST "\r\n",
                                           "HEAD /echo/a.png HTTP/1.1\r\n" HOST "\r\n"};
    static const char *const headers[] = {
        "\r\nCache-Control: no-store\r\n",
        "\r\nContent-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'\r\n",
        "\r\nX-Content-Type-Options: nosniff\r\n",
        "\r\nX-Frame-Options: DENY\r\n",
        "\r\nReferrer-Policy: no-referrer\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        ask_alone(*state, requests[i]);
        for (size_t j = 0; j < sizeof headers / sizeof *headers; j++)
            if (!strstr(answer.head, headers[j]))
                fail_msg("%s lacks %s", answer.head, headers[j]);
        assert_null(strstr(answer.head, "Strict-Transport-Security")); // there is no TLS
    }
}

static void test_methods(void **state)
{
    ask_alone(*state, "DELETE /both HTTP/1.1\r\n" HOST "\r\n");
    assert_problem(405, "method");
    assert_non_null(strstr(answer.head, "\r\nAllow: GET, HEAD, POST\r\n"));
    ask_alone(*state, GET("/sum"));
    assert_problem(405, "method");
    assert_non_null(strstr(answer.head, "\r\nAllow: POST\r\n"));
    ask_alone(*state, "HEAD /sum HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(answer.code, 405);
}

// Two readers of one head may not understand two requests.
static void test_heads_with_two_meanings(void **state)
{
    static const char *const heads[] = {
        "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n1",
        "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n",
        "POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /sum HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n1",
        "POST /sum HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n1",
        "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n1",
        "POST /sum HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: b\r\nContent-Length: 0\r\n\r\n",
        "GET /echo/a.png HTTP/1.1\r\n" HOST HOST "\r\n",
        "GET /echo/a.png HTTP/1.1\r\n\r\n",
    };
    static char text[RAW_SIZE];
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int client = connect_to(*state);
        raw_send(client, heads[i], strlen(heads[i]));
        raw_send(client, GET("/echo/hidden.png"), sizeof GET("/echo/hidden.png") - 1);
        assert_true(raw_receive_all(client, text, sizeof text));
        // At an unreadable length libmicrohttpd 0.9.75 sends its own head twice. What is behind stays unread.
        if (memcmp(text, "HTTP/1.1 4", 10) != 0 || strstr(text, "hidden"))
            fail_msg("%s gives %s", heads[i], text);
        close(client);
    }
}

#define POST_SUM(headers)                                                                                    \
    "POST /sum HTTP/1.1\r\n" HOST "Authorization: k\r\nContent-Type: application/json\r\n" headers "\r\n"

static void test_bodies_in_parts(void **state)
{
    int client = connect_to(*state);
    ask(client, POST_SUM("Content-Length: 3\r\n") "abc");
    assert_string_equal(answer.body, "3 294");
    ask(client, POST_SUM("Transfer-Encoding: chunked\r\n") "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n");
    assert_string_equal(answer.body, "3 294");
    ask(client, POST_SUM("Content-Length: 0\r\n"));
    assert_string_equal(answer.body, "0 0");
    static const char text[] = POST_SUM("Content-Length: 3\r\n") "abc";
    for (size_t i = 0; i + 1 < sizeof text; i++) // each byte on its own
        assert_true(raw_send(client, text + i, 1));
    raw_receive(client, true, &answer);
    assert_string_equal(answer.body, "3 294");
    close(client);
}

static void test_pipelined_requests(void **state)
{
    int client = connect_to(*state);
    ask(client,
        POST_SUM("Content-Length: 3\r\n") "abc" GET("/nowhere") GET("/echo/a.png?q=1") GET("/echo/b.png"));
    assert_string_equal(answer.body, "3 294");
    raw_receive(client, true, &answer);
    assert_problem(404, "not_found");
    raw_receive(client, true, &answer);
    assert_string_equal(answer.body, "part=a q=1:1 peer=127.0.0.1");
    raw_receive(client, true, &answer);
    assert_string_equal(answer.body, "part=b q=0: peer=127.0.0.1");
    close(client);
}

static void test_bodies_of_other_types(void **state)
{
    static const char *const types[] = {"", "Content-Type: text/plain\r\n",
                                        "Content-Type: application/jsonx\r\n",
                                        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"};
    char text[512];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(text, sizeof text,
                 "POST /sum HTTP/1.1\r\n" HOST "Authorization: k\r\n%sContent-Length: 2\r\n\r\n{}", types[i]);
        ask_alone(*state, text);
        assert_problem(415, "unsupported_media_type");
    }
    ask_alone(*state, "POST /sum HTTP/1.1\r\n" HOST "Authorization: k\r\nContent-Type: "
                      "Application/JSON; charset=utf-8\r\nContent-Length: 1\r\n\r\na");
    assert_string_equal(answer.body, "1 97");
}

// A refusal in the middle of a body, and one before it: the connection goes on, as the rest is dropped.
static void test_refusals_before_the_end(void **state)
{
    int client = connect_to(*state);
    ask(client,
        "POST /sum HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 3\r\n\r\nabc");
    assert_problem(401, "unauthorized");
    assert_non_null(strstr(answer.head, "\r\nWWW-Authenticate: Bearer\r\n"));
    ask(client, POST_SUM("Content-Length: 3\r\n") "a!c");
    assert_problem(422, "invalid_field");
    ask(client, POST_SUM("Content-Length: 3\r\n") "abc");
    assert_string_equal(answer.body, "3 294");
    close(client);
    ask_alone(*state,
              "POST /sum HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nExpect: 100-continue\r\n"
              "Content-Length: 3\r\n\r\n");
    assert_problem(401, "unauthorized"); // the body was not asked for
}

static void test_oversized_everything(void **state)
{
    static char text[3 * BODY_LIMIT];
    int client = connect_to(*state);
    snprintf(text, sizeof text, POST_SUM("Content-Length: %d\r\n") "%0*d", BODY_LIMIT, BODY_LIMIT, 0);
    ask(client, text);
    assert_string_equal(answer.body, "20000 960000");
    snprintf(text, sizeof text, POST_SUM("Content-Length: %d\r\n") "%0*d", BODY_LIMIT + 1, BODY_LIMIT + 1, 0);
    ask(client, text);
    assert_problem(413, "body_too_large");
    snprintf(text, sizeof text, POST_SUM("Transfer-Encoding: chunked\r\n") "%x\r\n%0*d\r\n0\r\n\r\n",
             BODY_LIMIT + 1, BODY_LIMIT + 1, 0);
    ask(client, text);
    assert_problem(413, "body_too_large");
    close(client);
    ask_alone(*state, POST_SUM("Content-Length: 99999999999\r\n")); // answered before any of it comes
    assert_problem(413, "body_too_large");
    snprintf(text, sizeof text, "GET /echo/a.png HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n", HEADER_LIMIT, 0);
    ask_alone(*state, text);
    assert_true(answer.code == 431 || answer.code == 413);
    snprintf(text, sizeof text, "GET /echo/%0*d.png HTTP/1.1\r\n" HOST "\r\n", HEADER_LIMIT, 0);
    ask_alone(*state, text);
    assert_true(answer.code == 414 || answer.code == 431);
    snprintf(text, sizeof text, "GET /echo/%0*d.png HTTP/1.1\r\n" HOST "\r\n", 300, 0);
    ask_alone(*state, text);
    assert_problem(404, "not_found");
}

static void wait_for(atomic_int *value, int wanted)
{
    int64_t until_ms = clock_monotonic_ms() + RAW_TIMEOUT_S * 1000;
    while (atomic_load(value) != wanted && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(1);
    assert_int_equal(atomic_load(value), wanted);
}

// libmicrohttpd takes the first line and answers the rest itself.
static void test_an_unreadable_head_is_a_finished_request(void **state)
{
    static const char head[] = "GET /echo/a.png HTTP/1.1\r\nHost: a\r\n no header\r\nneither\r\n\r\n";
    char text[512];
    int client = connect_to(*state);
    assert_true(raw_send(client, head, sizeof head - 1));
    assert_true(raw_receive_all(client, text, sizeof text));
    wait_for(&seen.finished, 1);
    assert_int_equal(atomic_load(&seen.last_code), 0);
    close(client);
}

static void test_half_bodies_release_their_state(void **state)
{
    int clients[8];
    for (int i = 0; i < 8; i++) {
        clients[i] = connect_to(*state);
        assert_true(raw_send(clients[i], POST_SUM("Content-Length: 3\r\n") "ab",
                             sizeof POST_SUM("Content-Length: 3\r\n") + 1));
    }
    wait_for(&seen.states, 8);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    wait_for(&seen.states, 0);
    wait_for(&seen.finished, 8);
    assert_int_equal(atomic_load(&seen.last_code), 0); // nobody was there for an answer
}

// Its sender may be long about the rest of the body.
static void test_a_refused_body_releases_its_state(void **state)
{
    int client = connect_to(*state);
    assert_true(
        raw_send(client, POST_SUM("Content-Length: 3\r\n") "a", sizeof POST_SUM("Content-Length: 3\r\n")));
    wait_for(&seen.states, 1);
    assert_true(raw_send(client, "!", 1));
    wait_for(&seen.states, 0);
    assert_int_equal(atomic_load(&seen.finished), 0);
    close(client);
}

#define SHARED(name) cmocka_unit_test_setup_teardown(name, open_shared, close_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED(test_parts_and_queries),
        SHARED(test_strict_headers_on_every_answer),
        SHARED(test_methods),
        SHARED(test_heads_with_two_meanings),
        SHARED(test_bodies_in_parts),
        SHARED(test_pipelined_requests),
        SHARED(test_bodies_of_other_types),
        SHARED(test_refusals_before_the_end),
        SHARED(test_oversized_everything),
        SHARED(test_an_unreadable_head_is_a_finished_request),
        SHARED(test_half_bodies_release_their_state),
        SHARED(test_a_refused_body_releases_its_state),
    };
    json_prepare_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
