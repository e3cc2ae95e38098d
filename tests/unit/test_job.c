// test_job.c: job records are read strictly; test_job_write.c has what concerns writing.
// The example of W3C Trace Context and the UUID of RFC 4122 come from those documents.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/parsed_job.h"

#define ID   "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
#define SHA  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEAD "{\"schema\":\"skinsight.job.v1\",\"request_id\":\"" ID "\""
#define IMG  ",\"image\":\"/9j/\""

enum { IMAGE_MOST = 3000 };

static void expect(const char *text, enum job_code code, const char *word)
{
    struct parsed parsed;
    parse_bytes(&parsed, IMAGE_MOST, text, strlen(text));
    if (parsed.code != code || !strstr(parsed.err.message, word))
        fail_msg("%.200s\ngave %s, expected %s naming '%s': %s", text, job_code_name(parsed.code),
                 job_code_name(code), word, parsed.err.message);
    free(parsed.image);
}

static void test_full_record(void **state)
{
    (void)state;
    static const char text[] =
        " {\"unknown\": [1, {\"image\": null}], \"schema\": \"skinsight.job.v1\",\r\n"
        "\"request_id\": \"F81D4FAE-7dec-11d0-a765-00a0c91e6bf6\", \"model_version\": \"vit-base-v2.1.0\","
        "\"image\": \"/9j/4AA\", \"image_sha256\": \"" SHA "\","
        "\"metadata\": {\"patient_age\": 54, \"lesion_location\": \"upper_back\", \"fitzpatrick_type\": 3,"
        "\"capture_device\": \"iphone_15_pro\", \"dermatoscope_attached\": true, \"other\": \"x y\"},"
        "\"submitted_at\": 1795420685370, \"deadline_at\": 1.79542069537e12,"
        "\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}\n";
    static const uint8_t image[] = {0xff, 0xd8, 0xff, 0xe0, 0x00};
    struct parsed parsed;
    parse_bytes(&parsed, IMAGE_MOST, text, sizeof text - 1);
    if (parsed.code != JOB_OK)
        fail_msg("%s", parsed.err.message);
    const struct job_record *record = &parsed.record;
    assert_string_equal(record->request_id, ID);
    assert_string_equal(record->model_version, "vit-base-v2.1.0");
    assert_int_equal(record->image.size, sizeof image);
    assert_memory_equal(record->image.data, image, sizeof image);
    struct digest digest = digest_of("abc", 3);
    assert_true(record->has_image_sha256 && digest_equal(&record->image_sha256, &digest));
    assert_int_equal(record->metadata.patient_age, 54);
    assert_int_equal(record->metadata.fitzpatrick_type, 3);
    assert_int_equal(record->metadata.dermatoscope_attached, 1);
    assert_string_equal(record->metadata.lesion_location, "upper_back");
    assert_string_equal(record->metadata.capture_device, "iphone_15_pro");
    assert_true(record->submitted_at == 1795420685370 && record->deadline_at == 1795420695370);
    assert_string_equal(record->traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    free(parsed.image);
}

static void test_least_record(void **state)
{
    (void)state;
    struct parsed parsed;
    const char *text = HEAD ",\"image_uri\":\"s3://bucket/images/a.jpg\",\"image_sha256\":\"" SHA "\"}";
    parse_bytes(&parsed, IMAGE_MOST, text, strlen(text));
    assert_int_equal(parsed.code, JOB_OK);
    assert_int_equal(parsed.record.image.size, 0);
    assert_string_equal(parsed.record.image_uri, "s3://bucket/images/a.jpg");
    assert_true(parsed.record.submitted_at == -1 && parsed.record.deadline_at == -1);
    assert_int_equal(parsed.record.metadata.patient_age, -1);
    assert_int_equal(parsed.record.metadata.fitzpatrick_type, -1);
    assert_int_equal(parsed.record.metadata.dermatoscope_attached, -1);
    assert_string_equal(parsed.record.traceparent, "");
    free(parsed.image);
}

static void test_what_is_no_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "nul",
        "[1]",
        "\"text\"",
        "7",
        "null",
        HEAD IMG,
        HEAD IMG "}}",
        HEAD IMG "} x",
        HEAD IMG ",}",
        HEAD IMG ",\"a\":01}",
        HEAD IMG ",\"a\":1.}",
        HEAD IMG ",\"a\":.5}",
        HEAD IMG ",\"a\":+1}",
        HEAD IMG ",\"a\":1e}",
        HEAD IMG ",\"a\":NaN}",
        HEAD IMG ",\"a\":'b'}",
        HEAD IMG ",a:1}",
        HEAD IMG ",\"a\" 1}",
        HEAD IMG ",\"a\":[1,]}",
        HEAD IMG ",\"a\":[1}",
        HEAD IMG ",\"a\":\"\\x\"}",
        HEAD IMG ",\"a\":\"\\u12g4\"}",
        HEAD IMG ",\"a\":\"\\u0000\"}",
        HEAD IMG ",\"a\":\"\\ud800\"}",
        HEAD IMG ",\"a\":\"\\udc00\\ud800\"}",
        HEAD IMG ",\"a\":\"tab\there\"}",
        HEAD IMG ",\"a\":\"open}",
        HEAD IMG ",\"a\":\"\x80\"}",
        HEAD IMG ",\"a\":\"\xc0\xaf\"}",
        HEAD IMG ",\"a\":\"\xed\xa0\x80\"}",
        HEAD IMG ",\"a\":\"\xf4\x90\x80\x80\"}",
        HEAD IMG ",\"a\":\"\xe2\x82\"}",
        HEAD IMG ",\"a\":1}\x01",
        "\xef\xbb\xbf" HEAD IMG "}",
        HEAD IMG "/* no */}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(texts[i], JOB_INVALID_JSON, "");
    static const char with_nul[] = HEAD IMG "}\0";
    struct parsed parsed;
    parse_bytes(&parsed, IMAGE_MOST, with_nul, sizeof with_nul - 1);
    assert_int_equal(parsed.code, JOB_INVALID_JSON);
    free(parsed.image);
}

