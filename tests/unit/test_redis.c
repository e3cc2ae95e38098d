// test_redis.c: the cache client against a real Redis server that is stopped, killed and restarted, and
// against servers that send half an answer. Skipped where redis-server is not installed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "common/services/redis.h"
#include "tests/support/scripted_server.h"

enum { TIMEOUT_MS = 300, START_MS = 20000, VALUE_MOST = 1000 };

static struct {
    char scratch[SCRATCH_SIZE];
    uint16_t port;
    pid_t pid;
} server;

static void start_server(const char *password)
{
    char port[16];
    char log[SCRATCH_SIZE + 16];
    snprintf(port, sizeof port, "%u", server.port);
    snprintf(log, sizeof log, "%s/log", server.scratch);
    const char *const argv[] = {
        "redis-server", "--port", port,    "--bind",       "127.0.0.1",     "--save", "",
        "--appendonly", "no",     "--dir", server.scratch, "--requirepass", password, "--unixsocket",
        "redis.sock",   NULL};
    server.pid = process_spawn(argv, NULL, log);
    if (!process_wait_port(server.pid, server.port, START_MS))
        fail_msg("redis-server did not start");
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(server.scratch);
    server.port = process_free_port();
    start_server("");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    process_kill(server.pid);
    scratch_remove(server.scratch);
    return 0;
}

