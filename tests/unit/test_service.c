// test_service.c: what operators read of a service, and that a drain has a limit.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/program/metrics.h"
#include "common/program/service.h"
#include "tests/support/http_ask.h"

enum { GAUGE, COUNTER, ROWS };

static const struct metric_row rows[ROWS] = {
    [GAUGE] = {"test_gauge", METRIC_GAUGE, "things", "Set at each scrape.", .count = 1},
    [COUNTER] = {"test_counter", METRIC_COUNTER, "things", "Counted.", .count = 1},
};
static const struct metric_table table = {rows, ROWS, "test_service.c", "admin_address"};
static atomic_bool ready;
static atomic_int scrapes;
static struct answer answer;

static bool say_ready(void *context, char *reason, size_t size)
{
    snprintf(reason, size, "%s", atomic_load(&ready) ? "running" : (const char *)context);
    return atomic_load(&ready);
}

static void measure(void *context)
{
    (void)context;
    metrics_set(GAUGE, 0, atomic_fetch_add(&scrapes, 1) + 1);
}

static int count_unfinished(void *context)
{
    (void)context;
    return 3;
}

static struct service *open_service(const char *address, int64_t drain_timeout_ms)
{
    static char joining[] = "joining";
    const struct service_options options = {address, drain_timeout_ms, say_ready,
                                            measure, count_unfinished, joining};
    struct service *service;
    struct error err;
    if (service_open(&service, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return service;
}

static void ask(uint16_t port, const char *path)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    assert_int_equal(try_url(url, "GET", NULL, &answer), CURLE_OK);
}

static void test_what_operators_read(void **state)
{
    struct service *service = open_service("127.0.0.1:0", 1000);
    uint16_t port = service_port(service);
    (void)state;
    metrics_add(COUNTER, 0, 42);
    ask(port, "/metrics");
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(answer.body, "\ntest_counter 42\n"));
    assert_non_null(strstr(answer.body, "\ntest_gauge 1\n"));
    ask(port, "/metrics");
    assert_non_null(strstr(answer.body, "\ntest_gauge 2\n"));
    ask(port, "/healthz");
    assert_int_equal(answer.code, 200);
    ask(port, "/readyz");
    assert_int_equal(answer.code, 503);
    assert_string_equal(answer.body, "joining\n");
    atomic_store(&ready, true);
    ask(port, "/readyz");
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "running\n");
    service_close(service);
    service_close(NULL);
}

static void test_without_a_listener(void **state)
{
    struct service *service = open_service("", 3600 * 1000);
    (void)state;
    assert_int_equal(service_port(service), 0);
    service_begin_drain(service);
    service_close(service); // in time: the process goes on
}

static void test_a_drain_has_a_limit(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        service_begin_drain(open_service("", 50));
        for (;;)
            pause();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_drain_has_a_limit), // before there are threads
        cmocka_unit_test(test_what_operators_read),
        cmocka_unit_test(test_without_a_listener),
    };
    metrics_use(&table);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
