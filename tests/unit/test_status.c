// test_status.c: error sentences: formatted, printable, never longer than their place, with context in front.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/status.h"

static void test_set(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set(&err, STATUS_RETRY, "no answer from %s in %d ms", "broker", 30), STATUS_RETRY);
    assert_string_equal(err.message, "no answer from broker in 30 ms");
    assert_int_equal(error_set(NULL, STATUS_FATAL, "nobody listens %d", 1), STATUS_FATAL);
}

static void test_control_characters_are_replaced(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, STATUS_REJECTED, "%s", "a\nb\tc\x1b[31m\x7f\x01 \xc3\xa9~");
    assert_string_equal(err.message, "a?b?c?[31m?? \xc3\xa9~");
    error_set(&err, STATUS_REJECTED, "%s", "\xc2\x80 \xc2\x9b[31m \xc2\x9f \xc2\xa0 \xc2");
    assert_string_equal(err.message, "? ?[31m ? \xc2\xa0 ?");
    error_set(&err, STATUS_REJECTED, "%s", "a\nb\tc\x1b[31m\x7f\x01 \xc3\xa9~");
    error_prefix(&err, "file\n%s", "x\r");
    assert_string_equal(err.message, "file?x?: a?b?c?[31m?? \xc3\xa9~");
}

static void test_long_sentences_are_cut(void **state)
{
    (void)state;
    struct error err;
    char text[2 * sizeof err.message];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memset(&err, 'x', sizeof err);
    error_set(&err, STATUS_REJECTED, "short");
    error_prefix(&err, "%s", text);
    assert_int_equal(strnlen(err.message, sizeof err.message), sizeof err.message - 1);
    error_set(&err, STATUS_REJECTED, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    error_prefix(&err, "context %d", 7);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_memory_equal(err.message, "context 7: xxx", 14);
    error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void test_prefix(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, STATUS_REJECTED, "tensor '%s' is missing", "head.weight");
    error_prefix(&err, "model %s", "vit");
    error_prefix(&err, "start");
    assert_string_equal(err.message, "start: model vit: tensor 'head.weight' is missing");
    error_prefix(NULL, "nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_control_characters_are_replaced),
        cmocka_unit_test(test_long_sentences_are_cut),
        cmocka_unit_test(test_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
