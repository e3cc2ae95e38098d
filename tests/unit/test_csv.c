// test_csv.c: tables of texts are read as RFC 4180 says, and refused with the line where they are not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/csv.h"
#include "common/base/memory.h"

static struct csv csv;
static struct error err;

static enum status parse(const char *text)
{
    csv_release(&csv);
    err.message[0] = '\0';
    size_t size = strlen(text);
    uint8_t *exact = memory_alloc(size + !size); // so that a sanitizer sees what is read behind its end
    memcpy(exact, text, size);
    enum status status = csv_parse((struct bytes){exact, size}, &csv, &err);
    free(exact);
    return status;
}

static void check_refused(const char *text, const char *sentence)
{
    assert_int_equal(parse(text), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
}

static void fields_are_unquoted(void **state)
{
    (void)state;
    assert_int_equal(parse("\xef\xbb\xbf"
                           "file,label,note\r\n"
                           "a.jpg,MEL,\"one, \"\"two\"\"\nthree\"\r\n"
                           "\n"
                           "b.jpg,,\n"
                           "\"c.jpg\",NV,last"),
                     STATUS_OK);
    assert_int_equal(csv.rows, 3);
    assert_int_equal(csv.columns, 3);
    assert_int_equal(csv_column(&csv, "label"), 1);
    assert_int_equal(csv_column(&csv, "none"), -1);
    assert_string_equal(csv_field(&csv, 0, 0), "a.jpg");
    assert_string_equal(csv_field(&csv, 0, 2), "one, \"two\"\nthree");
    assert_string_equal(csv_field(&csv, 1, 1), "");
    assert_string_equal(csv_field(&csv, 1, 2), "");
    assert_string_equal(csv_field(&csv, 2, 0), "c.jpg");
    assert_string_equal(csv_field(&csv, 2, 2), "last");
    assert_string_equal(csv_field(&csv, 2, -1), "");
    assert_int_equal(csv.lines[0], 2);
    assert_int_equal(csv.lines[1], 5);
    assert_int_equal(csv.lines[2], 6);
    char names[64];
    csv_list_names(&csv, names, sizeof names);
    assert_string_equal(names, "file, label, note");
    csv_list_names(&csv, names, 8);
    assert_string_equal(names, "file, l");
}

static void an_empty_last_field_is_one(void **state)
{
    (void)state;
    assert_int_equal(parse("a,b\n1,"), STATUS_OK);
    assert_int_equal(csv.rows, 1);
    assert_string_equal(csv_field(&csv, 0, 1), "");
    assert_int_equal(parse("a\n\"\"\n"), STATUS_OK);
    assert_int_equal(csv.rows, 1);
    assert_int_equal(parse("a,b\n"), STATUS_OK);
    assert_int_equal(csv.rows, 0);
}

static void bad_tables_are_refused_by_the_line(void **state)
{
    (void)state;
    check_refused("", "empty");
    check_refused("\n\n", "empty");
    check_refused("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, the first row names 2");
    check_refused("a,b\n\n1\n", "line 3 has 1 fields");
    check_refused("a,a\n", "two columns have the name 'a'");
    check_refused("a,b\n1,\"2\n3", "a quote is not closed");
    check_refused("a,b\n1,2\"3\n", "line 2: a quote inside a field");
    check_refused("a,b\n\"1\"2,3\n", "line 2: text behind a closing quote");
    check_refused("a,b\n1,\x01\n", "line 2: a control character");
    check_refused("a,b\r1,2\n", "line 1: a control character");
    csv_release(&csv);
    assert_int_equal(csv_parse((struct bytes){(const uint8_t *)"a\0b", 3}, &csv, &err), STATUS_REJECTED);
    char wide[2 * CSV_MOST_COLUMNS + 2];
    memset(wide, ',', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    check_refused(wide, "more than 256 columns");
    csv_release(&csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_unquoted),
        cmocka_unit_test(an_empty_last_field_is_one),
        cmocka_unit_test(bad_tables_are_refused_by_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
