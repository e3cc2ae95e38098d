// test_object_s3.c: what the S3 store makes of answers that no real server gives on demand. The servers here
// send fixed bytes; test_object_s3_gateway.c has a real one that checks signatures.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/services/object_store.h"
#include "tests/support/scripted_server.h"

#define SECRET          "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
#define ERROR_XML(code) "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>m</Message></Error>"

enum { TIMEOUT_MS = 1000 };

static struct object_store *open_store(uint16_t port)
{
    char endpoint[64];
    struct object_store *store;
    struct error err;
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u/", port);
    struct object_store_options options = {"s3://bucket/some/prefix", endpoint, "us-east-1", TIMEOUT_MS};
    if (object_store_open(&store, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return store;
}

// One get (and one put) against a server that answers with these bytes.
static void expect(struct scripted_server *server, bool put, enum status expected, const char *word)
{
    struct buffer out;
    struct error err = {""};
    const struct bytes data = {(const uint8_t *)"data", 4};
    buffer_init(&out, 1000);
    scripted_start(server);
    struct object_store *store = open_store(server->port);
    int64_t start = clock_monotonic_ms();
    enum status status = put ? object_store_put(store, "a/b.jpg", data, "image/jpeg", &err)
                             : object_store_get(store, "a/b.jpg", &out, &err);
    int64_t took_ms = clock_monotonic_ms() - start;
    object_store_close(store);
    scripted_stop(server);
    if (status != expected || !strstr(err.message, word))
        fail_msg("%s: %d (%s), expected %d with '%s'\n%.200s", put ? "put" : "get", (int)status, err.message,
                 (int)expected, word, server->answer);
    if (took_ms > 3 * TIMEOUT_MS)
        fail_msg("the call took %lld ms, the limit is %d ms", (long long)took_ms, TIMEOUT_MS);
    assert_null(strstr(err.message, SECRET));
    if (status != STATUS_OK)
        assert_int_equal(out.size, 0);
    buffer_release(&out);
}

static void test_answers_and_their_classes(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *body;
        enum status status;
        const char *word;
    } rows[] = {
        {"200 OK", "", STATUS_OK, ""},
        {"500 Internal Server Error", ERROR_XML("InternalError"), STATUS_RETRY, "HTTP 500 InternalError"},
        {"503 Slow Down", ERROR_XML("SlowDown"), STATUS_RETRY, "HTTP 503 SlowDown"},
        {"502 Bad Gateway", "<html>no XML</html>", STATUS_RETRY, "HTTP 502"},
        {"429 Too Many Requests", "", STATUS_RETRY, "HTTP 429"},
        {"408 Request Timeout", "", STATUS_RETRY, "HTTP 408"},
        {"400 Bad Request", ERROR_XML("RequestTimeout"), STATUS_RETRY, "RequestTimeout"},
        {"400 Bad Request", ERROR_XML("XAmzContentSHA256Mismatch"), STATUS_RETRY, "Mismatch"},
        {"400 Bad Request", ERROR_XML("InvalidArgument"), STATUS_REJECTED, "HTTP 400 InvalidArgument"},
        {"403 Forbidden", ERROR_XML("AccessDenied"), STATUS_REJECTED, "HTTP 403 AccessDenied"},
        {"400 Bad Request", ERROR_XML("SlowDown\nCode"), STATUS_REJECTED, "HTTP 400"}, // not a code
        {"400 Bad Request", "<Code>SlowDown", STATUS_REJECTED, "HTTP 400"},            // not all of it
        {"403 Forbidden", ERROR_XML("RequestTimeTooSkewed"), STATUS_RETRY, "clock"},
        {"404 Not Found", ERROR_XML("NoSuchKey"), STATUS_REJECTED, "no such object"},
        {"404 Not Found", ERROR_XML("NoSuchBucket"), STATUS_REJECTED, "bucket"},
        {"301 Moved Permanently", ERROR_XML("PermanentRedirect"), STATUS_REJECTED, "s3_region"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char answer[512];
        int size = snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s",
                            rows[i].line, strlen(rows[i].body), rows[i].body);
        struct scripted_server server = {.answer = answer, .answer_size = (size_t)size, .hold = true};
        expect(&server, false, rows[i].status, rows[i].word);
        expect(&server, true, rows[i].status, rows[i].word);
    }
}

static void expect_answer(const char *answer, bool hold, enum status status, const char *word)
{
    struct scripted_server server = {.answer = answer, .answer_size = strlen(answer), .hold = hold};
    expect(&server, false, status, word);
}

// Nothing is in an answer without a body, so only what is written may have one.
static void test_writing_needs_no_body(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
                                          "HTTP/1.1 204 No Content\r\n\r\n"};
    for (int i = 0; i < 2; i++) {
        struct scripted_server server = {
            .answer = answers[i], .answer_size = strlen(answers[i]), .hold = true};
        expect(&server, true, STATUS_OK, "");
        expect(&server, false, STATUS_RETRY, "HTTP 20");
    }
}