static void test_nesting_and_number_of_values_are_bounded(void **state)
{
    (void)state;
    char text[20000];
    int length = snprintf(text, sizeof text, HEAD IMG ",\"a\":");
    memset(text + length, '[', 31);
    memset(text + length + 31, ']', 31);
    strcpy(text + length + 62, "}");
    expect(text, JOB_OK, "");
    memset(text + length, '[', 5000);
    text[length + 5000] = '\0';
    expect(text, JOB_INVALID_JSON, "levels");
    size_t at = (size_t)length;
    text[at++] = '[';
    for (int i = 0; i < 5000; i++)
        at += (size_t)sprintf(text + at, "1,");
    strcpy(text + at, "1]}");
    expect(text, JOB_INVALID_JSON, "values");
}

static void test_good_unicode_passes(void **state)
{
    (void)state;
    expect(HEAD IMG
           ",\"a\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ud83d\\ude00 \\/ \\n\",\"b\":[-0.5E+3,{},[]]}",
           JOB_OK, "");
}

static void test_schema(void **state)
{
    (void)state;
    expect("{\"request_id\":\"" ID "\"" IMG "}", JOB_UNSUPPORTED_SCHEMA, "schema");
    expect("{\"schema\":\"skinsight.job.v2\",\"request_id\":\"" ID "\"" IMG "}", JOB_UNSUPPORTED_SCHEMA,
           "schema");
    expect("{\"schema\":1,\"request_id\":\"" ID "\"" IMG "}", JOB_UNSUPPORTED_SCHEMA, "schema");
    expect("{\"Schema\":\"skinsight.job.v1\",\"request_id\":\"" ID "\"" IMG "}", JOB_UNSUPPORTED_SCHEMA,
           "schema");
    expect("{}", JOB_UNSUPPORTED_SCHEMA, "schema");
}

