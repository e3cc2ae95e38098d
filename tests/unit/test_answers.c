// test_answers.c: terminal records from outside: which are read, which are refused, how they are printed, and
// how they find their job.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "common/base/memory.h"
#include "common/base/text.h"
#include "producer/answer.h"
#include "producer/report.h"
#include "tests/support/process.h"

#define ID     "8d8ac610-566d-4ef0-9c22-186b2a5ed793"
#define START  "{\"schema\":\"skinsight.prediction.v1\",\"request_id\":\"" ID "\","
#define SOURCE ",\"provenance\":{\"source\":{\"topic\":\"jobs\",\"partition\":3,\"offset\":4711}}"
#define PREDICTION                                                                                           \
    "\"prediction\":{\"primary_diagnosis\":\"melanoma\",\"confidence\":0.8712,\"differential\":[],"          \
    "\"risk_score\":92,\"recommended_action\":\"urgent_referral\"}"
#define GOOD      START PREDICTION SOURCE "}"
#define UNTRAINED START PREDICTION ",\"model_info\":{\"trained\":false}" SOURCE "}"
#define FAILED    START "\"error\":{\"code\":\"image_undecodable\",\"message\":\"it is no JPEG\"}" SOURCE "}"

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void test_prediction_is_read(void **state)
{
    (void)state;
    struct prediction answer;
    struct error err;
    assert_int_equal(answer_parse(bytes_of(GOOD), ID, &answer, &err), STATUS_OK);
    assert_null(answer.error.code);
    assert_int_equal(answer.model_info.trained, -1);
    assert_string_equal(answer.result.primary_diagnosis, "melanoma");
    assert_string_equal(answer.result.recommended_action, "urgent_referral");
    assert_true(answer.result.confidence == 0.8712f);
    assert_int_equal(answer.result.risk_score, 92);
    assert_int_equal(answer.provenance.source.partition, 3);
    assert_int_equal(answer.provenance.source.offset, 4711);
    prediction_release(&answer);
}

static void test_untrained_model_is_noticed(void **state)
{
    (void)state;
    struct prediction answer;
    struct error err;
    assert_int_equal(answer_parse(bytes_of(UNTRAINED), ID, &answer, &err), STATUS_OK);
    assert_int_equal(answer.model_info.trained, 0);
    prediction_release(&answer);
}

static void test_error_is_read(void **state)
{
    (void)state;
    struct prediction answer;
    struct error err;
    assert_int_equal(answer_parse(bytes_of(FAILED), ID, &answer, &err), STATUS_OK);
    assert_string_equal(answer.error.code, "image_undecodable");
    assert_string_equal(answer.error.message, "it is no JPEG");
    prediction_release(&answer);
    const char *bare = START "\"error\":{\"code\":\"internal\"}}";
    assert_int_equal(answer_parse(bytes_of(bare), ID, &answer, &err), STATUS_OK);
    assert_null(answer.error.message);
    assert_int_equal(answer.provenance.source.partition, -1);
    assert_int_equal(answer.provenance.source.offset, -1);
    prediction_release(&answer);
}

static void test_everything_else_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "null",
        "[]",
        "{",
        "\"text\"",
        GOOD "x",
        "{\"schema\":\"skinsight.prediction.v2\",\"request_id\":\"" ID "\"," PREDICTION "}",
        "{\"request_id\":\"" ID "\"," PREDICTION "}",
        "{\"schema\":\"skinsight.prediction.v1\"," PREDICTION "}",
        "{\"schema\":\"skinsight.prediction.v1\",\"request_id\":null," PREDICTION "}",
        "{\"schema\":\"skinsight.prediction.v1\",\"request_id\":\"another\"," PREDICTION "}",
        START "\"x\":1}",
        START "\"prediction\":null}",
        START "\"prediction\":{\"primary_diagnosis\":\"melanoma\"}}",
        START "\"prediction\":{\"primary_diagnosis\":7,\"confidence\":0.5,\"risk_score\":1,"
              "\"recommended_action\":\"monitor\"}}",
        START "\"prediction\":{\"primary_diagnosis\":\"melanoma\",\"confidence\":\"0.5\",\"risk_score\":1,"
              "\"recommended_action\":\"monitor\"}}",
        START "\"prediction\":{\"primary_diagnosis\":\"melanoma\",\"confidence\":1.01,\"risk_score\":1,"
              "\"recommended_action\":\"monitor\"}}",
        START "\"prediction\":{\"primary_diagnosis\":\"melanoma\",\"confidence\":0.5,\"risk_score\":1e300,"
              "\"recommended_action\":\"monitor\"}}",
        START "\"error\":\"text\"}",
        START "\"error\":{\"message\":\"no code\"}}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct prediction answer;
        struct error err = {""};
        if (answer_parse(bytes_of(refused[i]), ID, &answer, &err) != STATUS_REJECTED)
            fail_msg("taken: %s", refused[i]);
        assert_true(err.message[0] != '\0');
    }
}