static void test_body_cut_short(void **state)
{
    (void)state;
    expect_answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", false, STATUS_RETRY,
                  "no answer");
    expect_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nonly this", false, STATUS_RETRY,
                  "no answer");
    expect_answer("HTTP/1.1 200", false, STATUS_RETRY, "");
    expect_answer("", false, STATUS_RETRY, "no answer");
    expect_answer("HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\ndata", false, STATUS_RETRY, "HTTP 206");
}

static void test_server_that_hangs(void **state)
{
    (void)state;
    expect_answer("", true, STATUS_RETRY, "no answer"); // expect() checks the time limit
    expect_answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", true, STATUS_RETRY, "no answer");
}

static void test_no_one_listens(void **state)
{
    (void)state;
    struct error err;
    struct buffer out;
    buffer_init(&out, 1000);
    struct object_store *store = open_store(process_free_port());
    assert_int_equal(object_store_get(store, "a", &out, &err), STATUS_RETRY);
    assert_int_equal(object_store_check(store, &err), STATUS_RETRY);
    object_store_close(store);
}

static void test_bodies_are_bounded(void **state)
{
    (void)state;
    char answer[3000];
    int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n%01001d", 7);
    struct scripted_server server = {.answer = answer, .answer_size = (size_t)size};
    expect(&server, false, STATUS_REJECTED, "object a/b.jpg: more than the allowed 1000 bytes");
    size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n%01000d", 7);
    server.answer_size = (size_t)size;
    expect(&server, false, STATUS_OK, "");
    // Neither an endless object nor an endless error page is read to its end.
    const char *endless = "HTTP/1.1 200 OK\r\n\r\n and more and more";
    server = (struct scripted_server){.answer = endless, .answer_size = strlen(endless), .repeat = true};
    expect(&server, false, STATUS_REJECTED, "more than the allowed");
    endless = "HTTP/1.1 500 Oh\r\n\r\n and more and more";
    server = (struct scripted_server){.answer = endless, .answer_size = strlen(endless), .repeat = true};
    expect(&server, false, STATUS_RETRY, "HTTP 500");
}

static void test_redirects_are_not_followed(void **state)
{
    (void)state;
    struct scripted_server target = {.answer = "", .answer_size = 0};
    scripted_start(&target);
    char answer[256];
    snprintf(
        answer, sizeof answer,
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%u/x\r\nContent-Length: 0\r\n\r\n",
        target.port);
    expect_answer(answer, true, STATUS_REJECTED, "s3_endpoint");
    assert_int_equal(atomic_load(&target.connections), 0);
    scripted_stop(&target);
}

