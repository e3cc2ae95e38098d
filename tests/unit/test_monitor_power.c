// test_monitor_power.c: what a design can tell. Expected values: SciPy's hypergeometric and binomial
// distributions summed over all tables, and R's power.prop.test.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "monitor/comparison/power_receipt.h"
#include "tests/support/near.h"

static const struct power_design plain = {.p0 = 0.90,
                                          .p1 = 0.95,
                                          .worse = 0.01,
                                          .n_a = 96,
                                          .n_b = 12,
                                          .alpha = 0.05,
                                          .wanted = 0.8,
                                          .margin = 0.05};

static void test_the_plain_recipe_cannot_decide(void **state)
{
    (void)state;
    struct power_receipt receipt;
    power_receipt_make(&plain, &receipt);
    near("power", receipt.power, 3.1598877755660315e-05, 1e-9);
    assert_false(receipt.decides);
    assert_int_equal(receipt.equal_arms.a, 371);  // 0.80004; 370 has 0.79898
    assert_int_equal(receipt.same_ratio.a, 1716); // with 215: 0.80147
    assert_int_equal(receipt.same_ratio.b, 215);
    assert_true(receipt.same_ratio.exact);
    assert_int_equal(receipt.pairs.a, 189); // 0.80153; 188 has 0.79897
}

static void test_pairs(void **state)
{
    (void)state;
    struct power_design design = plain;
    struct power_receipt receipt;
    design.paired = true;
    design.n_a = 250;
    power_receipt_make(&design, &receipt);
    near("power", receipt.power, 0.911, 1e-3);
    assert_true(receipt.decides);
    design.n_a = 108;
    power_receipt_make(&design, &receipt);
    near("power", receipt.power, 0.488, 2e-3);
    assert_false(receipt.decides);
    assert_int_equal(receipt.not_worse_a, 446);
    assert_int_equal(receipt.not_worse_b, 446);
}

// More than the exact test takes: by normal theory, as R has it.
static void test_very_many(void **state)
{
    (void)state;
    struct power_design design = plain;
    struct power_receipt receipt;
    design.p1 = 0.903;
    design.n_a = design.n_b = 200000;
    power_receipt_make(&design, &receipt);
    assert_true(receipt.decides && receipt.power > 0.9 && receipt.power < 1);
    assert_false(receipt.equal_arms.exact);
    // power.prop.test(p1 = .9, p2 = .903, power = .8, sig.level = .05, alternative = "one.sided"): 121,999.
    assert_in_range(receipt.equal_arms.a, 121900, 122100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_plain_recipe_cannot_decide),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
