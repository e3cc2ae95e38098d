// test_claim.c: how long a worker waits for another one's answer.
#include "worker/cache/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const int64_t learnt_us[] = {0, 1, 999, 1000, 4000, 150000, 1600000, 1999999, 2000000, 60000000};
enum { LEARNT_COUNT = sizeof learnt_us / sizeof *learnt_us };

static void test_about_one_inference(void **state)
{
    (void)state;
    assert_int_equal(claim_wait_ms(5000, -1, 0), 0);
    assert_int_equal(claim_wait_ms(5000, -1, 1), 2);
    assert_int_equal(claim_wait_ms(5000, -1, 4000), 5);
    assert_int_equal(claim_wait_ms(5000, -1, 100000), 125);
    assert_int_equal(claim_wait_ms(5000, -1, 1600000), 2000);
    assert_int_equal(claim_wait_ms(5000, -1, 60000000), 2000);
}

// Whatever the deadline: after the wait there is time left to compute, or nobody waits.
static void test_no_deadline_is_passed(void **state)
{
    (void)state;
    const int64_t now_ms = 1763900000000;
    for (int i = 0; i < LEARNT_COUNT; i++) {
        for (int64_t deadline_ms = now_ms - 5000; deadline_ms < now_ms + 70000; deadline_ms += 7) {
            int64_t wait_ms = claim_wait_ms(now_ms, deadline_ms, learnt_us[i]);
            assert_true(wait_ms >= 0 && wait_ms <= claim_wait_ms(now_ms, -1, learnt_us[i]));
            if (wait_ms > 0)
                assert_true((now_ms + wait_ms) * 1000 + learnt_us[i] <= deadline_ms * 1000);
        }
        assert_int_equal(claim_wait_ms(now_ms, 0, learnt_us[i]), 0);
        assert_int_equal(claim_wait_ms(now_ms, (1LL << 53) - 1, learnt_us[i]),
                         claim_wait_ms(now_ms, -1, learnt_us[i]));
    }
    assert_int_equal(claim_wait_ms(now_ms, now_ms + 150, 100000), 50); // 100 of them to compute
    assert_int_equal(claim_wait_ms(now_ms, now_ms + 100, 100000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_about_one_inference),
                                       cmocka_unit_test(test_no_deadline_is_passed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
