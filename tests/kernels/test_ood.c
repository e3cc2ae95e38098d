// test_ood.c: energy of logits whose sum of exponentials is known.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/model/ood.h"

static void test_energy(void **state)
{
    (void)state;
    const float equal[LESION_CLASSES] = {0}, far[LESION_CLASSES] = {-2000, 1000, -2000, 0, 0, 0, 0, 0};
    assert_true(fabsf(ood_energy(equal) + 2.07944154f) < 1e-6f); // log 8
    assert_true(ood_energy(far) == -1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_energy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
