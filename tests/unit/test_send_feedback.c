// test_send_feedback.c: rows of a table become feedback records, or are refused with their line and field.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "producer/send_feedback.h"

#define ID      "0d4fae1c-7dec-41d0-a765-00a0c91e6bf6"
#define REQUEST "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
#define NOW     INT64_C(1795420685370)

static void parse(struct csv *csv, const char *text)
{
    struct error err = {""};
    if (csv_parse((struct bytes){(const uint8_t *)text, strlen(text)}, csv, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void test_row(void **state)
{
    (void)state;
    struct csv csv;
    struct feedback feedback;
    struct error err = {""};
    parse(&csv, "label,feedback_id,reviewed_at,certainty,request_id,lesion_id,atypical,supersedes\n"
                "MEL," ID ",2026-11-23T13:45:10Z,consensus," REQUEST ",\"L, 1\",1,\n"
                "OTHER," ID ",1795420685370,clinician," REQUEST ",,false,\n");
    assert_int_equal(feedback_columns_check(&csv, &err), STATUS_OK);
    if (feedback_of_row(&csv, 0, 1795441510000, &feedback, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(feedback.feedback_id, ID);
    assert_int_equal(feedback.label, LESION_MEL);
    assert_int_equal(feedback.certainty, CERTAINTY_CONSENSUS);
    assert_true(feedback.reviewed_at == 1795441510000); // date -u -d 2026-11-23T13:45:10Z +%s
    assert_string_equal(feedback.lesion_id, "L, 1");
    assert_int_equal(feedback.atypical, 1);
    assert_string_equal(feedback.supersedes, "");
    assert_int_equal(feedback_of_row(&csv, 1, NOW, &feedback, &err), STATUS_OK);
    assert_true(feedback.reviewed_at == NOW);
    assert_int_equal(feedback.label, FEEDBACK_OTHER);
    assert_int_equal(feedback.atypical, 0);
    assert_string_equal(feedback.lesion_id, "");
    csv_release(&csv);
}

static void test_refused_rows(void **state)
{
    (void)state;
    static const struct {
        const char *row, *sentence;
    } rows[] = {
        {"17," REQUEST ",MEL,consensus,2026-11-23,", "line 2: field 'feedback_id' must be a UUID"},
        {ID ",,MEL,consensus,2026-11-23,", "line 2: one of the fields 'request_id' and 'image_sha256'"},
        {ID "," REQUEST ",melanoma,consensus,2026-11-23,", "line 2: field 'label' must be"},
        {ID "," REQUEST ",,consensus,2026-11-23,", "line 2: field 'label' is missing"},
        {ID "," REQUEST ",MEL,sure,2026-11-23,", "line 2: field 'certainty' must be"},
        {ID "," REQUEST ",MEL,consensus,yesterday,", "line 2: field 'reviewed_at': "},
        {ID "," REQUEST ",MEL,consensus,2026-11-24,", "line 2: field 'reviewed_at' lies in the future"},
        {ID "," REQUEST ",MEL,consensus,2026-11-23,yes", "line 2: field 'atypical' must be true or false"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        struct csv csv;
        struct feedback feedback;
        struct error err = {""};
        snprintf(text, sizeof text, "feedback_id,request_id,label,certainty,reviewed_at,atypical\n%s\n",
                 rows[i].row);
        parse(&csv, text);
        enum status status = feedback_of_row(&csv, 0, NOW, &feedback, &err);
        if (status != STATUS_REJECTED || !strstr(err.message, rows[i].sentence))
            fail_msg("%s gave %d '%s', not '%s'", rows[i].row, (int)status, err.message, rows[i].sentence);
        csv_release(&csv);
    }
}

static void test_columns(void **state)
{
    (void)state;
    struct csv csv;
    struct feedback feedback;
    struct error err = {""};
    parse(&csv, "feedback_id,patient_name\n" ID ",x\n");
    assert_int_equal(feedback_columns_check(&csv, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "no field for the column 'patient_name'"));
    csv_release(&csv);
    parse(&csv, "schema,feedback_id\nskinsight.feedback.v2," ID "\n");
    assert_int_equal(feedback_columns_check(&csv, &err), STATUS_OK);
    assert_int_equal(feedback_of_row(&csv, 0, NOW, &feedback, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "'schema'"));
    csv_release(&csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row),
        cmocka_unit_test(test_refused_rows),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
