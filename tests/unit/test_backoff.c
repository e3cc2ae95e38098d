// test_backoff.c: the bounds double up to the limit, and the waits spread over the upper half of each.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/services/backoff.h"

static void test_waits_stay_in_their_bounds(void **state)
{
    (void)state;
    static const int64_t bounds[] = {100, 200, 400, 800, 1000, 1000, 1000};
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct backoff backoff;
        backoff_init(&backoff, 100, 1000, seed);
        for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
            int64_t wait = backoff_next_ms(&backoff);
            if (wait < bounds[i] / 2 || wait > bounds[i])
                fail_msg("seed %d, wait %zu is %d ms", (int)seed, i, (int)wait);
        }
    }
}

// 1,000 waits between 500 and 1000 ms reach close to both ends and have a mean near 750. The mean of as many
// even draws has a standard deviation of 500 / sqrt(12 * 1000) = 4.6; 25 is more than five of them.
static void test_waits_are_spread(void **state)
{
    (void)state;
    struct backoff backoff;
    int64_t least = INT64_MAX, most = 0, sum = 0;
    backoff_init(&backoff, 1000, 1000, 42);
    for (int i = 0; i < 1000; i++) {
        int64_t wait = backoff_next_ms(&backoff);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
        sum += wait;
    }
    assert_true(least < 510 && most > 990);
    assert_true(sum > 725 * 1000 && sum < 775 * 1000);
}

static void test_seeds_differ(void **state)
{
    (void)state;
    struct backoff a, b, again;
    int equal = 0;
    backoff_init(&a, 1 << 20, 1 << 20, 1);
    backoff_init(&b, 1 << 20, 1 << 20, 2);
    backoff_init(&again, 1 << 20, 1 << 20, 1);
    for (int i = 0; i < 50; i++) {
        int64_t wait = backoff_next_ms(&a);
        equal += wait == backoff_next_ms(&b);
        assert_int_equal(wait, backoff_next_ms(&again));
    }
    assert_true(equal < 5);
}

static void test_extremes(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 1, INT64_MAX / 4, 3);
    for (int i = 0; i < 200; i++) {
        int64_t wait = backoff_next_ms(&backoff);
        assert_true(wait >= 0 && wait <= INT64_MAX / 4);
    }
    backoff_init(&backoff, 1, 1, 3);
    for (int i = 0; i < 50; i++) {
        int64_t wait = backoff_next_ms(&backoff);
        assert_true(wait == 0 || wait == 1);
    }
    backoff_init(&backoff, 100, 10, 3); // a base above the limit
    assert_true(backoff_next_ms(&backoff) <= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_stay_in_their_bounds),
        cmocka_unit_test(test_waits_are_spread),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