static void test_what_is_sent(void **state)
{
    (void)state;
    const char *answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct scripted_server server = {.answer = answer, .answer_size = strlen(answer), .hold = true};
    setenv("AWS_SESSION_TOKEN", "the-token", 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1); // would make the request fail
    expect(&server, true, STATUS_OK, "");
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("http_proxy");
    assert_ptr_equal(strstr(server.request, "PUT /bucket/some/prefix/a/b.jpg HTTP/1.1\r\n"), server.request);
    assert_non_null(strstr(server.request, "x-amz-security-token: the-token\r\n"));
    // SHA-256 of "data".
    assert_non_null(strstr(server.request,
                           "x-amz-content-sha256: "
                           "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7\r\n"));
    assert_non_null(strstr(server.request, "content-type: image/jpeg\r\n"));
    assert_null(strstr(server.request, "Content-Type:"));
    char host[64];
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", server.port);
    assert_non_null(strstr(server.request, host));
    assert_null(strstr(server.request, "\r\nhost:"));
    assert_non_null(strstr(server.request, "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;"
                                           "x-amz-security-token, "));
    assert_null(strstr(server.request, SECRET));
    assert_null(strstr(server.request, "Expect:"));
}

static void expect_refused(const char *root, const char *endpoint, const char *region, const char *word)
{
    struct object_store *store;
    struct error err = {""};
    struct object_store_options options = {root, endpoint, region, TIMEOUT_MS};
    if (object_store_open(&store, &options, &err) != STATUS_REJECTED || !strstr(err.message, word))
        fail_msg("%s %s %s: %s", root, endpoint, region, err.message);
    assert_null(store);
}

static void test_options(void **state)
{
    (void)state;
    expect_refused("s3://", "", "us-east-1", "neither");
    expect_refused("s3://ab", "", "us-east-1", "s3://bucket");
    expect_refused("s3://buc ket", "", "us-east-1", "s3://bucket");
    expect_refused("s3://bucket/../other", "", "us-east-1", "prefix");
    expect_refused("s3://bucket//a", "", "us-east-1", "prefix");
    expect_refused("s3://bucket", "", "", "s3_region");
    expect_refused("s3://bucket", "", "us:east", "s3_region");
    expect_refused("s3://bucket", "127.0.0.1:9000", "us-east-1", "s3_endpoint");
    expect_refused("s3://bucket", "ftp://host", "us-east-1", "s3_endpoint");
    expect_refused("s3://bucket", "http://user@host", "us-east-1", "s3_endpoint");
    expect_refused("s3://bucket", "http://host/path", "us-east-1", "s3_endpoint");
    setenv("AWS_ACCESS_KEY_ID", "a\r\nX-Other: b", 1);
    expect_refused("s3://bucket", "", "us-east-1", "line breaks");
    unsetenv("AWS_ACCESS_KEY_ID");
    expect_refused("s3://bucket", "", "us-east-1", "AWS_ACCESS_KEY_ID");
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
}

static void test_uris_of_other_buckets(void **state)
{
    (void)state;
    struct object_store *store = open_store(1);
    char key[OBJECT_KEY_SIZE];
    char uri[OBJECT_URI_SIZE];
    struct error err;
    object_store_uri(store, "a/b", uri);
    assert_string_equal(uri, "s3://bucket/some/prefix/a/b");
    assert_int_equal(object_store_key(store, uri, key, &err), STATUS_OK);
    assert_string_equal(key, "a/b");
    static const char *const bad[] = {"s3://other/some/prefix/a", "s3://bucket/some/a",
                                      "s3://bucket/some/prefixa", "s3://bucket/some/prefix/../a",
                                      "S3://bucket/some/prefix/a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(object_store_key(store, bad[i], key, &err), STATUS_REJECTED);
    object_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_and_their_classes),
        cmocka_unit_test(test_writing_needs_no_body),
        cmocka_unit_test(test_body_cut_short),
        cmocka_unit_test(test_server_that_hangs),
        cmocka_unit_test(test_no_one_listens),
        cmocka_unit_test(test_bodies_are_bounded),
        cmocka_unit_test(test_redirects_are_not_followed),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_uris_of_other_buckets),
    };
    signal(SIGPIPE, SIG_IGN); // as the programs do
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
    unsetenv("AWS_SESSION_TOKEN");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