// What follows the head of a record, and the word its sentence must hold.
static const struct {
    const char *rest;
    const char *word;
} bad_fields[] = {
    {"", "image"},
    {IMG ",\"image_uri\":\"file:///a\",\"image_sha256\":\"" SHA "\"}", "exactly one"},
    {",\"image_uri\":\"file:///a\"}", "image_sha256"},
    {",\"image\":7}", "'image'"},
    {",\"image\":null}", "'image'"},
    {",\"image\":[\"/9j/\"]}", "'image'"},
    {",\"image\":\"/9j\\n/\"}", "base64"},
    {",\"image\":\"/9j/=\"}", "base64"},
    {",\"image\":\"/9j_\"}", "base64"},
    {",\"image\":\"/9j/A\"}", "base64"},
    {",\"image\":\"/9h=\"}", "base64"},
    {",\"image_uri\":\"\",\"image_sha256\":\"" SHA "\"}", "image_uri"},
    {",\"image_uri\":\"file:///a b\",\"image_sha256\":\"" SHA "\"}", "image_uri"},
    {",\"image_uri\":7,\"image_sha256\":\"" SHA "\"}", "image_uri"},
    {",\"image_uri\":\"file:///a\",\"image_sha256\":\"ab\"}", "image_sha256"},
    {",\"image_uri\":\"file:///"
     "a\",\"image_sha256\":\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF"
     "61F20015AD\"}",
     "image_sha256"},
    {IMG ",\"model_version\":\"\"}", "model_version"},
    {IMG ",\"model_version\":\"a/b\"}", "model_version"},
    {IMG ",\"model_version\":null}", "model_version"},
    {IMG ",\"site\":\"\"}", "site"},
    {IMG ",\"site\":\"St. Anna\"}", "site"},
    {IMG ",\"site\":\"a\",\"site\":\"b\"}", "site"},
    {IMG ",\"subject\":\"patient-17\"}", "subject"},
    {IMG ",\"subject\":\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\"}", "subject"},
    {IMG ",\"subject\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0\"}", "subject"},
    {IMG ",\"model_version\":\"a123456789a123456789a123456789a123456789a123456789a123456789a1234\"}",
     "model_version"},
    {IMG ",\"submitted_at\":-1}", "submitted_at"},
    {IMG ",\"submitted_at\":1.5}", "submitted_at"},
    {IMG ",\"submitted_at\":\"1\"}", "submitted_at"},
    {IMG ",\"submitted_at\":1e999}", "submitted_at"},
    {IMG ",\"deadline_at\":9007199254740993}", "deadline_at"},
    {IMG ",\"deadline_at\":true}", "deadline_at"},
    {IMG ",\"traceparent\":\"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01\"}", "traceparent"},
    {IMG ",\"traceparent\":\"00-00000000000000000000000000000000-b7ad6b7169203331-01\"}", "traceparent"},
    {IMG ",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\"}", "traceparent"},
    {IMG ",\"traceparent\":\"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}", "traceparent"},
    {IMG ",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331\"}", "traceparent"},
    {IMG ",\"metadata\":[]}", "metadata"},
    {IMG ",\"metadata\":null}", "metadata"},
    {IMG ",\"metadata\":{\"patient_age\":131}}", "patient_age"},
    {IMG ",\"metadata\":{\"patient_age\":-1}}", "patient_age"},
    {IMG ",\"metadata\":{\"patient_age\":\"54\"}}", "patient_age"},
    {IMG ",\"metadata\":{\"patient_age\":54.5}}", "patient_age"},
    {IMG ",\"metadata\":{\"patient_age\":5,\"patient_age\":6}}", "patient_age"},
    {IMG ",\"metadata\":{\"fitzpatrick_type\":0}}", "fitzpatrick_type"},
    {IMG ",\"metadata\":{\"fitzpatrick_type\":7}}", "fitzpatrick_type"},
    {IMG ",\"metadata\":{\"lesion_location\":\"upper back\"}}", "lesion_location"},
    {IMG ",\"metadata\":{\"capture_device\":5}}", "capture_device"},
    {IMG ",\"metadata\":{\"dermatoscope_attached\":1}}", "dermatoscope_attached"},
    {IMG ",\"image\":\"/9j/\"}", "'image' stands there twice"},
    {IMG ",\"schema\":\"skinsight.job.v1\"}", "'schema' stands there twice"},
};

