// test_average.c: the running mean of parameters, against arithmetic.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>

#include "trainer/average.h"

// d = 2/11 after the first step, 3/12 after the second: less than any decay that is asked for in earnest.
static void the_start_is_soon_forgotten(void **state)
{
    (void)state;
    float mean[2] = {11, -11};
    average_take(mean, (const float[2]){0, 0}, 2, 0.999, 1);
    assert_float_equal(mean[0], 2, 1e-6);
    assert_float_equal(mean[1], -2, 1e-6);
    average_take(mean, (const float[2]){6, 2}, 2, 0.999, 2);
    assert_float_equal(mean[0], 5, 1e-6);
    assert_float_equal(mean[1], 1, 1e-6);
}

// Later each step leaves `decay` of what was: after n steps at 0, decay^n.
static void later_it_is_exponential(void **state)
{
    (void)state;
    float mean[1] = {1};
    for (uint64_t step = 100000; step < 100100; step++)
        average_take(mean, (const float[1]){0}, 1, 0.99, step);
    assert_float_equal(mean[0], (float)pow(0.99, 100), 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_start_is_soon_forgotten),
        cmocka_unit_test(later_it_is_exponential),
    };
    return cmocka_run_group_tests_name("average", tests, NULL, NULL);
}
