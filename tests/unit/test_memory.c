// test_memory.c: arenas: limit, alignment, zeroed memory, release; and the small allocations.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/memory.h"

static void test_pieces_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    enum { PIECES = 400 };
    uint8_t *pieces[PIECES];
    size_t total = 0;
    arena_init(&arena, 1 << 20);
    memset(arena_alloc(&arena, 16000), 0xff, 16000); // so that the memory isn't fresh from the kernel
    arena_release(&arena);
    for (size_t i = 0; i < PIECES; i++) { // 0 to 399 bytes, over several blocks
        pieces[i] = arena_alloc(&arena, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t j = 0; j < i; j++)
            assert_int_equal(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 251) + 1, i);
        total += i;
    }
    assert_int_equal(arena.used, total);
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_equal(pieces[i][j], i % 251 + 1);
    arena_release(&arena);
}

static void test_limit(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100);
    assert_null(arena_alloc(&arena, 101));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_non_null(arena_alloc(&arena, 60));
    assert_null(arena_alloc(&arena, 41));
    assert_null(arena_alloc(&arena, SIZE_MAX - 30));
    assert_non_null(arena_alloc(&arena, 40));
    assert_non_null(arena_alloc(&arena, 0));
    assert_null(arena_alloc(&arena, 1));
    assert_null(arena_copy(&arena, "", 1));
    assert_int_equal(arena.used, 100);
    arena_release(&arena);
    assert_non_null(arena_alloc(&arena, 100)); // empty again, the same limit
    arena_release(&arena);
}

static void test_a_piece_larger_than_a_block(void **state)
{
    (void)state;
    struct arena arena;
    size_t size = 3 << 20;
    arena_init(&arena, 4 << 20);
    char *before = arena_copy(&arena, "before", sizeof "before");
    uint8_t *large = arena_alloc(&arena, size);
    char *after = arena_copy(&arena, "after", sizeof "after");
    assert_true(before && large && after);
    memset(large, 0xaa, size);
    assert_string_equal(before, "before");
    assert_string_equal(after, "after");
    arena_release(&arena);
}

static void test_copies(void **state)
{
    (void)state;
    struct arena arena;
    char text[] = "lesion";
    arena_init(&arena, 1000);
    char *copy = arena_copy(&arena, text, sizeof text);
    uint8_t *bytes = arena_copy(&arena, "\0\1\2", 3);
    assert_true(copy && bytes);
    text[0] = 'x';
    assert_string_equal(copy, "lesion");
    assert_memory_equal(bytes, "\0\1\2", 3);
    assert_non_null(arena_copy(&arena, NULL, 0));
    arena_release(&arena);
}

static void test_release_is_safe(void **state)
{
    (void)state;
    struct arena arena = {0};
    arena_release(&arena);
    arena_init(&arena, 10);
    assert_non_null(arena_alloc(&arena, 10));
    arena_release(&arena);
    arena_release(&arena);
    assert_int_equal(arena.used, 0);
}

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
        cmocka_unit_test(test_pieces_are_aligned_zeroed_and_apart),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_a_piece_larger_than_a_block),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_release_is_safe),
        cmocka_unit_test(test_small_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
