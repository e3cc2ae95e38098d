// test_watchdog.c: which steps hang, for how long, and which don't: the watchdog looked at with times of the
// test's choice. The limit is 8000 ms, so looks count at most 2000 ms each.
#include "worker/watchdog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { LIMIT_MS = 8000, STORE_MS = 16000 };

static struct watchdog *make(const char *name, int64_t more_ms)
{
    struct watchdog *watchdog = watchdog_new(LIMIT_MS);
    watchdog_enter(watchdog, name, more_ms);
    return watchdog;
}

// Looks every second from after `from` up to `to`; the last verdict.
static enum watchdog_verdict look(struct watchdog *watchdog, int from_s, int to_s)
{
    enum watchdog_verdict verdict = WATCHDOG_FINE;
    for (int second = from_s + 1; second <= to_s; second++)
        verdict = watchdog_look(watchdog, 1000 * second);
    return verdict;
}

static void test_a_step_that_does_not_end(void **state)
{
    (void)state;
    struct watchdog *watchdog = make("infer", 0);
    assert_int_equal(look(watchdog, 0, 5), WATCHDOG_FINE);
    watchdog_begin();
    assert_int_equal(look(watchdog, 5, 13), WATCHDOG_FINE); // begun at 6 as far as the watchdog knows
    assert_null(watchdog_hanging(watchdog));
    assert_int_equal(look(watchdog, 13, 14), WATCHDOG_HANGS);
    assert_string_equal(watchdog_hanging(watchdog), "infer");
    assert_int_equal(look(watchdog, 14, 21), WATCHDOG_HANGS);
    assert_int_equal(look(watchdog, 21, 22), WATCHDOG_HOPELESS);
    watchdog_end();
    assert_int_equal(look(watchdog, 22, 23), WATCHDOG_FINE);
    assert_null(watchdog_hanging(watchdog));
    watchdog_free(watchdog);
}

static void test_many_steps_in_a_row(void **state)
{
    (void)state;
    struct watchdog *watchdog = make("decode", 0);
    for (int second = 0; second < 100; second += 5) {
        watchdog_begin();
        assert_int_equal(look(watchdog, second, second + 5), WATCHDOG_FINE);
        watchdog_end();
    }
    assert_int_equal(look(watchdog, 100, 200), WATCHDOG_FINE); // waiting for work is no step
    watchdog_free(watchdog);
}

static void test_the_object_store_may_take_its_time(void **state)
{
    (void)state;
    struct watchdog *watchdog = make("postprocess", STORE_MS);
    watchdog_begin();
    assert_int_equal(look(watchdog, 0, 24), WATCHDOG_FINE);
    assert_int_equal(look(watchdog, 24, 25), WATCHDOG_HANGS);
    assert_string_equal(watchdog_hanging(watchdog), "postprocess");
    watchdog_free(watchdog);
}

static void test_a_thread_that_does_not_enter_is_left_alone(void **state)
{
    (void)state;
    struct watchdog *watchdog = watchdog_new(LIMIT_MS);
    watchdog_enter(NULL, "publish", 0); // leaves the watchdog of the test before
    watchdog_begin();
    assert_int_equal(look(watchdog, 0, 1000), WATCHDOG_FINE);
    watchdog_free(watchdog);
}

static void test_a_stopped_process_does_not_hang(void **state)
{
    (void)state;
    struct watchdog *watchdog = make("infer", 0);
    watchdog_begin();
    look(watchdog, 0, 2);
    assert_int_equal(watchdog_look(watchdog, 1000000), WATCHDOG_FINE); // continued after a quarter of an hour
    assert_int_equal(look(watchdog, 1000, 1004), WATCHDOG_FINE);
    assert_int_equal(look(watchdog, 1004, 1006), WATCHDOG_HANGS);
    watchdog_free(watchdog);
}

static void test_without_a_watchdog(void **state)
{
    (void)state;
    watchdog_enter(NULL, "infer", 0);
    watchdog_begin();
    watchdog_end();
    assert_null(watchdog_hanging(NULL));
    watchdog_stop(NULL);
}

static void test_its_own_thread_ends(void **state)
{
    (void)state;
    watchdog_stop(watchdog_start(60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_that_does_not_end),
        cmocka_unit_test(test_many_steps_in_a_row),
        cmocka_unit_test(test_the_object_store_may_take_its_time),
        cmocka_unit_test(test_a_thread_that_does_not_enter_is_left_alone),
        cmocka_unit_test(test_a_stopped_process_does_not_hang),
        cmocka_unit_test(test_without_a_watchdog),
        cmocka_unit_test(test_its_own_thread_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