static struct redis *open_at(uint16_t port, int connections)
{
    char url[64];
    struct redis *redis;
    struct error err;
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", port);
    if (redis_open(&redis, url, TIMEOUT_MS, connections, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return redis;
}

// The status of one get, with its time held against the limit.
static enum status get(struct redis *redis, const char *key, struct buffer *out, bool *found,
                       struct error *err)
{
    int64_t start = clock_monotonic_ms();
    err->message[0] = '\0';
    enum status status = redis_get(redis, key, out, found, err);
    int64_t took_ms = clock_monotonic_ms() - start;
    if (took_ms > 2 * TIMEOUT_MS)
        fail_msg("the call took %lld ms, the limit is %d ms", (long long)took_ms, TIMEOUT_MS);
    if (status != STATUS_OK && (*found || out->size != 0 || !err->message[0]))
        fail_msg("a failed get must say why and give nothing");
    return status;
}

static void expect_failure(struct redis *redis, const char *key, enum status wanted, const char *word)
{
    struct buffer out;
    struct error err;
    bool found;
    buffer_init(&out, VALUE_MOST);
    enum status status = get(redis, key, &out, &found, &err);
    if (status != wanted || !strstr(err.message, word))
        fail_msg("%d (%s), expected %d with '%s'", (int)status, err.message, (int)wanted, word);
    buffer_release(&out);
}

static void expect_retry(struct redis *redis, const char *key, const char *word)
{
    expect_failure(redis, key, STATUS_RETRY, word);
}

static void assert_holds(struct redis *redis, const char *key, struct bytes value)
{
    struct buffer out;
    struct error err;
    bool found;
    buffer_init(&out, VALUE_MOST);
    if (get(redis, key, &out, &found, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(found);
    assert_true(bytes_equal(buffer_bytes(&out), value));
    buffer_release(&out);
}

static struct bytes text_bytes(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void set(struct redis *redis, const char *key, struct bytes value, int64_t ttl_ms)
{
    struct error err;
    if (redis_set(redis, key, value, ttl_ms, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

// Asks the server itself, without the module under test.
static long long ask(const char *command)
{
    redisContext *context = redisConnect("127.0.0.1", server.port);
    assert_true(context && !context->err);
    redisReply *reply = redisCommand(context, command);
    assert_non_null(reply);
    long long answer = reply->integer;
    freeReplyObject(reply);
    redisFree(context);
    return answer;
}

static void test_values(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 2);
    struct buffer out;
    struct error err;
    bool found = true;
    uint8_t binary[VALUE_MOST];
    for (size_t i = 0; i < sizeof binary; i++)
        binary[i] = (uint8_t)(i * 7);
    buffer_init(&out, VALUE_MOST);
    assert_int_equal(redis_ping(redis, &err), STATUS_OK);
    assert_int_equal(get(redis, "missing", &out, &found, &err), STATUS_OK);
    assert_false(found);
    set(redis, "binary", (struct bytes){binary, sizeof binary}, 60000);
    assert_holds(redis, "binary", (struct bytes){binary, sizeof binary});
    set(redis, "empty", (struct bytes){NULL, 0}, 60000);
    assert_holds(redis, "empty", (struct bytes){NULL, 0});
    set(redis, "a key %s with\r\nbytes", text_bytes("GET binary\r\n"), 60000);
    assert_holds(redis, "a key %s with\r\nbytes", text_bytes("GET binary\r\n"));
    buffer_release(&out);
    redis_close(redis);
    redis_close(NULL);
}

static void test_time_to_live(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 1);
    set(redis, "kept", text_bytes("x"), 0);
    set(redis, "short", text_bytes("x"), 50000);
    assert_int_equal(ask("PTTL kept"), -1);
    long long left_ms = ask("PTTL short");
    assert_true(left_ms > 40000 && left_ms <= 50000);
    set(redis, "gone", text_bytes("x"), 1);
    int64_t deadline = clock_monotonic_ms() + 5000;
    while (ask("EXISTS gone") && clock_monotonic_ms() < deadline)
        poll(NULL, 0, 1);
    assert_int_equal(ask("EXISTS gone"), 0);
    redis_close(redis);
}

static void test_delete(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 1);
    struct error err;
    char names[REDIS_DELETE_MOST][16];
    const char *keys[REDIS_DELETE_MOST];
    for (int i = 0; i < REDIS_DELETE_MOST; i++) {
        snprintf(names[i], sizeof names[i], "gone%d", i);
        keys[i] = names[i];
        if (i % 2 == 0) // the others are not there
            set(redis, keys[i], text_bytes("x"), 60000);
    }
    set(redis, "stays", text_bytes("x"), 60000);
    ask("RPUSH gone1 a");
    assert_int_equal(redis_delete(redis, keys, REDIS_DELETE_MOST, &err), STATUS_OK);
    for (int i = 0; i < REDIS_DELETE_MOST; i++) {
        char question[32];
        snprintf(question, sizeof question, "EXISTS %s", keys[i]);
        assert_int_equal(ask(question), 0);
    }
    assert_holds(redis, "stays", text_bytes("x"));
    assert_int_equal(redis_delete(redis, keys, 1, &err), STATUS_OK);
    redis_close(redis);
}

static void test_what_can_not_be_used(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 1);
    ask("RPUSH list 1 2 3");
    ask("SETRANGE slightly-large 1000 x");
    ask("SETRANGE large 2000000 x");
    for (int i = 0; i < 10; i++) { // more than open the circuit: the server itself is well
        expect_failure(redis, "list", STATUS_REJECTED, "WRONGTYPE");
        expect_failure(redis, "slightly-large", STATUS_REJECTED, "larger than the allowed size");
        expect_failure(redis, "large", STATUS_REJECTED, "larger than the allowed size");
    }
    set(redis, "small", text_bytes("x"), 1000);
    assert_holds(redis, "small", text_bytes("x"));
    redis_close(redis);
}

static void test_errors_of_the_server(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 1);
    struct error err;
    ask("CONFIG SET maxmemory 1");
    assert_int_equal(redis_set(redis, "key", text_bytes("x"), 1000, &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, "OOM"));
    ask("CONFIG SET maxmemory 0");
    set(redis, "key", text_bytes("x"), 1000);
    redis_close(redis);
}

static void test_stopped_server(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 1);
    set(redis, "mine", text_bytes("my answer"), 60000);
    set(redis, "other", text_bytes("another patient's answer"), 60000);
    process_stop(server.pid);
    expect_retry(redis, "other", "did not answer within 300 ms");
    expect_retry(redis, "other", "300 ms"); // a new connection is accepted by the kernel, and silent
    kill(server.pid, SIGCONT);
    assert_holds(redis, "mine", text_bytes("my answer")); // and not the late answer
    redis_close(redis);
}

static void test_killed_and_restarted(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 1);
    set(redis, "key", text_bytes("x"), 60000);
    process_kill(server.pid);
    expect_retry(redis, "key", "no connection to Redis");
    start_server("");
    set(redis, "key", text_bytes("y"), 60000); // the very next call
    assert_holds(redis, "key", text_bytes("y"));
    redis_close(redis);
}

static void test_circuit(void **state)
{
    (void)state;
    struct buffer out;
    struct error err;
    bool found;
    buffer_init(&out, VALUE_MOST);
    struct redis *redis = open_at(server.port, 1);
    process_kill(server.pid);
    for (int i = 0; i < 5; i++) {
        assert_false(redis_is_down(redis));
        expect_retry(redis, "key", "no connection");
    }
    assert_true(redis_is_down(redis));
    int64_t opened_ms = clock_monotonic_ms();
    expect_retry(redis, "key", "left alone for a while after 5 failures");
    start_server("");
    while (get(redis, "key", &out, &found, &err) != STATUS_OK) {
        assert_non_null(strstr(err.message, "left alone"));
        assert_true(clock_monotonic_ms() < opened_ms + START_MS);
        poll(NULL, 0, 5);
    }
    assert_true(clock_monotonic_ms() - opened_ms >= 990);
    assert_false(redis_is_down(redis));
    buffer_release(&out);
    redis_close(redis);
}

static void expect_drop(const char *answer, bool hold, const char *word)
{
    struct scripted_server scripted = {.answer = answer, .answer_size = strlen(answer), .hold = hold};
    scripted_start(&scripted);
    struct redis *redis = open_at(scripted.port, 1);
    expect_retry(redis, "key", word);
    expect_retry(redis, "key", word);
    redis_close(redis);
    scripted_stop(&scripted);
    assert_int_equal(atomic_load(&scripted.connections), 2); // the first was not used again
}

static void test_half_answers(void **state)
{
    (void)state;
    expect_drop("$100\r\nonly this", false, "no connection");
    expect_drop("$100\r\nonly this", true, "300 ms");
    expect_drop("$1", false, "no connection");
    expect_drop("", false, "no connection");
    expect_drop("HTTP/1.1 400 Bad Request\r\n\r\n", true, "no connection");
    expect_drop("*2147483647\r\n", true, "no connection"); // get() checks that no one waits for so many
}

static void test_surplus_answer_is_not_taken_for_the_next(void **state)
{
    (void)state;
    const char *answer = "$1\r\na\r\n$1\r\nb\r\n";
    struct scripted_server scripted = {.answer = answer, .answer_size = strlen(answer), .hold = true};
    scripted_start(&scripted);
    struct redis *redis = open_at(scripted.port, 1);
    assert_holds(redis, "first", text_bytes("a"));
    assert_holds(redis, "second", text_bytes("a")); // asked again, on a new connection
    redis_close(redis);
    scripted_stop(&scripted);
    assert_int_equal(atomic_load(&scripted.connections), 2);
}

static void *keep_asking(void *context)
{
    struct redis *redis = context;
    struct buffer out;
    struct error err;
    static atomic_int next;
    int me = atomic_fetch_add(&next, 1);
    const char *problem = NULL;
    buffer_init(&out, VALUE_MOST);
    for (int i = 0; i < 200 && !problem; i++) {
        char key[32];
        char value[64];
        bool found;
        snprintf(key, sizeof key, "thread-%d-%d", me, i);
        snprintf(value, sizeof value, "value of %s", key);
        if (redis_set(redis, key, text_bytes(value), 60000, &err) != STATUS_OK ||
            redis_get(redis, key, &out, &found, &err) != STATUS_OK)
            problem = strstr(err.message, "in use") ? NULL : "a call failed";
        else if (!found || !bytes_equal(buffer_bytes(&out), text_bytes(value)))
            problem = "another thread's value came back";
    }
    buffer_release(&out);
    return (void *)(uintptr_t)problem;
}

static void test_threads(void **state)
{
    (void)state;
    struct redis *redis = open_at(server.port, 6); // fewer than threads: a call may find none free
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_asking, redis), 0);
    for (size_t i = 0; i < 8; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        if (problem)
            fail_msg("%s", (const char *)problem);
    }
    redis_close(redis);
}

