// test_feedback.c: feedback records are read strictly, and written so that reading gives the same again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/records/feedback.h"

#define ID              "0d4fae1c-7dec-41d0-a765-00a0c91e6bf6"
#define REQUEST         "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
#define SHA             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define NOW             INT64_C(1795420685370)
#define SCHEMA          "\"schema\":\"skinsight.feedback.v1\""
#define FIELD_ID        ",\"feedback_id\":\"" ID "\""
#define FIELD_REQUEST   ",\"request_id\":\"" REQUEST "\""
#define FIELD_LABEL     ",\"label\":\"MEL\""
#define FIELD_CERTAINTY ",\"certainty\":\"consensus\""
#define FIELD_TIME      ",\"reviewed_at\":1795420685370"
#define GOOD            "{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY FIELD_TIME

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void expect_refused(const char *text, const char *sentence)
{
    struct feedback feedback;
    struct error err = {""};
    enum status status = feedback_parse(bytes_of(text), NOW, &feedback, &err);
    if (status != STATUS_REJECTED || !strstr(err.message, sentence))
        fail_msg("%s\ngave %d '%s', not '%s'", text, (int)status, err.message, sentence);
}

static void expect_taken(const char *text, struct feedback *feedback)
{
    struct error err = {""};
    if (feedback_parse(bytes_of(text), NOW, feedback, &err) != STATUS_OK)
        fail_msg("%s\nwas refused: %s", text, err.message);
}

// The seeds of the fuzz target, which the JSON Schema is checked against too.
static void read_seed(const char *name, struct buffer *text)
{
    char path[512];
    struct error err;
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/fuzz_feedback/%s.json", TEST_SOURCE_DIR, name);
    buffer_init(text, 4096);
    assert_int_equal(file_read(path, text, &err), STATUS_OK);
}

static void test_every_field(void **state)
{
    (void)state;
    struct buffer text;
    struct feedback feedback;
    struct error err;
    read_seed("every_field", &text);
    assert_int_equal(feedback_parse(buffer_bytes(&text), NOW, &feedback, &err), STATUS_OK);
    assert_string_equal(feedback.feedback_id, ID);
    assert_string_equal(feedback.request_id, REQUEST);
    assert_string_equal(feedback.image_sha256, SHA);
    assert_int_equal(feedback.label, LESION_MEL);
    assert_int_equal(feedback.certainty, CERTAINTY_HISTOPATHOLOGY);
    assert_string_equal(feedback.reviewed_by, "reader-7 \xc3\xa9");
    assert_true(feedback.reviewed_at == NOW);
    assert_string_equal(feedback.lesion_id, "HAM_0000118");
    assert_string_equal(feedback.subject, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    assert_int_equal(feedback.atypical, 1);
    assert_string_equal(feedback.supersedes, "11111111-2222-4333-8444-555555555555");
    assert_string_equal(feedback_key(&feedback), REQUEST);
    buffer_release(&text);
}

static void test_least(void **state)
{
    (void)state;
    struct buffer text;
    struct feedback feedback;
    struct error err;
    read_seed("least", &text);
    assert_int_equal(feedback_parse(buffer_bytes(&text), NOW, &feedback, &err), STATUS_OK);
    assert_string_equal(feedback.request_id, "");
    assert_int_equal(feedback.label, FEEDBACK_UNGRADABLE);
    assert_int_equal(feedback.certainty, CERTAINTY_CLINICIAN);
    assert_true(feedback.reviewed_at == 0);
    assert_int_equal(feedback.atypical, -1);
    assert_string_equal(feedback.supersedes, "");
    assert_string_equal(feedback_key(&feedback), SHA);
    buffer_release(&text);
}

static void test_each_needed_field(void **state)
{
    (void)state;
    expect_refused("{\"a\":1" FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY FIELD_TIME "}", "'schema'");
    expect_refused("{" SCHEMA FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY FIELD_TIME "}",
                   "field 'feedback_id' is missing");
    expect_refused("{" SCHEMA FIELD_ID FIELD_LABEL FIELD_CERTAINTY FIELD_TIME "}",
                   "one of the fields 'request_id' and 'image_sha256' is needed");
    expect_refused("{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_CERTAINTY FIELD_TIME "}",
                   "field 'label' is missing");
    expect_refused("{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_TIME "}",
                   "field 'certainty' is missing");
    expect_refused("{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY "}",
                   "field 'reviewed_at' is missing");
}