static void test_every_cut_of_a_record_is_refused(void **state)
{
    (void)state;
    size_t whole = strlen(GOOD);
    for (size_t size = 0; size < whole; size++) {
        struct prediction answer;
        struct error err;
        uint8_t *cut = memory_alloc(size + 1); // a read past the end is found by the sanitizer
        memcpy(cut, GOOD, size);
        assert_int_equal(answer_parse((struct bytes){cut, size}, ID, &answer, &err), STATUS_REJECTED);
        free(cut);
    }
}

static void check_row(const char *record, const char *expected)
{
    char file[] = "lesion.jpg", *text = NULL;
    size_t size = 0;
    const struct ledger_entry entry = {.file = file, .request_id = ID};
    struct prediction answer;
    struct error err;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(answer_parse(bytes_of(record), ID, &answer, &err), STATUS_OK);
    answer_write_row(out, 12, &entry, &answer, 1000, NULL);
    fclose(out);
    prediction_release(&answer);
    assert_string_equal(text, expected);
    free(text);
}

static void test_texts_can_not_command_the_terminal(void **state)
{
    (void)state;
    check_row(START "\"error\":{\"code\":\"a\\u001b[2Jb\",\"message\":\"c\\nd\\u009be\"}}",
              "lesion.jpg    error a?[2Jb: c?d?e\n");
    check_row(START "\"error\":{\"code\":\"internal\"}}", "lesion.jpg    error internal: no reason given\n");
    check_row(START "\"prediction\":{\"primary_diagnosis\":\"\\u001bm\",\"confidence\":0.5,\"risk_score\":1,"
                    "\"recommended_action\":\"\\u007f\"}}",
              "lesion.jpg    ?m                            0.500     1  ?                      1\n");
}

static void test_an_abstention_stands_in_its_row(void **state)
{
    (void)state;
    check_row(START "\"prediction\":{\"primary_diagnosis\":\"melanoma\",\"confidence\":0.5,\"risk_score\":50,"
                    "\"recommended_action\":\"urgent_referral\",\"abstained\":true,\"abstain_reasons\":["
                    "\"low_confidence\",\"out_of\\u001b\"]}}",
              "lesion.jpg    melanoma                      0.500    50  urgent_referral        1  abstains: "
              "low_confidence, out_of?\n");
}

static void test_answers_find_their_jobs(void **state)
{
    (void)state;
    enum { JOBS = 5000 };
    struct ledger ledger;
    ledger_init(&ledger, JOBS);
    for (int i = 0; i < JOBS; i++) {
        char request_id[JOB_REQUEST_ID_SIZE];
        snprintf(request_id, sizeof request_id, "%08x-0000-4000-8000-000000000000", (unsigned)i);
        ledger_add(&ledger, "file", request_id);
    }
    for (int i = 0; i < JOBS; i++)
        assert_ptr_equal(ledger_find(&ledger, bytes_of(ledger.entries[i].request_id)), &ledger.entries[i]);
    assert_null(ledger_find(&ledger, bytes_of("ffffffff-0000-4000-8000-000000000000")));
    assert_null(ledger_find(&ledger, bytes_of("")));
    assert_null(ledger_find(&ledger, (struct bytes){NULL, 0}));
    assert_null(ledger_find(&ledger, bytes_of("00000001-0000-4000-8000-0000000000001"))); // one too long
    assert_null(ledger_find(&ledger, bytes_of("00000001-0000-4000-8000-00000000000")));   // one too short
    ledger_release(&ledger);
}

