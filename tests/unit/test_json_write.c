// test_json_write.c: what the writer writes is JSON with the values it was given, and its floats are
// printf's.
#include "common/base/json_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"

static struct buffer out;
static struct json_writer writer;
static struct error err;

static void begin(void)
{
    buffer_release(&out);
    buffer_init(&out, 1 << 20);
    json_write_begin(&writer, &out, &err);
}

// What was written, which json_parse has to accept.
static const char *end(void)
{
    static const struct json_limits limits = {.bytes = 1 << 20, .values = 1000, .depth = 8};
    cJSON *json;
    assert_int_equal(json_write_end(&writer), STATUS_OK);
    if (json_parse(buffer_bytes(&out), &limits, &json, &err) != STATUS_OK)
        fail_msg("%s: %.*s", err.message, (int)out.size, (const char *)out.data);
    cJSON_Delete(json);
    assert_int_equal(buffer_append(&out, "", 1, &err), STATUS_OK);
    return (const char *)out.data;
}

static void test_every_kind_of_value(void **state)
{
    (void)state;
    const struct digest abc = digest_of("abc", 3);
    begin();
    json_add_object(&writer, NULL);
    json_add_text(&writer, "text", "a");
    json_add_object(&writer, "empty");
    json_end_object(&writer);
    json_add_array(&writer, "mixed");
    json_add_integer(&writer, NULL, INT64_MIN);
    json_add_integer(&writer, NULL, 0);
    json_add_integer(&writer, NULL, INT64_MAX);
    json_add_object(&writer, NULL);
    json_add_bool(&writer, "yes", true);
    json_add_bool(&writer, "no", false);
    json_end_object(&writer);
    json_add_array(&writer, NULL);
    json_end_array(&writer);
    json_end_array(&writer);
    json_add_null(&writer, "nothing");
    json_add_digest(&writer, "digest", &abc); // FIPS 180-2, appendix B.1
    json_add_thousandths(&writer, "ms", 215400);
    json_add_thousandths(&writer, "us", 7);
    json_add_floats(&writer, "floats", (const float[]){0.236f, -1, 0}, 3);
    json_add_base64(&writer, "base64", (struct bytes){(const uint8_t *)"foobar", 6}); // RFC 4648, section 10
    json_end_object(&writer);
    assert_string_equal(end(),
                        "{\"text\":\"a\",\"empty\":{},\"mixed\":[-9223372036854775808,0,9223372036854775807,"
                        "{\"yes\":true,\"no\":false},[]],\"nothing\":null,\"digest\":"
                        "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"ms\":215.400,"
                        "\"us\":0.007,\"floats\":[0.236000001,-1,0],\"base64\":\"Zm9vYmFy\"}");
}

static void test_any_text_is_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"", "\"\""},
        {"plain.jpg", "\"plain.jpg\""},
        {"a\"b\\c\n\x1b\x7f", "\"a\\\"b\\\\c\\u000a\\u001b\\u007f\""},
        {"H\xc3\xa4ut", "\"H\xc3\xa4ut\""},
        {"\xf0\x9f\x94\xac", "\"\xf0\x9f\x94\xac\""},
        {"a\xff.jpg", "\"a\xef\xbf\xbd.jpg\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 // overlong
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // a surrogate
        {"cut\xe2\x82", "\"cut\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin();
        json_add_text(&writer, NULL, cases[i].text);
        assert_string_equal(end(), cases[i].json);
    }
}

static void test_a_document_is_taken_over_on_one_line(void **state)
{
    (void)state;
    static const char document[] = "{\n\t\"a\": 1\r\n}";
    begin();
    json_add_array(&writer, NULL);
    json_add_document(&writer, NULL, (struct bytes){(const uint8_t *)document, strlen(document)});
    json_end_array(&writer);
    assert_string_equal(end(), "[{  \"a\": 1  }]");
}

static void test_a_failure_leaves_nothing_behind(void **state)
{
    (void)state;
    begin();
    assert_int_equal(buffer_append(&out, "before", 6, &err), STATUS_OK);
    out.limit = 20;
    json_write_begin(&writer, &out, &err);
    json_add_array(&writer, NULL);
    json_add_text(&writer, NULL, "more than there is room for");
    json_add_null(&writer, NULL); // would fit
    json_end_array(&writer);
    assert_int_equal(json_write_end(&writer), STATUS_REJECTED);
    assert_int_equal(out.size, 6);
}

static void check_float(float value)
{
    char text[JSON_FLOAT_SIZE + 1] = "", expected[64], back[JSON_FLOAT_SIZE + 1];
    size_t size = json_float_text(value, text);
    snprintf(expected, sizeof expected, "%.9g", (double)value);
    memcpy(back, text, size);
    back[size] = '\0';
    float again = strtof(back, NULL);
    if (strcmp(back, expected) != 0 || memcmp(&again, &value, sizeof value) != 0)
        fail_msg("%a: '%s' instead of '%s'", (double)value, back, expected);
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool is_finite_pattern(uint32_t bits)
{
    return (bits >> 23 & 0xff) != 0xff;
}

static void check_both_signs(uint32_t bits)
{
    if (!is_finite_pattern(bits))
        return;
    check_float(float_of_bits(bits));
    check_float(float_of_bits(bits ^ 0x80000000u));
}

static void test_floats_are_those_of_printf(void **state)
{
    (void)state;
    uint32_t bits = 1;
    for (int i = 0; i < 200000; i++) {
        bits = bits * 1664525u + 1013904223u; // every pattern once in 2^32
        check_both_signs(bits);
    }
}

static void test_floats_at_the_edges(void **state)
{
    (void)state;
    for (int exponent = 0; exponent < 255; exponent++) { // powers of two and their neighbours
        uint32_t bits = (uint32_t)exponent << 23;
        for (uint32_t i = 0; i < 3; i++)
            check_both_signs(bits + i - (bits > 0));
    }
    for (int i = -45; i <= 38; i++) { // powers of ten and theirs
        char text[16];
        uint32_t bits;
        snprintf(text, sizeof text, "1e%d", i);
        float value = strtof(text, NULL);
        memcpy(&bits, &value, sizeof bits);
        for (uint32_t k = 0; k < 5; k++)
            check_both_signs(bits + k - (bits > 2 ? 2 : 0));
    }
    for (uint32_t i = 1; i < 4096; i++) // halfway between two numbers of nine digits: 1.001953125
        for (int k = 0; k < 30; k++)
            check_both_signs((uint32_t)(127 + k) << 23 | i << 11);
}

static void test_what_is_no_number_is_null(void **state)
{
    (void)state;
    begin();
    json_add_floats(&writer, NULL, (const float[]){float_of_bits(0x7f800000), float_of_bits(0x7fc00000)}, 2);
    assert_string_equal(end(), "[null,null]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_value),
        cmocka_unit_test(test_any_text_is_json),
        cmocka_unit_test(test_a_document_is_taken_over_on_one_line),
        cmocka_unit_test(test_a_failure_leaves_nothing_behind),
        cmocka_unit_test(test_floats_are_those_of_printf),
        cmocka_unit_test(test_floats_at_the_edges),
        cmocka_unit_test(test_what_is_no_number_is_null),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_release(&out);
    return failed;
}