static void test_bad_fields_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_fields / sizeof *bad_fields; i++) {
        char text[2048];
        struct parsed parsed;
        snprintf(text, sizeof text, HEAD "%s", bad_fields[i].rest[0] ? bad_fields[i].rest : "}");
        expect(text, JOB_INVALID_FIELD, bad_fields[i].word);
        parse_bytes(&parsed, IMAGE_MOST, text, strlen(text));
        assert_string_equal(parsed.record.request_id, ID); // the answer can name the request
        free(parsed.image);
    }
}

static void test_sentences_hold_no_values(void **state)
{
    (void)state;
    static const char *const rests[] = {
        ",\"metadata\":{\"lesion_location\":\"secret value\"}}",
        ",\"metadata\":{\"patient_age\":424242}}",
        ",\"metadata\":{\"capture_device\":\"secret value",
    };
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        char text[512];
        struct parsed parsed;
        snprintf(text, sizeof text, HEAD IMG "%s", rests[i]);
        parse_bytes(&parsed, IMAGE_MOST, text, strlen(text));
        assert_int_not_equal(parsed.code, JOB_OK);
        assert_true(parsed.err.message[0]);
        assert_null(strstr(parsed.err.message, "secret"));
        assert_null(strstr(parsed.err.message, "4242"));
        free(parsed.image);
    }
}

static void test_request_id(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "7",
        "null",
        "\"\"",
        "\"f81d4fae7dec11d0a76500a0c91e6bf6\"",
        "\"f81d4fae-7dec-11d0-a765-00a0c91e6bf\"",
        "\"f81d4fae-7dec-11d0-a765-00a0c91e6bf66\"",
        "\"f81d4fae-7dec-11d0-a765-00a0c91e6bg6\"",
        "\"{f81d4fae-7dec-11d0-a765-00a0c91e6b}\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"schema\":\"skinsight.job.v1\",\"request_id\":%s" IMG "}", bad[i]);
        expect(text, JOB_INVALID_FIELD, "request_id");
    }
    expect("{\"schema\":\"skinsight.job.v1\"" IMG "}", JOB_INVALID_FIELD, "request_id");

    struct parsed parsed; // known even where nothing else is right
    const char *text = "{\"request_id\":\"" ID "\",\"schema\":\"other\"}";
    parse_bytes(&parsed, IMAGE_MOST, text, strlen(text));
    assert_int_equal(parsed.code, JOB_UNSUPPORTED_SCHEMA);
    assert_string_equal(parsed.record.request_id, ID);
    free(parsed.image);

    text = HEAD IMG ",\"request_id\":\"00000000-0000-0000-0000-000000000000\"}"; // which of the two?
    parse_bytes(&parsed, IMAGE_MOST, text, strlen(text));
    assert_int_equal(parsed.code, JOB_INVALID_FIELD);
    assert_string_equal(parsed.record.request_id, "");
    free(parsed.image);
}

static void test_new_request_ids(void **state)
{
    (void)state;
    char first[JOB_REQUEST_ID_SIZE];
    char second[JOB_REQUEST_ID_SIZE];
    job_request_id_new(first);
    job_request_id_new(second);
    assert_true(job_request_id_valid(first) && job_request_id_valid(second));
    assert_string_not_equal(first, second);
    assert_int_equal(first[14], '4');
    assert_non_null(strchr("89ab", first[19]));
}