static void test_open_jobs_are_counted(void **state)
{
    (void)state;
    struct ledger ledger;
    ledger_init(&ledger, 2);
    struct ledger_entry *first = ledger_add(&ledger, "a", "00000000-0000-4000-8000-000000000001");
    struct ledger_entry *second = ledger_add(&ledger, "b", "00000000-0000-4000-8000-000000000002");
    assert_int_equal(ledger_open_count(&ledger, false), 2);
    ledger_set_state(&ledger, first, LEDGER_ACKNOWLEDGED);
    assert_int_equal(ledger_open_count(&ledger, false), 1);
    assert_int_equal(ledger_open_count(&ledger, true), 2);
    ledger_set_state(&ledger, second, LEDGER_FAILED);
    ledger_set_state(&ledger, first, LEDGER_ANSWERED);
    assert_int_equal(ledger_open_count(&ledger, true), 0);
    ledger_release(&ledger);
}

// What a report with one prediction and one error prints; the caller frees it.
static char *print_report(bool json, const char *prediction)
{
    char *text = NULL;
    size_t size = 0;
    char *files[] = {"short.jpg", "a/very/long/way/to/an/image/of/a/lesion/0123456789.jpg"};
    struct ledger_entry entries[] = {
        {.file = files[0], .request_id = ID, .partition = 3, .offset = 4711},
        {.file = files[1], .request_id = ID, .partition = 3, .offset = 4712},
    };
    struct report report;
    struct prediction answer;
    struct error err;
    report_init(&report, json, "skinsight.jobs");
    report_set_files(&report, files, 2);
    report.out = open_memstream(&text, &size);
    assert_int_equal(answer_parse(bytes_of(prediction), ID, &answer, &err), STATUS_OK);
    report_answer(&report, &entries[0], &answer, bytes_of(prediction), 215400);
    prediction_release(&answer);
    assert_int_equal(answer_parse(bytes_of(FAILED), ID, &answer, &err), STATUS_OK);
    report_answer(&report, &entries[1], &answer, bytes_of(FAILED), 3000);
    prediction_release(&answer);
    report_finish(&report, "%d answered", 2);
    fclose(report.out);
    return text;
}

static void test_table(void **state)
{
    (void)state;
    char *text = print_report(false, UNTRAINED);
    assert_string_equal(
        text, "The model is untrained: these diagnoses mean nothing.\n"
              "\n"
              "file                                          diagnosis                confidence  risk  "
              "action      "
              "          ms\n"
              "short.jpg                                     melanoma                      0.871    92  "
              "urgent_referral      215\n"
              "...ay/to/an/image/of/a/lesion/0123456789.jpg  error image_undecodable: it is no JPEG\n"
              "\n"
              "2 answered\n"
              "The model is untrained: these diagnoses mean nothing.\n");
    free(text);
    text = print_report(false, GOOD);
    assert_null(strstr(text, "untrained"));
    free(text);
}

static void test_json_lines(void **state)
{
    (void)state;
    char *text = print_report(true, GOOD);
    char *second = strchr(text, '\n') + 1;
    assert_int_equal(strchr(second, '\n')[1], '\0'); // two lines and nothing else
    cJSON *line = cJSON_Parse(text);
    assert_non_null(line);
    assert_string_equal(cJSON_GetObjectItem(line, "file")->valuestring, "short.jpg");
    assert_string_equal(cJSON_GetObjectItem(line, "request_id")->valuestring, ID);
    assert_string_equal(cJSON_GetObjectItem(line, "topic")->valuestring, "skinsight.jobs");
    assert_int_equal(cJSON_GetObjectItem(line, "partition")->valueint, 3);
    assert_int_equal(cJSON_GetObjectItem(line, "offset")->valueint, 4711);
    assert_true(cJSON_GetObjectItem(line, "elapsed_ms")->valuedouble == 215.4);
    cJSON *answer = cJSON_GetObjectItem(line, "answer");
    cJSON *whole = cJSON_Parse(GOOD);
    assert_true(cJSON_Compare(answer, whole, true));
    cJSON_Delete(whole);
    cJSON_Delete(line);
    free(text);
}