static void test_password_and_database(void **state)
{
    (void)state;
    struct error err;
    struct redis *redis;
    char url[128];
    process_kill(server.pid);
    start_server("p@ss/word");
    snprintf(url, sizeof url, "redis://:p%%40ss%%2Fword@127.0.0.1:%u/3", server.port);
    assert_int_equal(redis_open(&redis, url, TIMEOUT_MS, 1, &err), STATUS_OK);
    set(redis, "key", text_bytes("in database 3"), 60000);
    redis_close(redis);

    snprintf(url, sizeof url, "redis://default:p%%40ss%%2Fword@localhost:%u", server.port);
    assert_int_equal(redis_open(&redis, url, TIMEOUT_MS, 1, &err), STATUS_OK);
    struct buffer out;
    bool found = true;
    buffer_init(&out, VALUE_MOST);
    assert_int_equal(get(redis, "key", &out, &found, &err), STATUS_OK); // in database 0
    assert_false(found);
    buffer_release(&out);
    redis_close(redis);

    snprintf(url, sizeof url, "redis://default:wrong-secret@127.0.0.1:%u", server.port);
    assert_int_equal(redis_open(&redis, url, TIMEOUT_MS, 1, &err), STATUS_OK);
    assert_int_equal(redis_ping(redis, &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, "WRONGPASS"));
    assert_null(strstr(err.message, "secret"));
    redis_close(redis);

    redis = open_at(server.port, 1);
    assert_int_equal(redis_ping(redis, &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, "NOAUTH"));
    redis_close(redis);
    process_kill(server.pid);
    start_server("");
}

