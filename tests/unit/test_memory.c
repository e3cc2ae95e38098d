// test_memory.c: the allocations that can't fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/memory.h"

static void test_small_allocations(void **state)
{
    (void)state;
    uint8_t *zeroed = memory_alloc(1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(zeroed[i], 0);
    memset(zeroed, 7, 1000);
    zeroed = memory_realloc(zeroed, 2000);
    assert_int_equal(zeroed[999], 7);
    free(zeroed);
    char *text = memory_format("%s-%d", "worker", 3);
    assert_string_equal(text, "worker-3");
    free(text);
    text = memory_strdup("copy");
    assert_string_equal(text, "copy");
    free(text);
    void *none = memory_alloc(0);
    assert_non_null(none);
    free(none);
    void *tried = memory_try_alloc(0);
    assert_non_null(tried);
    free(tried);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