static void test_columns_count_characters(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(text_columns("H\xc3\xa4ut"), 4);
    text_write_tail(out, "H\xc3\xa4ut", 6);
    fputc('|', out);
    text_write_tail(out, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc", 5);
    fclose(out);
    assert_string_equal(text, "H\xc3\xa4ut  |...\xc3\xb6\xc3\xbc");
    free(text);
    char clean[5];
    text_clean("abc\xc3\xa4z", clean, sizeof clean); // the umlaut does not fit whole
    assert_string_equal(clean, "abc");
}

static void test_a_text_is_cut_between_characters(void **state)
{
    (void)state;
    char cut[5];
    text_cut("abc\xc3\xa4", cut, sizeof cut);
    assert_string_equal(cut, "abc");
    text_cut("ab\xc3\xa4", cut, sizeof cut);
    assert_string_equal(cut, "ab\xc3\xa4");
    text_cut("\xf0\x9f\x98\x80", cut, sizeof cut);
    assert_string_equal(cut, "\xf0\x9f\x98\x80");
    text_cut("a\xffz", cut, sizeof cut);
    assert_string_equal(cut, "a");
    text_cut("", cut, sizeof cut);
    assert_string_equal(cut, "");
}

static void write_labels(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_known_labels(void **state)
{
    (void)state;
    static const struct {
        const char *text, *complaint;
    } bad[] = {
        {"file,diagnosis\na.jpg,MEL\n", "has no columns file and label"},
        {"file,label\na.jpg,MEL\nb.jpg,OTHER\n", "line 3: label 'OTHER' is none of"},
        {"file,label\nx/a.jpg,MEL\nb.jpg,NV\ny/a.jpg,MEL\n", "'a.jpg' stands there twice"},
    };
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16];
    struct known_labels *labels = NULL;
    struct error err;
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/labels.csv", folder);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_labels(path, bad[i].text);
        assert_int_equal(known_labels_read(&labels, path, &err), STATUS_REJECTED);
        assert_null(labels);
        assert_non_null(strstr(err.message, bad[i].complaint));
        assert_non_null(strstr(err.message, path));
    }
    write_labels(path, "label,file\nmelanoma,images/b.jpg\nNV,a.jpg\nVASC,c.jpg\n");
    assert_int_equal(known_labels_read(&labels, path, &err), STATUS_OK);
    assert_string_equal(known_labels_find(labels, "elsewhere/a.jpg"), "melanocytic_nevus");
    assert_string_equal(known_labels_find(labels, "b.jpg"), "melanoma");
    assert_null(known_labels_find(labels, "images/d.jpg"));
    assert_null(known_labels_find(NULL, "a.jpg"));
    known_labels_free(labels);
    scratch_remove(folder);
}

static void test_known_labels_beside_the_answers(void **state)
{
    (void)state;
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16], *text = NULL;
    size_t size = 0;
    struct known_labels *labels = NULL;
    char *files[] = {"a.jpg", "b.jpg", "c.jpg"};
    struct report report;
    struct prediction answer;
    struct error err;
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/labels.csv", folder);
    write_labels(path, "file,label\na.jpg,MEL\nb.jpg,NV\n");
    assert_int_equal(known_labels_read(&labels, path, &err), STATUS_OK);
    report_init(&report, false, "skinsight.jobs");
    report.labels = labels;
    report_set_files(&report, files, 3);
    report.out = open_memstream(&text, &size);
    for (int i = 0; i < 3; i++) {
        const struct ledger_entry entry = {.file = files[i], .request_id = ID};
        assert_int_equal(answer_parse(bytes_of(GOOD), ID, &answer, &err), STATUS_OK);
        report_answer(&report, &entry, &answer, bytes_of(GOOD), 1000);
        prediction_release(&answer);
    }
    report_finish(&report, "%d answered", 3);
    fclose(report.out);
    assert_non_null(strstr(text, "    ms  known as\n"));
    assert_non_null(strstr(text, "urgent_referral        1  melanoma\n"));
    assert_non_null(strstr(text, "urgent_referral        1  melanocytic_nevus\n"));
    assert_non_null(strstr(text, "urgent_referral        1\n"));
    assert_non_null(strstr(text, "\n1 of 2 diagnoses are the known ones\n"));
    free(text);
    known_labels_free(labels);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prediction_is_read),
        cmocka_unit_test(test_untrained_model_is_noticed),
        cmocka_unit_test(test_error_is_read),
        cmocka_unit_test(test_everything_else_is_refused),
        cmocka_unit_test(test_every_cut_of_a_record_is_refused),
        cmocka_unit_test(test_texts_can_not_command_the_terminal),
        cmocka_unit_test(test_an_abstention_stands_in_its_row),
        cmocka_unit_test(test_answers_find_their_jobs),
        cmocka_unit_test(test_open_jobs_are_counted),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_known_labels),
        cmocka_unit_test(test_known_labels_beside_the_answers),
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_columns_count_characters),
        cmocka_unit_test(test_a_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
