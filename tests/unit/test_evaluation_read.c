// test_evaluation_read.c: an evaluation's report as it is read back. The seed in tests/fuzz/corpus was
// written by tests/support/synthetic_evaluation.py, not by us.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "trainer/evaluate.h"

static const char seed[] = TEST_SOURCE_DIR "/tests/fuzz/corpus/fuzz_evaluation/report.json";

// Written again, what was read has the same bytes: no field is lost or changed on either way.
static void a_report_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct evaluation evaluation;
    struct buffer json, copy;
    struct error err = {""};
    buffer_init(&json, 1 << 20);
    buffer_init(&copy, 1 << 20);
    assert_int_equal(file_read(seed, &json, &err), STATUS_OK);
    if (evaluation_read_json(buffer_bytes(&json), &evaluation, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(evaluation.part, PART_TEST);
    assert_string_equal(evaluation.subgroups[0].by, "age");
    assert_int_equal(evaluation_write_json(&evaluation, &copy, &err), STATUS_OK);
    if (!bytes_equal(buffer_bytes(&json), buffer_bytes(&copy)))
        fail_msg("%.*s\ninstead of\n%.*s", (int)copy.size, (char *)copy.data, (int)json.size,
                 (char *)json.data);
    evaluation_release(&evaluation);
    buffer_release(&json);
    buffer_release(&copy);
}

// The seed with the first occurrence of from replaced.
static enum status read_changed(const char *from, const char *to, struct error *err)
{
    struct buffer text;
    struct evaluation evaluation;
    buffer_init(&text, 1 << 20);
    assert_int_equal(file_read(seed, &text, err), STATUS_OK);
    char *whole = memory_format("%.*s", (int)text.size, (const char *)text.data);
    char *at = strstr(whole, from);
    if (!at)
        fail_msg("%s does not stand in the report", from);
    char *changed = memory_format("%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    struct bytes bytes = {(const uint8_t *)changed, strlen(changed)};
    enum status status = evaluation_read_json(bytes, &evaluation, err);
    evaluation_release(&evaluation);
    buffer_release(&text);
    free(changed);
    free(whole);
    return status;
}

static void reports_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"evaluation.v1", "evaluation.v2", "its schema"},
        {"\"part\":\"test\"", "\"part\":\"all\"", "'part'"},
        {"\"images\":", "\"images\":-", "'images'"},
        {"\"images\":", "\"images\":0.5", "'images'"},
        {"\"trained\":true", "\"trained\":1", "'trained'"},
        {"\"weights_sha256\":\"", "\"weights_sha256\":\"x", "'weights_sha256'"},
        {"\"model_version\":\"",
         "\"model_version\":\"0123456789012345678901234567890123456789012345678901234567890123456789",
         "'model_version'"},
        {"\"accuracy\":{\"estimate\":", "\"accuracy\":{\"estimate\":1", "'estimate'"},
        {"\"accuracy\":{\"estimate\":", "\"accuracy\":{\"other\":", "'estimate'"},
        {"\"low\":0.", "\"low\":1.0,\"other\":0.", "'accuracy'"},
        {"\"method\":\"", "\"method\":7,\"other\":\"", "'method'"},
        {"\"brier\":", "\"brier\":2.5,\"other\":", "'brier'"},
        {"\"nll\":", "\"nll\":\"x\",\"other\":", "'nll'"},
        {"\"chosen_on\":\"validation\"", "\"chosen_on\":\"test\"", "'chosen_on'"},
        {"\"class\":\"NV\"", "\"class\":\"MEL\"", "'class'"},
        {"\"class\":\"NV\"", "\"class\":\"XX\"", "'class'"},
        {"\"confusion\":[", "\"confusion\":[7,", "'confusion'"},
        {"\"confusion\":[[", "\"confusion\":[[7,", "'confusion'"},
        {"\"bins\":[", "\"bins\":[7,", "'low'"},
        {"\"bins\":[", "\"bins\":{},\"other\":[", "'bins'"},
        {"\"by\":\"", "\"by\":null,\"other\":\"", "'by'"},
        {"\"atypical\":", "\"other\":", "'atypical'"},
        {"\"truth\":\"", "\"truth\":\"x", "'truth'"},
        {"\"errors\":{", "\"errors\":{\"high\":1,", "'high' stands there twice"},
        {"{", "", "JSON"},
    };
    struct error err = {""};
    assert_int_equal(read_changed("{", "{", &err), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_changed(cases[i][0], cases[i][1], &err) != STATUS_REJECTED ||
            !strstr(err.message, cases[i][2]))
            fail_msg("%s: '%s', not '%s'", cases[i][1], err.message, cases[i][2]);
    }
}

static void files_are_refused(void **state)
{
    (void)state;
    struct evaluation evaluation;
    struct error err = {""};
    assert_int_equal(evaluation_read_file(TEST_SOURCE_DIR "/none.json", &evaluation, &err), STATUS_FATAL);
    evaluation_release(&evaluation);
    assert_int_equal(evaluation_read_file(TEST_SOURCE_DIR "/docs/schemas/job.json", &evaluation, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "job.json: its schema is not"));
    evaluation_release(&evaluation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_read_as_it_was_written),
        cmocka_unit_test(reports_are_refused),
        cmocka_unit_test(files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