static void test_socket(void **state)
{
    (void)state;
    struct error err;
    struct redis *redis;
    char url[SCRATCH_SIZE + 32];
    snprintf(url, sizeof url, "unix://%s/redis.sock", server.scratch);
    assert_true(redis_url_is_local(url));
    assert_int_equal(redis_open(&redis, url, TIMEOUT_MS, 1, &err), STATUS_OK);
    set(redis, "by socket", text_bytes("the same server"), 60000);
    redis_close(redis);
    redis = open_at(server.port, 1);
    struct buffer out;
    bool found = false;
    buffer_init(&out, VALUE_MOST);
    assert_int_equal(get(redis, "by socket", &out, &found, &err), STATUS_OK);
    assert_true(found);
    buffer_release(&out);
    redis_close(redis);
    snprintf(url, sizeof url, "unix://%s/none.sock", server.scratch);
    assert_int_equal(redis_open(&redis, url, TIMEOUT_MS, 1, &err), STATUS_OK);
    assert_int_equal(redis_ping(redis, &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, "/none.sock: "));
    redis_close(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_time_to_live),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_what_can_not_be_used),
        cmocka_unit_test(test_errors_of_the_server),
        cmocka_unit_test(test_stopped_server),
        cmocka_unit_test(test_killed_and_restarted),
        cmocka_unit_test(test_circuit),
        cmocka_unit_test(test_half_answers),
        cmocka_unit_test(test_surplus_answer_is_not_taken_for_the_next),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_password_and_database),
        cmocka_unit_test(test_socket),
    };
    if (system("redis-server --version >/dev/null 2>&1") != 0) {
        fputs("skipped: redis-server is not installed\n", stderr);
        return 77;
    }
    signal(SIGPIPE, SIG_IGN); // as the programs do
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
