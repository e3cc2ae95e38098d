// test_object_s3_gateway.c: the S3 store against the Versity S3 gateway, which checks signatures and digests.
// SKINSIGHT_VERSITYGW names its binary; without it the test is skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <pthread.h>

#include "common/services/object_store.h"
#include "tests/support/process.h"

#define ACCESS_KEY "testaccess"
#define SECRET_KEY "testsecret-testsecret"

enum { TIMEOUT_MS = 5000, SHORT_TIMEOUT_MS = 500, START_MS = 20000 };

static struct {
    char scratch[SCRATCH_SIZE];
    char endpoint[64];
    uint16_t port;
    pid_t pid;
} gateway;

static void start_gateway(void)
{
    char address[32];
    char folders[3][SCRATCH_SIZE + 16];
    snprintf(address, sizeof address, "127.0.0.1:%u", gateway.port);
    snprintf(folders[0], sizeof folders[0], "%s/iam", gateway.scratch);
    snprintf(folders[1], sizeof folders[1], "%s/objects", gateway.scratch);
    snprintf(folders[2], sizeof folders[2], "%s/log", gateway.scratch);
    mkdir(folders[0], 0700);
    mkdir(folders[1], 0700);
    const char *const argv[] = {getenv("SKINSIGHT_VERSITYGW"),
                                "--port",
                                address,
                                "--region",
                                "us-east-1",
                                "--keep-alive",
                                "--quiet",
                                "--iam-dir",
                                folders[0],
                                "posix",
                                folders[1],
                                NULL};
    const char *const environment[] = {"ROOT_ACCESS_KEY=" ACCESS_KEY, "ROOT_SECRET_KEY=" SECRET_KEY, NULL};
    gateway.pid = process_spawn(argv, environment, folders[2]);
    if (!process_wait_port(gateway.pid, gateway.port, START_MS))
        fail_msg("the gateway did not start");
}

static size_t discard(char *data, size_t one, size_t size, void *context)
{
    (void)data;
    (void)context;
    return one * size;
}

static void make_bucket(void)
{
    char url[128];
    long http = 0;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers =
        curl_slist_append(NULL, "x-amz-content-sha256: "
                                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    snprintf(url, sizeof url, "%s/bucket", gateway.endpoint);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
    curl_easy_setopt(curl, CURLOPT_USERPWD, ACCESS_KEY ":" SECRET_KEY);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    assert_int_equal(http, 200);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(gateway.scratch);
    gateway.port = process_free_port();
    snprintf(gateway.endpoint, sizeof gateway.endpoint, "http://127.0.0.1:%u", gateway.port);
    start_gateway();
    make_bucket();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    process_kill(gateway.pid);
    scratch_remove(gateway.scratch);
    return 0;
}

static struct object_store *open_store(const char *root, const char *secret, int64_t timeout_ms)
{
    struct object_store *store;
    struct error err;
    struct object_store_options options = {root, gateway.endpoint, "us-east-1", timeout_ms};
    setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY, 1);
    setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
    if (object_store_open(&store, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return store;
}

// size bytes that differ from key to key.
static uint8_t *make_data(size_t size, unsigned seed)
{
    uint8_t *data = malloc(size ? size : 1);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((i * 2654435761u + seed * 97u) >> 13);
    return data;
}

static void test_what_is_put_is_got(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 60000, (1 << 20) + 1, 5 << 20};
    struct object_store *store = open_store("s3://bucket/prefix", SECRET_KEY, TIMEOUT_MS);
    struct buffer out;
    struct error err;
    buffer_init(&out, 5 << 20);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char key[64];
        uint8_t *data = make_data(sizes[i], i);
        snprintf(key, sizeof key, "images/a-b_c/%u.jpg", i);
        for (int time = 0; time < 2; time++) // the same bytes again are harmless
            if (object_store_put(store, key, (struct bytes){data, sizes[i]}, "image/jpeg", &err) != STATUS_OK)
                fail_msg("%zu bytes: %s", sizes[i], err.message);
        if (object_store_get(store, key, &out, &err) != STATUS_OK)
            fail_msg("%zu bytes: %s", sizes[i], err.message);
        assert_true(bytes_equal(buffer_bytes(&out), (struct bytes){data, sizes[i]}));
        free(data);
    }
    if (object_store_check(store, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    buffer_release(&out);
    object_store_close(store);
}

static void expect_get(const char *root, const char *secret, size_t limit, const char *word)
{
    struct object_store *store = open_store(root, secret, TIMEOUT_MS);
    struct buffer out;
    struct error err = {""};
    buffer_init(&out, limit);
    enum status status = object_store_get(store, "images/a-b_c/2.jpg", &out, &err);
    if (status != STATUS_REJECTED || !strstr(err.message, word) || strstr(err.message, secret))
        fail_msg("%d (%s), expected rejected with '%s'", (int)status, err.message, word);
    assert_int_equal(out.size, 0);
    buffer_release(&out);
    object_store_close(store);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    expect_get("s3://bucket/elsewhere", SECRET_KEY, 1 << 20, "no such object");
    expect_get("s3://missing", SECRET_KEY, 1 << 20, "bucket");
    expect_get("s3://bucket/prefix", "another-secret", 1 << 20, "SignatureDoesNotMatch");
    expect_get("s3://bucket/prefix", SECRET_KEY, 59999, "allowed 59999 bytes");
}

static void *put_and_get(void *context)
{
    struct object_store *store = context;
    static unsigned next;
    unsigned me = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
    struct buffer out;
    struct error err;
    char *problem = NULL;
    buffer_init(&out, 1 << 20);
    for (unsigned i = 0; i < 20 && !problem; i++) {
        char key[64];
        size_t size = 1000 + me * 100 + i;
        uint8_t *data = make_data(size, me * 100 + i);
        struct bytes bytes = {data, size};
        snprintf(key, sizeof key, "threads/%u/%u", me, i);
        if (object_store_put(store, key, bytes, "text/plain", &err) != STATUS_OK ||
            object_store_get(store, key, &out, &err) != STATUS_OK)
            problem = strdup(err.message);
        else if (!bytes_equal(buffer_bytes(&out), bytes))
            problem = strdup("another object came back");
        free(data);
    }
    buffer_release(&out);
    return problem;
}

static void test_many_threads(void **state)
{
    (void)state;
    struct object_store *store = open_store("s3://bucket/prefix", SECRET_KEY, TIMEOUT_MS);
    pthread_t threads[20]; // more than connections are kept
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_get, store), 0);
    for (size_t i = 0; i < 20; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        if (problem)
            fail_msg("%s", (char *)problem);
    }
    object_store_close(store);
}

