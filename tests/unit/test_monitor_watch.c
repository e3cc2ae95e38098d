// test_monitor_watch.c: which texts are targets. What a watch finds is tested with real workers
// (tests/integration/test_monitor.py).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/service/watch.h"

static void targets_are_urls(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "http://worker",
                                       "http://worker:9100/metrics",
                                       "http://10.0.0.1:9100,http://b/m",
                                       "http://[::1]:9100/metrics",
                                       "http://[fe80::1]/metrics"};
    static const char *const bad[] = {
        "worker:9100",        "https://worker/metrics", "http://",     "http:///metrics", "http://a:/",
        "http://a:123456/",   "http://a:9x/",           "http://u@a/", "http://a b/",     "http://a/m?x=1",
        "http://a,,http://b", "http://[::1/metrics"};
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(watch_targets_check(good[i], &err), STATUS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(watch_targets_check(bad[i], &err), STATUS_REJECTED);
}

static void there_is_a_limit(void **state)
{
    (void)state;
    char text[65 * 9 + 1] = "";
    struct error err;
    for (int i = 0; i < 64; i++)
        strcat(text, "http://a,");
    assert_int_equal(watch_targets_check(text, &err), STATUS_OK);
    strcat(text, "http://a");
    assert_int_equal(watch_targets_check(text, &err), STATUS_REJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(targets_are_urls),
                                       cmocka_unit_test(there_is_a_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
