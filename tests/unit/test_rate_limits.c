// test_rate_limits.c: a bucket and a quota, on made-up clocks.
#include "producer/identity/rate_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY_MS INT64_C(86400000)

static const int64_t noon = 20000 * DAY_MS + DAY_MS / 2;

static void test_a_bucket(void **state)
{
    (void)state;
    const struct rate_options options = {.per_s = 4, .burst = 3};
    struct rate_limits *limits = rate_limits_new(&options);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rate_limits_take(limits, "key:a", 1000, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:a", 1000, noon), 250);
    assert_int_equal(rate_limits_take(limits, "key:b", 1000, noon), 0); // another account's
    assert_int_equal(rate_limits_take(limits, "key:a", 1249, noon), 1);
    assert_int_equal(rate_limits_take(limits, "key:a", 1250, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:a", 1250, noon), 250);
    // In the long run four a second, whatever is asked for.
    int granted = 0;
    for (int64_t now_ms = 1250; now_ms < 1250 + 100 * 1000; now_ms += 10)
        granted += rate_limits_take(limits, "key:a", now_ms, noon) == 0;
    assert_in_range(granted, 399, 400);
    // A long silence fills the bucket, and no more.
    for (int i = 0; i < 3; i++)
        assert_int_equal(rate_limits_take(limits, "key:a", INT64_MAX / 2, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:a", INT64_MAX / 2, noon), 250);
    rate_limits_free(limits);
}

static void test_a_quota(void **state)
{
    (void)state;
    const struct rate_options options = {.per_s = 0, .burst = 1, .daily_quota = 5};
    struct rate_limits *limits = rate_limits_new(&options);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rate_limits_take(limits, "key:a", 0, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:a", 0, noon), DAY_MS / 2);
    assert_int_equal(rate_limits_take(limits, "key:a", 0, noon + DAY_MS / 2 - 1), 1);
    assert_int_equal(rate_limits_take(limits, "key:a", 0, noon + DAY_MS / 2), 0); // midnight
    rate_limits_free(limits);
    const struct rate_options both = {.per_s = 1000, .burst = 1000, .daily_quota = 5};
    limits = rate_limits_new(&both);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rate_limits_take(limits, "key:a", 0, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:a", 0, noon), DAY_MS / 2);
    rate_limits_free(limits);
}

static void test_no_limit(void **state)
{
    (void)state;
    const struct rate_options options = {.per_s = 0, .burst = 1};
    struct rate_limits *limits = rate_limits_new(&options);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rate_limits_take(limits, "key:a", 0, noon), 0);
    rate_limits_free(limits);
}

// More accounts than the table has room for share one bucket; those that have been idle make room.
static void test_many_accounts(void **state)
{
    (void)state;
    const struct rate_options options = {.per_s = 1, .burst = 1};
    struct rate_limits *limits = rate_limits_new(&options);
    char name[32];
    for (int i = 0; i < RATE_ACCOUNTS_MOST; i++) {
        snprintf(name, sizeof name, "key:%d", i);
        assert_int_equal(rate_limits_take(limits, name, 0, noon), 0);
    }
    assert_int_equal(rate_limits_take(limits, "key:x", 0, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:y", 0, noon), 1000);
    for (int i = 0; i < RATE_ACCOUNTS_MOST; i++) { // each is still known
        snprintf(name, sizeof name, "key:%d", i);
        assert_int_equal(rate_limits_take(limits, name, 0, noon), 1000);
    }
    assert_int_equal(rate_limits_take(limits, "key:z", 1000, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:y", 1000, noon), 0);
    assert_int_equal(rate_limits_take(limits, "key:y", 1000, noon), 1000);
    rate_limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bucket),
        cmocka_unit_test(test_a_quota),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_many_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