static void test_request_ids_are_lower_case(void **state)
{
    (void)state;
    char id[JOB_REQUEST_ID_SIZE];
    struct bytes text = {(const uint8_t *)"24D11E45-fe27-4A8E-93da-A18F488A3502??", JOB_REQUEST_ID_SIZE - 1};
    job_request_id_read(text, id); // what follows is not its
    assert_string_equal(id, "24d11e45-fe27-4a8e-93da-a18f488a3502");
    for (size_t size = 0; size < 39; size++) {
        text.size = size;
        job_request_id_read(text, id);
        assert_int_equal(id[0] != '\0', size == JOB_REQUEST_ID_SIZE - 1);
    }
    job_request_id_read((struct bytes){(const uint8_t *)"24D11E45-fe27-4A8E-93da-A18F488A350\0", 36}, id);
    assert_string_equal(id, "");
}

// Builds a record whose inline image has size bytes, all 'x'.
static size_t with_image(char *text, size_t size)
{
    uint8_t *image = malloc(size ? size : 1);
    assert_non_null(image);
    memset(image, 'x', size);
    size_t length = (size_t)sprintf(text, HEAD ",\"image\":\"");
    base64_encode(image, size, text + length);
    length += base64_encoded_size(size);
    length += (size_t)sprintf(text + length, "\"}");
    free(image);
    return length;
}

static void test_image_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, IMAGE_MOST - 1, IMAGE_MOST, IMAGE_MOST + 1, 5 << 20, 13 << 20};
    char *text = malloc(20 << 20);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct parsed parsed;
        parse_bytes(&parsed, IMAGE_MOST, text, with_image(text, sizes[i]));
        enum job_code code = sizes[i] > IMAGE_MOST ? JOB_IMAGE_TOO_LARGE : JOB_OK;
        assert_int_equal(parsed.code, sizes[i] == 0 ? JOB_IMAGE_UNDECODABLE : code);
        if (parsed.code == JOB_OK)
            assert_int_equal(parsed.record.image.size, sizes[i]);
        bool readable = sizes[i] < 6 << 20; // beyond that not even the request id is looked for
        assert_string_equal(parsed.record.request_id, readable ? ID : "");
        free(parsed.image);
    }
    free(text);
}

static void test_metadata_alone(void **state)
{
    (void)state;
    struct job_metadata metadata;
    struct error err;
    const char *text = "{\"patient_age\": 0, \"dermatoscope_attached\": false}\n";
    assert_int_equal(job_metadata_parse((struct bytes){(const uint8_t *)text, strlen(text)}, &metadata, &err),
                     STATUS_OK);
    assert_int_equal(metadata.patient_age, 0);
    assert_int_equal(metadata.dermatoscope_attached, 0);
    assert_int_equal(metadata.fitzpatrick_type, -1);
    text = "{\"fitzpatrick_type\": 9}";
    assert_int_equal(job_metadata_parse((struct bytes){(const uint8_t *)text, strlen(text)}, &metadata, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "fitzpatrick_type"));
    text = "[]";
    assert_int_equal(job_metadata_parse((struct bytes){(const uint8_t *)text, strlen(text)}, &metadata, &err),
                     STATUS_REJECTED);
}

static void test_every_code_has_its_name(void **state)
{
    (void)state;
    for (int code = 0; code < JOB_CODE_COUNT; code++)
        assert_non_null(job_code_name((enum job_code)code));
    assert_string_equal(job_code_name(JOB_IMAGE_DIGEST_MISMATCH), "image_digest_mismatch");
    assert_string_equal(job_code_name(JOB_WORKER_KILLED), "worker_killed");
    assert_string_equal(job_code_name(JOB_RECORD_UNREADABLE), "record_unreadable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_record),
        cmocka_unit_test(test_least_record),
        cmocka_unit_test(test_what_is_no_json),
        cmocka_unit_test(test_nesting_and_number_of_values_are_bounded),
        cmocka_unit_test(test_good_unicode_passes),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_bad_fields_are_named),
        cmocka_unit_test(test_sentences_hold_no_values),
        cmocka_unit_test(test_request_id),
        cmocka_unit_test(test_new_request_ids),
        cmocka_unit_test(test_request_ids_are_lower_case),
        cmocka_unit_test(test_image_sizes),
        cmocka_unit_test(test_metadata_alone),
        cmocka_unit_test(test_every_code_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
