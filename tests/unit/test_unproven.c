// test_unproven.c: every key that was added and not cleared comes out once; beyond the limit none is taken.
#include "worker/cache/unproven.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct digest key_of(int number)
{
    struct digest key = {{0}};
    memcpy(key.value, &number, sizeof number);
    return key;
}

static int number_of(const struct digest *key)
{
    int number;
    memcpy(&number, key->value, sizeof number);
    return number;
}

static void add_all(struct unproven *unproven, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        struct digest key = key_of(i);
        assert_true(unproven_add(unproven, &key));
    }
}

static void test_each_comes_out_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct unproven unproven;
    bool seen[COUNT] = {false};
    struct digest keys[7];
    int count, total = 0;
    unproven_init(&unproven);
    add_all(&unproven, 0, COUNT);
    while ((count = unproven_take(&unproven, keys, 7)) > 0)
        for (int i = 0; i < count; i++, total++) {
            int number = number_of(&keys[i]);
            assert_true(number >= 0 && number < COUNT && !seen[number]);
            seen[number] = true;
        }
    assert_int_equal(total, COUNT);
    unproven_release(&unproven);
}

static void test_a_passed_check_clears(void **state)
{
    (void)state;
    struct unproven unproven;
    struct digest keys[3];
    unproven_init(&unproven);
    add_all(&unproven, 0, 10);
    unproven_clear(&unproven);
    assert_int_equal(unproven_take(&unproven, keys, 3), 0);
    add_all(&unproven, 10, 1);
    assert_int_equal(unproven_take(&unproven, keys, 3), 1);
    assert_int_equal(number_of(&keys[0]), 10);
    unproven_release(&unproven);
}

static void test_the_limit(void **state)
{
    (void)state;
    struct unproven unproven;
    struct digest key = key_of(-1);
    unproven_init(&unproven);
    add_all(&unproven, 0, UNPROVEN_MOST);
    assert_false(unproven_add(&unproven, &key));
    unproven_clear(&unproven);
    assert_true(unproven_add(&unproven, &key));
    unproven_release(&unproven);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_comes_out_once),
        cmocka_unit_test(test_a_passed_check_clears),
        cmocka_unit_test(test_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
