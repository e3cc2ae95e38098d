// test_thread_counts.c: what an option of 0 threads comes to on one processor and on all of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>

#include "common/base/processors.h"
#include "worker/thread_counts.h"

static void check(const char *option, const char *setting, int expected)
{
    char text[64];
    snprintf(text, sizeof text, "%s=%s", option, setting);
    struct config *config = config_new_for_test(PROGRAM_WORKER, (const char *const[]){text}, 1);
    assert_int_equal(thread_count(config, option), expected);
    config_free(config);
}

static void check_all(void)
{
    int processors = processors_usable();
    check("decode_threads", "0", processors < 64 ? processors : 64);
    check("postprocess_threads", "0", processors < 4 ? 4 : processors < 64 ? processors : 64);
    check("decode_threads", "7", 7);
    check("postprocess_threads", "2", 2);
    check("fetch_threads", "5", 5);
}

static void test_zero_follows_the_processors(void **state)
{
    (void)state;
    check_all();
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(processors_usable(), 1);
    check_all();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void test_those_at_services(void **state)
{
    (void)state;
    static const char *const settings[] = {"fetch_threads=5", "postprocess_threads=3"};
    struct config *config = config_new_for_test(PROGRAM_WORKER, settings, 2);
    assert_int_equal(thread_count_at_services(config), 2 * 5 + 3);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_zero_follows_the_processors),
                                       cmocka_unit_test(test_those_at_services)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
