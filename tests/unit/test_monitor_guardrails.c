// test_monitor_guardrails.c: latency and balanced accuracy of two models. Expected values are SciPy's and
// arithmetic.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/arms_scene.h"

// Ten answers in each hour, all alike: the test is Welch's on the hours. SciPy: ttest_ind of the hours'
// latencies.
static void test_latency_is_of_hours(void **state)
{
    (void)state;
    struct arms arms = {0};
    struct arms_comparison comparison;
    for (int i = 0; i < 240; i++) {
        int of_hour = i / 10;
        if (of_hour < 20)
            add(&arms, &(struct scene){.arm = ARM_A,
                                       .image = 2 * i,
                                       .patient = 2 * i,
                                       .truth = -1,
                                       .latency_ms = 100 + of_hour * 37 % 50});
        add(&arms, &(struct scene){.arm = ARM_B,
                                   .image = 2 * i + 1,
                                   .patient = 2 * i + 1,
                                   .truth = -1,
                                   .latency_ms = 110 + of_hour * 53 % 60});
    }
    compare_and_release(&arms, &comparison);
    near("difference", comparison.split.latency.difference, 15.5, 1e-12);
    near("t", comparison.split.latency.t, 3.141698742747872, 1e-9);
    near("df", comparison.split.latency.df, 41.899289936377926, 1e-9);
    near("p", comparison.split.latency.p, 0.003079366312559932, 1e-9);
}

static void test_latency_guardrail(void **state)
{
    (void)state;
    for (int slower = 0; slower <= 80; slower += 40) {
        struct arms arms = {0};
        for (int i = 0; i < 2000; i++)
            for (int arm = 0; arm < ARMS; arm++)
                add(&arms, &(struct scene){.arm = arm,
                                           .image = i,
                                           .patient = i,
                                           .truth = LESION_NV,
                                           .latency_ms = 100 + i * 7919 % 200 + arm * slower});
        struct guardrail guardrail = guardrail_latency(&arms);
        near("difference", guardrail.difference, slower, 1e-12);
        assert_int_equal(guardrail.state, slower == 80 ? GUARDRAIL_BROKEN : GUARDRAIL_OK);
        arms_release(&arms);
    }
    struct arms few = {0};
    fill_split(&few, ARM_A, LESION_MEL, 0, 298);
    fill_split(&few, ARM_B, LESION_MEL, 0, 400);
    assert_int_equal(guardrail_latency(&few).state, GUARDRAIL_INSUFFICIENT);
    arms_release(&few);
}

static void test_accuracy_guardrail(void **state)
{
    (void)state;
    struct known_answer answers[4000];
    for (int loss = 0; loss <= 10; loss += 10) { // per cent
        for (int i = 0; i < 2000; i++)
            for (int arm = 0; arm < ARMS; arm++)
                answers[2 * i + arm] =
                    (struct known_answer){(uint64_t)i, (uint8_t)arm, (uint8_t)(i % 2),
                                          i % 10 != 0 && (arm == ARM_A || i / 2 % 100 >= loss)};
        struct guardrail guardrail = guardrail_balanced_accuracy(answers, 4000);
        assert_int_equal(guardrail.state, loss ? GUARDRAIL_BROKEN : GUARDRAIL_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_is_of_hours),
        cmocka_unit_test(test_latency_guardrail),
        cmocka_unit_test(test_accuracy_guardrail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
