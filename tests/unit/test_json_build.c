// test_json_build.c: the trees that json_parse builds are those that cJSON builds, to the last bit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/json.h"
#include "tests/support/json_same.h"

static const struct json_limits limits = {.bytes = 1 << 20, .values = 1000, .depth = 64};

static void expect_cjson(const char *text)
{
    struct error err = {""};
    cJSON *json, *wanted = cJSON_ParseWithLength(text, strlen(text));
    if (json_parse((struct bytes){(const uint8_t *)text, strlen(text)}, &limits, &json, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    if (!wanted || !json_same(json, wanted))
        fail_msg("%s: not the tree of cJSON", text);
    cJSON_Delete(json);
    cJSON_Delete(wanted);
}

static void test_kinds(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "true",
        " false ",
        "null",
        "[]",
        "{}",
        "[ ]",
        " { } ",
        "\"\"",
        "\"text\"",
        "[1,2,3]",
        "[[],{},[[]]]",
        "{\"a\":1,\"b\":[true,{\"c\":null}],\"a\":2}",
        " { \"a\" : [ 1 , \"b\" ] ,\r\n\t\"\" : \"\" } ",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00x\"",
        "\"\\\\\"",
        "[\"\\\\\\\"\",\"a\\\\\",\"b\"]",
        "{\"\\u0061\\n\":\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_cjson(texts[i]);
}

static void test_numbers_at_the_edges(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e5",
        "1",
        "-1",
        "0.1",
        "1e0",
        "1E+2",
        "1e-2",
        "123e22",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "900719925474099.3",
        "0.1e23",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "1e308",
        "1e309",
        "-1e309",
        "5e-324",
        "2.2250738585072011e-308",
        "0.000000000000000000000000000000000000001",
        "1.7976931348623157e308",
        "123456789012345678901234567890",
        "0.30000000000000004",
        "4.35",
        "1e99999999999",
        "1e-99999999999",
        "8.5000000000000000000001",
        "72057594037927945",
        "1000000000000000000000000e-5",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_cjson(texts[i]);
}

// As records have them: nine significant digits of floats; and longer ones, with points and powers anywhere.
static void test_random_numbers(void **state)
{
    (void)state;
    char text[64];
    srandom(7);
    for (int i = 0; i < 20000; i++) {
        double number = ldexp((double)random(), (int)(random() % 120) - 90);
        snprintf(text, sizeof text, "%.*g", 1 + (int)(random() % 19), i % 2 ? number : -number);
        expect_cjson(text);
        snprintf(text, sizeof text, "%ld.%lde%ld", random() % 10000000, random(), random() % 60 - 30);
        expect_cjson(text);
    }
}

// 4 MiB of escapes, with the quote at their very end. The time to look for it from each of them would be
// minutes.
static void test_many_escapes(void **state)
{
    (void)state;
    enum { ESCAPES = 2 << 20, SIZE = 2 * ESCAPES + 2 };
    static const struct json_limits wide = {.bytes = SIZE, .values = 1, .depth = 1};
    uint8_t *text = malloc(SIZE);
    struct error err;
    cJSON *json;
    assert_non_null(text);
    for (size_t i = 0; i < ESCAPES; i++)
        memcpy(text + 1 + 2 * i, "\\/", 2);
    text[0] = text[SIZE - 1] = '"';
    clock_t before = clock();
    assert_int_equal(json_parse((struct bytes){text, SIZE}, &wide, &json, &err), STATUS_OK);
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 2);
    assert_int_equal(strlen(json->valuestring), ESCAPES);
    assert_int_equal(strspn(json->valuestring, "/"), ESCAPES);
    cJSON_Delete(json);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_numbers_at_the_edges),
        cmocka_unit_test(test_random_numbers), cmocka_unit_test(test_many_escapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
