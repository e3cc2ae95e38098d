// test_clinical_targets.c: when a target is met; the targets of a report are in test_evaluation.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "trainer/clinical_targets.h"

static void a_target_needs_the_whole_interval(void **state)
{
    (void)state;
    static const struct {
        double low, high;
        enum target_verdict verdict;
    } cases[] = {{0.86, 0.9, TARGET_MET},
                 {0.85, 0.9, TARGET_NOT_ENOUGH},
                 {0.8, 0.9, TARGET_NOT_ENOUGH},
                 {0.8, 0.85, TARGET_MISSED},
                 {0.7, 0.8, TARGET_MISSED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct estimate estimate = {.low = cases[i].low, .high = cases[i].high};
        const struct clinical_target target = {.estimate = &estimate, .above = 0.85};
        assert_int_equal(clinical_target_judge(&target), cases[i].verdict);
    }
    const struct estimate none = estimate_none(0, "no images");
    assert_int_equal(clinical_target_judge(&(struct clinical_target){.estimate = &none}), TARGET_NOT_ENOUGH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_target_needs_the_whole_interval)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
