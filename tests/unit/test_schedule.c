// test_schedule.c: the learning rate, by arithmetic.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "trainer/schedule.h"

static void check(const struct schedule *schedule, int epoch, double expected)
{
    double rate = schedule_rate(schedule, epoch);
    if (fabs(rate - expected) > 1e-18)
        fail_msg("epoch %d: %.17g, expected %.17g", epoch, rate, expected);
}

static void warm_up_then_cosine(void **state)
{
    (void)state;
    const struct schedule schedule = {1e-4, 29, 5};
    check(&schedule, 0, 1e-6);
    check(&schedule, 1, 1e-4 * 0.208);
    check(&schedule, 4, 1e-4 * 0.802);
    check(&schedule, 5, 1e-4);
    check(&schedule, 13, 0.75e-4); // a third of the way: cos(pi / 3) = 1/2
    check(&schedule, 17, 0.5e-4);
    check(&schedule, 21, 0.25e-4);
}

static void no_warm_up(void **state)
{
    (void)state;
    const struct schedule schedule = {2, 2, 0};
    check(&schedule, 0, 2);
    check(&schedule, 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(warm_up_then_cosine), cmocka_unit_test(no_warm_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
