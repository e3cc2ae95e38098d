// test_prediction.c: the terminal record, written and read. The records in tests/fuzz/corpus/fuzz_answer are
// written by hand from docs/FORMATS.md; test_contracts.py holds them against the schema.
#include "common/records/prediction.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"

static const char every_field[] = TEST_SOURCE_DIR "/tests/fuzz/corpus/fuzz_answer/every_field.json";
static const char error_record[] =
    TEST_SOURCE_DIR "/tests/fuzz/corpus/fuzz_answer/error_without_request.json";

static void load(const char *path, struct buffer *text)
{
    struct error err;
    buffer_init(text, 1 << 20);
    assert_int_equal(file_read(path, text, &err), STATUS_OK);
}

static void test_every_field_is_read(void **state)
{
    (void)state;
    struct buffer text;
    struct prediction record;
    struct error err;
    load(every_field, &text);
    if (prediction_parse(buffer_bytes(&text), &record, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(record.request_id, "24d11e45-fe27-4a8e-93da-a18f488a3502");
    assert_null(record.error.code);
    const struct prediction_result *result = &record.result;
    assert_string_equal(result->primary_diagnosis, "melanoma");
    assert_true(result->confidence == 0.375f && result->differential[7].probability == 0.03125f);
    assert_string_equal(result->differential[7].class, "squamous_cell_carcinoma");
    assert_int_equal(result->risk_score, 53);
    assert_string_equal(result->recommended_action, "urgent_referral");
    assert_int_equal(result->abstained, 1);
    assert_int_equal(result->abstain_reasons.count, 1);
    assert_string_equal(result->abstain_reasons.names[0], "low_confidence");
    assert_int_equal(result->review.within_h, 48);
    assert_int_equal(result->review.reasons.count, 2);
    assert_string_equal(result->review.reasons.names[1], "abstained");
    assert_string_equal(result->attention_map_url, "s3://maps/attention/a.png");
    assert_null(result->attention_map_error);
    assert_int_equal(record.model_info.trained, 1);
    assert_int_equal(record.model_info.inference_time_ms, 12);
    assert_string_equal(record.context.site, "St.Anna_2-b");
    assert_string_equal(record.context.lesion_location, "upper_back");
    assert_int_equal(record.context.dermatoscope_attached, 1);
    assert_int_equal(record.context.fitzpatrick_type, 3);
    assert_int_equal(record.context.age_decade, 50);
    assert_string_equal(record.regulatory.fda_clearance, "none");
    const struct prediction_provenance *provenance = &record.provenance;
    assert_int_equal(provenance->source.partition, 3);
    assert_int_equal(provenance->source.offset, 4711);
    assert_int_equal(strlen(provenance->model_sha256), 64);
    assert_true(provenance->logits[0] == 0.236f && provenance->logits[7] == 100);
    assert_true(provenance->ood.energy == -100.5f && isnan(provenance->ood.distance));
    assert_true(provenance->features.histogram_b[15] == 0.0625f);
    assert_int_equal(provenance->batch.size, 8);
    assert_int_equal(provenance->attempt, 2);
    assert_int_equal(provenance->replayed, 1);
    assert_int_equal(provenance->cache_hit, 0);
    assert_int_equal(provenance->submitted, 1795420685370);
    assert_int_equal(provenance->moments[MOMENT_PUBLISHED], 1795420685377);
    prediction_release(&record);
    buffer_release(&text);
}

// Written again, what was read has the same bytes: no field is lost or changed on either way.
static void check_bytes_again(const char *path)
{
    struct buffer text, again;
    struct prediction record;
    struct error err;
    load(path, &text);
    buffer_init(&again, 1 << 20);
    if (prediction_parse(buffer_bytes(&text), &record, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    assert_int_equal(prediction_write(&record, &again, &err), STATUS_OK);
    prediction_release(&record);
    if (!bytes_equal(buffer_bytes(&text), buffer_bytes(&again)))
        fail_msg("%.*s\ninstead of\n%.*s", (int)again.size, (const char *)again.data, (int)text.size,
                 (const char *)text.data);
    buffer_release(&text);
    buffer_release(&again);
}

static void test_reading_and_writing_are_each_others_inverse(void **state)
{
    (void)state;
    check_bytes_again(every_field);
    check_bytes_again(error_record);
}

static void test_what_an_error_lacks_is_absent(void **state)
{
    (void)state;
    struct buffer text;
    struct prediction record;
    struct error err;
    load(error_record, &text);
    assert_int_equal(prediction_parse(buffer_bytes(&text), &record, &err), STATUS_OK);
    assert_null(record.request_id);
    assert_string_equal(record.error.code, "image_undecodable");
    assert_null(record.result.primary_diagnosis);
    assert_true(isnan(record.result.confidence) && isnan(record.provenance.temperature));
    assert_int_equal(record.result.abstained, -1);
    assert_int_equal(record.result.abstain_reasons.count, -1);
    assert_int_equal(record.result.review.within_h, -1);
    assert_string_equal(record.provenance.model_version, "vit-tiny-v0.1.0");
    assert_null(record.model_info.model_version);
    assert_null(record.context.subject);
    assert_int_equal(record.context.fitzpatrick_type, -1);
    assert_int_equal(record.context.age_decade, 90);
    assert_string_equal(record.provenance.image_sha256, "");
    assert_int_equal(record.provenance.image_bytes, -1);
    assert_int_equal(record.provenance.moments[MOMENT_INFERRED], -1);
    prediction_release(&record);
    buffer_release(&text);
}

// The record of every field with the first occurrence of from replaced.
static enum status parse_changed(const char *from, const char *to, struct error *err)
{
    struct buffer text;
    struct prediction record;
    load(every_field, &text);
    char *whole = memory_format("%.*s", (int)text.size, (const char *)text.data);
    char *at = strstr(whole, from);
    if (!at)
        fail_msg("%s does not stand in the record", from);
    char *changed = memory_format("%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    struct bytes bytes = {(const uint8_t *)changed, strlen(changed)};
    enum status status = prediction_parse(bytes, &record, err);
    if (status == STATUS_OK)
        prediction_release(&record);
    free(changed);
    free(whole);
    buffer_release(&text);
    return status;
}

static void test_a_field_of_another_kind_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"skinsight.prediction.v1", "skinsight.prediction.v2"},
        {"\"24d11e45-fe27-4a8e-93da-a18f488a3502\"", "\"24d11e45\""},
        {"\"request_id\":", "\"other\":"},
        {"\"confidence\":0.375", "\"confidence\":1.5"},
        {"\"confidence\":0.375", "\"confidence\":null"},
        {"\"risk_score\":53", "\"risk_score\":53.5"},
        {"\"risk_score\":53", "\"risk_score\":101"},
        {"\"abstained\":true", "\"abstained\":1"},
        {"[\"low_confidence\"]", "\"low_confidence\""},
        {"\"within_h\":48", "\"within_h\":0"},
        {"\"within_h\":48,", ""},
        {"[\"low_confidence\",\"abstained\"]", "null"},
        {"[\"low_confidence\"]", "[\"a\",\"b\",\"c\",\"d\"]"},
        {"\"probability\":0.25", "\"probability\":-0.25"},
        {"{\"class\":\"melanoma\",", "{\"class\":\"melanoma\",\"probability\":1},{\"class\":\"x\","}, // nine
        {"\"attention_map_sha256\":\"", "\"attention_map_sha256\":\"0"},
        {"\"trained\":true", "\"trained\":\"yes\""},
        {"\"fitzpatrick_type\":3", "\"fitzpatrick_type\":7"},
        {"\"age_decade\":50", "\"age_decade\":91"},
        {"\"site\":\"St.Anna_2-b\"", "\"site\":7"},
        {"\"partition\":3", "\"partition\":-3"},
        {"\"offset\":4711", "\"offset\":9007199254740992"},
        {"\"logits\":[0.236000001,", "\"logits\":["},
        {"\"logits\":[0.236000001,", "\"logits\":[1e39,"},
        {"\"distance\":null", "\"distance\":\"far\""},
        {"\"quantile\":null", "\"quantile\":1.01"},
        {"\"features\":{", "\"features\":[],\"other\":{"},
        {"\"consumed\":1795420685371", "\"consumed\":\"today\""},
        {"\"model_info\":{", "\"error\":{\"code\":\"internal\"},\"model_info\":{"}, // both
        {"\"prediction\":{", "\"other\":{"},                                        // neither
        {"\"prediction\":{", "\"error\":{\"code\":\"\"},\"other\":{"},
        {"\"attempt\":2", "\"attempt\":2,\"attempt\":3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {""};
        if (parse_changed(cases[i][0], cases[i][1], &err) != STATUS_REJECTED)
            fail_msg("taken: %s", cases[i][1]);
        assert_true(err.message[0] != '\0');
    }
}

// A name that a sender chose stands in no sentence.
static void test_repeated_names(void **state)
{
    (void)state;
    struct error err;
    (void)parse_changed("\"attempt\":2", "\"attempt\":2,\"attempt\":3", &err);
    assert_string_equal(err.message, "its field 'attempt' stands there twice");
    (void)parse_changed("\"attempt\":2", "\"attempt\":2,\"Jo Doe\":3,\"Jo Doe\":3", &err);
    assert_string_equal(err.message, "a field that is none of its own stands there twice");
}

static void test_fields_of_later_builds_are_passed_over(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(parse_changed("\"context\":{", "\"later\":[{}],\"context\":{\"later\":1,", &err),
                     STATUS_OK);
    assert_int_equal(parse_changed("urgent_referral", "another_action", &err), STATUS_OK);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    struct buffer text;
    load(every_field, &text);
    for (size_t size = 0; size < text.size; size++) {
        struct prediction record;
        struct error err;
        uint8_t *cut = memory_alloc(size + 1); // a read past the end is found by the sanitizer
        memcpy(cut, text.data, size);
        assert_int_equal(prediction_parse((struct bytes){cut, size}, &record, &err), STATUS_REJECTED);
        free(cut);
    }
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_read),
        cmocka_unit_test(test_reading_and_writing_are_each_others_inverse),
        cmocka_unit_test(test_what_an_error_lacks_is_absent),
        cmocka_unit_test(test_repeated_names),
        cmocka_unit_test(test_a_field_of_another_kind_is_refused),
        cmocka_unit_test(test_fields_of_later_builds_are_passed_over),
        cmocka_unit_test(test_every_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