// Of each field a value of another type and one outside its rule; the sentence holds no value.
static void test_wrong_values(void **state)
{
    (void)state;
    static const struct {
        const char *field, *value;
    } wrong[] = {
        {"image_sha256", "7"},
        {"image_sha256", "\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\""},
        {"image_sha256", "\"" SHA "0\""},
        {"image_sha256", "\"\""},
        {"reviewed_by", "null"},
        {"reviewed_by", "\"\""},
        {"reviewed_by", "\"a\\u0009b\""},
        {"reviewed_by", "\"a\\u009fb\""},
        {"reviewed_by", "\"a\\u007fb\""},
        {"reviewed_by", "\"12345678901234567890123456789012345678901234567890123456789012345\""},
        {"lesion_id", "12"},
        {"lesion_id", "\"a\\nb\""},
        {"subject", "\"patient-17\""},
        {"subject", "[]"},
        {"atypical", "1"},
        {"atypical", "\"true\""},
        {"supersedes", "\"" SHA "\""},
        {"supersedes", "{}"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[1024], sentence[64];
        snprintf(text, sizeof text, GOOD ",\"%s\":%s}", wrong[i].field, wrong[i].value);
        snprintf(sentence, sizeof sentence, "field '%s' must be ", wrong[i].field);
        expect_refused(text, sentence);
    }
}

static void test_wrong_needed_values(void **state)
{
    (void)state;
    expect_refused(
        "{\"schema\":\"skinsight.feedback.v2\"" FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY FIELD_TIME
        "}",
        "'schema'");
    expect_refused("{" SCHEMA ",\"feedback_id\":\"17\"" FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY FIELD_TIME
                   "}",
                   "'feedback_id' must be");
    expect_refused("{" SCHEMA FIELD_ID ",\"request_id\":5" FIELD_LABEL FIELD_CERTAINTY FIELD_TIME "}",
                   "'request_id' must be");
    static const char *const labels[] = {"\"melanoma\"", "\"mel\"", "\"\"", "0", "null", "\"MEL \""};
    static const char *const certainties[] = {"\"guess\"", "\"Consensus\"", "1", "\"\""};
    static const char *const times[] = {"-1",   "1.5", "9007199254740992", "\"2026-11-30\"", "1e300",
                                        "null", "[1]"};
    char text[1024];
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        snprintf(text, sizeof text,
                 "{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_CERTAINTY FIELD_TIME ",\"label\":%s}", labels[i]);
        expect_refused(text, "field 'label' must be one of the eight codes, OTHER or UNGRADABLE");
    }
    for (size_t i = 0; i < sizeof certainties / sizeof *certainties; i++) {
        snprintf(text, sizeof text,
                 "{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_TIME ",\"certainty\":%s}",
                 certainties[i]);
        expect_refused(text, "field 'certainty' must be ");
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        snprintf(text, sizeof text,
                 "{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY ",\"reviewed_at\":%s}",
                 times[i]);
        expect_refused(text, "field 'reviewed_at' must be ");
    }
}

static void test_what_is_no_record(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "7", "null", "[]", "\"x\"", "{", GOOD, GOOD "} x", GOOD ",}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_refused(texts[i], "");
    expect_refused(GOOD ",\"label\":\"NV\"}", "field 'label' stands there twice");
    expect_refused(GOOD ",\"Jo Doe\":1,\"Jo Doe\":2}",
                   "a field that is none of the record's stands there twice");
    expect_refused(GOOD ",\"supersedes\":\"0D4FAE1C-7DEC-41D0-A765-00A0C91E6BF6\"}",
                   "field 'supersedes' names the record itself");
}

