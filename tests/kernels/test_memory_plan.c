// test_memory_plan.c: values that live at the same time never share memory, whatever their sizes and
// lifetimes; places are used again; a sum goes where its residual was.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/memory_plan.h"

enum { VALUES = 24, ALIGNMENT = 256, GAP = 64 };

// Value i is written by step i.
static bool live_together(const struct memory_value *values, int a, int b)
{
    int first = a < b ? a : b, second = a < b ? b : a;
    return values[first].last_step >= second;
}

static void check_apart(const struct memory_plan *plan, const struct memory_value *values, size_t total)
{
    for (int i = 0; i < VALUES; i++) {
        size_t begin = plan->offsets[values[i].place], end = begin + values[i].size;
        assert_true(end <= total);
        assert_int_equal(begin % GAP, 0);
        for (int j = 0; j < i; j++) {
            size_t other = plan->offsets[values[j].place];
            if (live_together(values, i, j))
                assert_true(end <= other || other + values[j].size <= begin);
        }
    }
}

static void test_lifetimes(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct memory_plan plan = {.count = 0};
        struct memory_value values[VALUES];
        size_t sum = 0;
        srand(seed);
        for (int i = 0; i < VALUES; i++) {
            values[i] = (struct memory_value){(size_t)(1 + rand() % 5000), i + rand() % 6, MEMORY_NOWHERE};
            sum += memory_round_up(values[i].size, ALIGNMENT) + GAP;
        }
        for (int i = 0; i < VALUES; i++)
            memory_plan_place(&plan, &values[i], i, NULL);
        size_t total = memory_plan_lay_out(&plan, ALIGNMENT, GAP);
        check_apart(&plan, values, total);
        assert_true(total < sum);
    }
}

static void test_in_place(void **state)
{
    (void)state;
    struct memory_plan plan = {.count = 0};
    struct memory_value residual = {100, 1, MEMORY_NOWHERE}, sum = {100, 3, MEMORY_NOWHERE};
    struct memory_value longer = {100, 3, MEMORY_NOWHERE}, larger = {101, 4, MEMORY_NOWHERE};
    memory_plan_place(&plan, &residual, 0, NULL);
    memory_plan_place(&plan, &sum, 1, &residual);
    assert_int_equal(sum.place, residual.place);
    memory_plan_place(&plan, &longer, 2, &sum); // sum is read later
    assert_int_not_equal(longer.place, sum.place);
    int before = longer.place;
    memory_plan_place(&plan, &longer, 3, NULL); // written in two steps: it stays
    assert_int_equal(longer.place, before);
    memory_plan_place(&plan, &larger, 3, &sum); // it would reach beyond
    assert_int_not_equal(larger.place, sum.place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lifetimes), cmocka_unit_test(test_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
