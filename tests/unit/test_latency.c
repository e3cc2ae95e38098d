// test_latency.c: what is predicted from what was seen.
#include "worker/device/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_nothing_known(void **state)
{
    (void)state;
    static struct latency_table table;
    assert_int_equal(latency_predict_us(&table, 8, 5000000), 0);
}

static void test_seen_sizes_and_their_neighbours(void **state)
{
    (void)state;
    static struct latency_table table;
    latency_learn(&table, 4, 8000, 1);
    assert_int_equal(latency_predict_us(&table, 4, 1), 8000);
    assert_int_equal(latency_predict_us(&table, 8, 1), 16000); // in proportion
    assert_int_equal(latency_predict_us(&table, 1, 1), 8000);  // no smaller one seen: at most this
    latency_learn(&table, 1, 3000, 1);
    assert_int_equal(latency_predict_us(&table, 1, 1), 3000);
    assert_int_equal(latency_predict_us(&table, 3, 1), 8000); // not more than one of 4
    assert_int_equal(latency_predict_us(&table, 4, 1), 8000);
}

static void test_follows_a_slower_device(void **state)
{
    (void)state;
    static struct latency_table table;
    latency_learn(&table, 1, 1000, 1);
    latency_learn(&table, 1, 2000, 1);
    assert_int_equal(latency_predict_us(&table, 1, 1), 1250);
    for (int i = 0; i < 40; i++)
        latency_learn(&table, 1, 2000, 1);
    assert_in_range(latency_predict_us(&table, 1, 1), 1990, 2000);
}

static void test_no_longer_than_a_larger_one(void **state)
{
    (void)state;
    static struct latency_table table;
    latency_learn(&table, 1, 9000, 1);
    latency_learn(&table, 8, 4000, 1);
    assert_int_equal(latency_predict_us(&table, 1, 1), 4000);
    assert_int_equal(latency_predict_us(&table, 4, 1), 4000);
    assert_int_equal(latency_predict_us(&table, 16, 1), 8000);
}

static void test_one_late_batch_says_little(void **state)
{
    (void)state;
    static struct latency_table table;
    latency_learn(&table, 1, 1000, 1);
    latency_learn(&table, 1, 60000000, 60000001); // the process was stopped for a minute
    assert_int_equal(latency_predict_us(&table, 1, 60000001), 1250);
}

// Jobs that are all turned away for an estimate would never let it be corrected.
static void test_an_estimate_that_nothing_confirms_is_given_up(void **state)
{
    (void)state;
    static struct latency_table table;
    const int64_t slow_us = 5000000, given_up_us = 1000000 + 2 * slow_us;
    latency_learn(&table, 1, slow_us, 7);
    assert_int_equal(latency_predict_us(&table, 1, 7 + given_up_us), slow_us);
    assert_int_equal(latency_predict_us(&table, 1, 7 + given_up_us + 1), 0);
    latency_learn(&table, 1, 1000, 7 + given_up_us + 2);
    assert_int_equal(latency_predict_us(&table, 1, 7 + given_up_us + 2), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_seen_sizes_and_their_neighbours),
        cmocka_unit_test(test_follows_a_slower_device),
        cmocka_unit_test(test_no_longer_than_a_larger_one),
        cmocka_unit_test(test_one_late_batch_says_little),
        cmocka_unit_test(test_an_estimate_that_nothing_confirms_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