// Five minutes are a clock that is ahead, more is the future.
static void test_the_future(void **state)
{
    (void)state;
    struct feedback feedback;
    char text[1024];
    const char *format =
        "{" SCHEMA FIELD_ID FIELD_REQUEST FIELD_LABEL FIELD_CERTAINTY ",\"reviewed_at\":%lld}";
    snprintf(text, sizeof text, format, (long long)NOW + 300000);
    expect_taken(text, &feedback);
    snprintf(text, sizeof text, format, (long long)NOW + 300001);
    expect_refused(text, "field 'reviewed_at' lies in the future");
}

static void test_names(void **state)
{
    (void)state;
    struct feedback feedback;
    char name[4 * 65 + 1] = "", text[2048];
    assert_int_equal(sizeof lesion_codes / sizeof *lesion_codes, LESION_CLASSES);
    for (int i = 0; i < LESION_CLASSES; i++)
        assert_string_equal(feedback_label_names[i], lesion_codes[i]);
    for (int i = 0; i < 64; i++)
        strcat(name, "\xf0\x9f\x98\x80"); // four bytes each
    snprintf(text, sizeof text, GOOD ",\"reviewed_by\":\"%s\"}", name);
    expect_taken(text, &feedback);
    assert_string_equal(feedback.reviewed_by, name);
    strcat(name, "\xf0\x9f\x98\x80");
    snprintf(text, sizeof text, GOOD ",\"reviewed_by\":\"%s\"}", name);
    expect_refused(text, "field 'reviewed_by' must be 1 to 64 characters");
}

static void expect_unwritable(const struct feedback *feedback, const char *sentence)
{
    struct buffer out;
    struct error err = {""};
    buffer_init(&out, 4096);
    assert_int_equal(feedback_write(feedback, &out, &err), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s', not '%s'", err.message, sentence);
    assert_int_equal(out.size, 0);
    buffer_release(&out);
}

static void test_written_and_read(void **state)
{
    (void)state;
    struct feedback feedback, again;
    struct buffer text, out;
    struct error err;
    read_seed("every_field", &text);
    assert_int_equal(feedback_parse(buffer_bytes(&text), NOW, &feedback, &err), STATUS_OK);
    buffer_init(&out, 4096);
    assert_int_equal(feedback_write(&feedback, &out, &err), STATUS_OK);
    assert_int_equal(feedback_parse(buffer_bytes(&out), NOW, &again, &err), STATUS_OK);
    assert_memory_equal(&again, &feedback, sizeof feedback);
    buffer_release(&text);
    buffer_release(&out);
}

static void test_what_is_not_written(void **state)
{
    (void)state;
    struct feedback good, feedback;
    expect_taken(GOOD "}", &good);
    feedback = good;
    strcpy(feedback.supersedes, ID);
    expect_unwritable(&feedback, "'supersedes' names the record itself");
    feedback = good;
    feedback.label = FEEDBACK_LABELS;
    expect_unwritable(&feedback, "'label' must be");
    feedback = good;
    feedback.certainty = -1;
    expect_unwritable(&feedback, "'certainty' must be");
    feedback = good;
    feedback.request_id[0] = '\0';
    expect_unwritable(&feedback, "one of the fields");
    feedback = good;
    strcpy(feedback.feedback_id, "0D4FAE1C-7dec-41d0-a765-00a0c91e6bf6");
    expect_unwritable(&feedback, "'feedback_id' must be");
    feedback = good;
    strcpy(feedback.lesion_id, "a\xff");
    expect_unwritable(&feedback, "'lesion_id' must be");
    feedback = good;
    feedback.reviewed_at = -7;
    expect_unwritable(&feedback, "'reviewed_at' must be");
    feedback = good;
    feedback.atypical = 2;
    expect_unwritable(&feedback, "'atypical' must be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),         cmocka_unit_test(test_least),
        cmocka_unit_test(test_each_needed_field),   cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_wrong_needed_values), cmocka_unit_test(test_what_is_no_record),
        cmocka_unit_test(test_the_future),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_written_and_read),    cmocka_unit_test(test_what_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
