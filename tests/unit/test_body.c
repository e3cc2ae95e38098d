// test_body.c: the body of POST /v2/analyze, cut at every byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "producer/gateway/body.h"

enum { IMAGE_MOST = 3000 };

struct reading {
    struct body body;
    struct analysis analysis;
    enum problem problem;
    struct error err;
};

// In two pieces, the first of cut bytes.
static void read_cut(struct reading *reading, const char *text, size_t size, size_t cut)
{
    const uint8_t *data = (const uint8_t *)text;
    memset(reading, 0, sizeof *reading);
    body_init(&reading->body, IMAGE_MOST);
    reading->problem = body_add(&reading->body, (struct bytes){data, cut}, &reading->err);
    if (reading->problem == PROBLEM_NONE)
        reading->problem = body_add(&reading->body, (struct bytes){data + cut, size - cut}, &reading->err);
    if (reading->problem == PROBLEM_NONE)
        reading->problem = body_finish(&reading->body, &reading->analysis, &reading->err);
}

// Whatever the cut, the same.
static void expect(const char *text, enum problem problem, const char *word)
{
    size_t size = strlen(text);
    for (size_t cut = 0; cut <= size; cut++) {
        struct reading reading;
        read_cut(&reading, text, size, cut);
        if (reading.problem != problem || !strstr(reading.err.message, word))
            fail_msg("%.300s\ncut at %zu gave %s (%s), expected %s naming '%s'", text, cut,
                     problem_code(reading.problem), reading.err.message, problem_code(problem), word);
        body_release(&reading.body);
    }
}

static void test_every_field(void **state)
{
    (void)state;
    static const char text[] =
        "{\"image\": \"/9j/4AA\", \"metadata\": {\"patient_age\": 54, \"lesion_location\": \"upper_back\","
        " \"fitzpatrick_type\": 3, \"capture_device\": \"iphone_15_pro\", \"dermatoscope_attached\": true,"
        " \"name\": \"ignored\"}, \"request_id\": \"F81D4FAE-7dec-11d0-a765-00a0c91e6bf6\","
        " \"model_version\": \"vit-base-v2.1.0\", \"patient_ref\": \"A 17\", \"more\": [{\"image\": \"-\"}]}";
    static const uint8_t image[] = {0xff, 0xd8, 0xff, 0xe0, 0x00};
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct reading reading;
        read_cut(&reading, text, sizeof text - 1, cut);
        if (reading.problem != PROBLEM_NONE)
            fail_msg("cut at %zu: %s", cut, reading.err.message);
        const struct analysis *analysis = &reading.analysis;
        assert_int_equal(reading.body.image.size, sizeof image);
        assert_memory_equal(reading.body.image.data, image, sizeof image);
        assert_string_equal(analysis->request_id, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
        assert_string_equal(analysis->model_version, "vit-base-v2.1.0");
        assert_string_equal(analysis->patient_ref, "A 17");
        assert_int_equal(analysis->metadata.patient_age, 54);
        assert_int_equal(analysis->metadata.fitzpatrick_type, 3);
        assert_int_equal(analysis->metadata.dermatoscope_attached, 1);
        assert_string_equal(analysis->metadata.lesion_location, "upper_back");
        assert_string_equal(analysis->metadata.capture_device, "iphone_15_pro");
        body_release(&reading.body);
    }
}

