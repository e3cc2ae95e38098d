// test_latency.c: what is predicted from what was seen.
#include "worker/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_nothing_known(void **state)
{
    (void)state;
    static struct latency_table table;
    assert_int_equal(latency_predict_us(&table, 8), 0);
}

static void test_seen_sizes_and_their_neighbours(void **state)
{
    (void)state;
    static struct latency_table table;
    latency_learn(&table, 4, 8000);
    assert_int_equal(latency_predict_us(&table, 4), 8000);
    assert_int_equal(latency_predict_us(&table, 8), 16000); // in proportion
    assert_int_equal(latency_predict_us(&table, 1), 8000);  // no smaller one seen: at most this
    latency_learn(&table, 1, 3000);
    assert_int_equal(latency_predict_us(&table, 1), 3000);
    assert_int_equal(latency_predict_us(&table, 3), 9000);
    assert_int_equal(latency_predict_us(&table, 4), 8000);
}

static void test_follows_a_slower_device(void **state)
{
    (void)state;
    static struct latency_table table;
    latency_learn(&table, 1, 1000);
    latency_learn(&table, 1, 2000);
    assert_int_equal(latency_predict_us(&table, 1), 1250);
    for (int i = 0; i < 40; i++)
        latency_learn(&table, 1, 2000);
    assert_in_range(latency_predict_us(&table, 1), 1990, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_seen_sizes_and_their_neighbours),
        cmocka_unit_test(test_follows_a_slower_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