static enum status get_once(struct object_store *store, int64_t *took_ms, struct error *err)
{
    struct buffer out;
    buffer_init(&out, 1 << 20);
    int64_t start = clock_monotonic_ms();
    enum status status = object_store_get(store, "images/a-b_c/2.jpg", &out, err);
    *took_ms = clock_monotonic_ms() - start;
    buffer_release(&out);
    return status;
}

// The time limit is shorter than what a busy machine may need once, but not for seconds on end.
static void wait_until_it_answers(struct object_store *store)
{
    struct error err = {""};
    int64_t took_ms, deadline_ms = clock_monotonic_ms() + 20000;
    while (get_once(store, &took_ms, &err) != STATUS_OK)
        if (clock_monotonic_ms() > deadline_ms)
            fail_msg("%s", err.message);
}

static void test_server_stopped_killed_and_restarted(void **state)
{
    (void)state;
    struct object_store *store = open_store("s3://bucket/prefix", SECRET_KEY, SHORT_TIMEOUT_MS);
    struct error err = {""};
    int64_t took_ms;
    wait_until_it_answers(store);

    process_stop(gateway.pid);
    assert_int_equal(get_once(store, &took_ms, &err), STATUS_RETRY);
    assert_true(took_ms >= SHORT_TIMEOUT_MS - 20);
    assert_true(took_ms < 3 * SHORT_TIMEOUT_MS);
    kill(gateway.pid, SIGCONT);
    wait_until_it_answers(store);

    process_kill(gateway.pid);
    assert_int_equal(get_once(store, &took_ms, &err), STATUS_RETRY);
    start_gateway();
    wait_until_it_answers(store);
    object_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_is_got),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_server_stopped_killed_and_restarted),
    };
    if (!getenv("SKINSIGHT_VERSITYGW")) {
        fputs("skipped: SKINSIGHT_VERSITYGW does not name the S3 gateway's binary\n", stderr);
        return 77;
    }
    signal(SIGPIPE, SIG_IGN); // as the programs do
    unsetenv("AWS_SESSION_TOKEN");
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