static void test_only_an_image(void **state)
{
    (void)state;
    expect(" {\"image\":\"/9j/\"} ", PROBLEM_NONE, "");
    expect("{\"image\" : \"\\/9j\\u002F\"}", PROBLEM_NONE, ""); // as PHP and .NET write it
    expect("{\"note\": \"\\\"image\\\": \\\\\", \"image\":\"/9j/\"}", PROBLEM_NONE, "");
    expect("{\"image\":\"/9j/4A==\", \"imagE\": 1, \"im\": {}}", PROBLEM_NONE, "");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum problem problem;
        const char *word;
    } cases[] = {
        {"", PROBLEM_INVALID_JSON, ""},
        {"{\"image\":\"/9j/\"", PROBLEM_INVALID_JSON, ""},
        {"{\"image\":\"/9j/", PROBLEM_INVALID_JSON, ""},
        {"{\"image\":\"/9j/\"}}", PROBLEM_INVALID_JSON, ""},
        {"{\"image\" \"/9j/\"}", PROBLEM_INVALID_JSON, ""},
        {"{\"image\":\"/9j/\" x}", PROBLEM_INVALID_JSON, ""},
        {"{\"image\":\"/9j/\n\"}", PROBLEM_INVALID_JSON, "no JSON string"},
        {"{\"image\":\"/9j/\xff\"}", PROBLEM_INVALID_JSON, "no JSON string"},
        {"{\"image\":\"\\x\"}", PROBLEM_INVALID_JSON, "no JSON string"},
        {"{\"image\":\"\\u00g0\"}", PROBLEM_INVALID_JSON, "no JSON string"},
        {"{\"image\":\"\\u00\"}", PROBLEM_INVALID_JSON, "no JSON string"},
        {"{\"image\":\"/9j/\"}{\"image\":\"/9j/\"}", PROBLEM_INVALID_JSON, ""},
        {"[\"image\", \"/9j/\"]", PROBLEM_INVALID_JSON, "no JSON object"},
        {"\"image\"", PROBLEM_INVALID_JSON, "no JSON object"},
        {"{}", PROBLEM_INVALID_FIELD, "'image' is needed"},
        {"{\"a\": {\"image\": \"/9j/\"}}", PROBLEM_INVALID_FIELD, "'image' is needed"},
        {"{\"image\": null}", PROBLEM_INVALID_FIELD, "base64 string"},
        {"{\"image\": [\"/9j/\"]}", PROBLEM_INVALID_FIELD, "base64 string"},
        {"{\"im\\u0061ge\": \"/9j/\"}", PROBLEM_INVALID_FIELD, "without escapes"},
        {"{\"image\": \"/9j/\", \"im\\u0061ge\": \"/9j/\"}", PROBLEM_INVALID_FIELD, "twice"},
        {"{\"image\": \"/9j/\", \"image\": \"/9j/\"}", PROBLEM_INVALID_FIELD, "twice"},
        {"{\"image\": \"/9j\\n\"}", PROBLEM_INVALID_FIELD, "base64 without"},
        {"{\"image\": \"/9j \"}", PROBLEM_INVALID_FIELD, "base64 without"},
        {"{\"image\": \"/9j/4\"}", PROBLEM_INVALID_FIELD, "base64 without"},
        {"{\"image\": \"/9==/9j/\"}", PROBLEM_INVALID_FIELD, "base64 without"},
        {"{\"image\": \"\\u012f\"}", PROBLEM_INVALID_FIELD, "base64 without"},
        {"{\"image\": \"\"}", PROBLEM_IMAGE_UNDECODABLE, "0 bytes"},
        {"{\"image\": \"/9j/\", \"request_id\": \"x\"}", PROBLEM_INVALID_FIELD, "request_id"},
        {"{\"image\": \"/9j/\", \"request_id\": null}", PROBLEM_INVALID_FIELD, "request_id"},
        {"{\"image\": \"/9j/\", \"model_version\": \"\"}", PROBLEM_INVALID_FIELD, "model_version"},
        {"{\"image\": \"/9j/\", \"model_version\": \"a b\"}", PROBLEM_INVALID_FIELD, "model_version"},
        {"{\"image\": \"/9j/\", \"patient_ref\": \"\"}", PROBLEM_INVALID_FIELD, "patient_ref"},
        {"{\"image\": \"/9j/\", \"patient_ref\": 7}", PROBLEM_INVALID_FIELD, "patient_ref"},
        {"{\"image\": \"/9j/\", \"patient_ref\": \"a\\u0007\"}", PROBLEM_INVALID_FIELD, "patient_ref"},
        {"{\"image\": \"/9j/\", \"metadata\": []}", PROBLEM_INVALID_FIELD, "metadata"},
        {"{\"image\": \"/9j/\", \"metadata\": {\"patient_age\": 131}}", PROBLEM_INVALID_FIELD, "patient_age"},
        {"{\"image\": \"/9j/\", \"metadata\": {\"lesion_location\": \"a b\"}}", PROBLEM_INVALID_FIELD,
         "lesion_location"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].text, cases[i].problem, cases[i].word);
}

// '{"image":"' + characters of 'A' + '"}'; the caller frees it.
static char *body_of(size_t characters)
{
    char *text = malloc(characters + 32);
    size_t used = (size_t)sprintf(text, "{\"image\":\"");
    memset(text + used, 'A', characters);
    strcpy(text + used + characters, "\"}");
    return text;
}

static void test_limit_of_the_image(void **state)
{
    (void)state;
    for (size_t characters = IMAGE_MOST / 3 * 4 - 5; characters < IMAGE_MOST / 3 * 4 + 9; characters++) {
        struct reading reading;
        char *text = body_of(characters);
        read_cut(&reading, text, strlen(text), 17);
        size_t size = characters * 3 / 4;
        enum problem wanted = characters % 4 == 1 ? PROBLEM_INVALID_FIELD
                              : size > IMAGE_MOST ? PROBLEM_IMAGE_TOO_LARGE
                                                  : PROBLEM_NONE;
        if (reading.problem != wanted)
            fail_msg("%zu characters: %s", characters, problem_code(reading.problem));
        body_release(&reading.body);
        free(text);
    }
}

// The padding stands in the last place of a chunk, and another chunk follows.
static void test_padding_inside(void **state)
{
    (void)state;
    struct reading reading;
    char *text = body_of(BODY_CHUNK + 4);
    text[strlen("{\"image\":\"") + BODY_CHUNK - 1] = '=';
    read_cut(&reading, text, strlen(text), 3);
    assert_int_equal(reading.problem, PROBLEM_INVALID_FIELD);
    body_release(&reading.body);
    free(text);
}

// A body that is too large is refused before its end.
static void test_refused_early(void **state)
{
    (void)state;
    struct body body;
    struct error err;
    struct bytes piece = {(const uint8_t *)"AAAAAAAA", 8};
    size_t given = 0;
    body_init(&body, IMAGE_MOST);
    assert_int_equal(body_add(&body, (struct bytes){(const uint8_t *)"{\"image\":\"", 10}, &err),
                     PROBLEM_NONE);
    while (given < 2 * IMAGE_MOST && body_add(&body, piece, &err) == PROBLEM_NONE)
        given += piece.size;
    assert_in_range(given, IMAGE_MOST / 3 * 4 - 8, IMAGE_MOST / 3 * 4 + BODY_CHUNK);
    assert_int_equal(body.problem, PROBLEM_IMAGE_TOO_LARGE);
    assert_int_equal(body.image.capacity, body_bytes_most(IMAGE_MOST) - (64 << 10));
    body_release(&body);
    body_init(&body, IMAGE_MOST);
    given = 0;
    while (given < 1 << 20 && body_add(&body, piece, &err) == PROBLEM_NONE)
        given += piece.size;
    assert_int_equal(body.problem, PROBLEM_BODY_TOO_LARGE);
    assert_in_range(given, 60000, 66000);
    assert_int_equal(body.rest.capacity, 64 << 10);
    body_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),    cmocka_unit_test(test_only_an_image),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_limit_of_the_image),
        cmocka_unit_test(test_padding_inside), cmocka_unit_test(test_refused_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
