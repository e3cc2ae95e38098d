// test_monitor_report.c: a report's document is made of its parts, its request gives it again, and its page
// shows what the document says and nothing that the document's texts would like to be.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/report/request.h"

static struct error err;
static struct archive_place places[] = {{"skinsight.predictions", 0, 120}, {"skinsight.feedback", 3, 7}};
static const struct archive_as_of as_of = {1793923200000, 2, places};

static struct report_request request_of(enum report_kind kind)
{
    // 2026-11-01 to 2026-11-05
    return (struct report_request){.kind = kind,
                                   .from = 1793491200000,
                                   .to = 1793836800000,
                                   .site = "north",
                                   .alarm_budget_per_year = 12,
                                   .as_of = &as_of};
}

// Every begin tag has its end tag, and nothing runs or comes from elsewhere.
static void check_page(const char *text)
{
    static char stack[64][32];
    int depth = 0;
    text = strstr(text, "<html");
    assert_non_null(text);
    for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<')) {
        char name[32];
        const char *last = strchr(at, '>');
        bool closes = at[1] == '/';
        assert_int_equal(sscanf(at + 1 + closes, "%31[a-z0-9]", name), 1);
        assert_non_null(last);
        assert_string_not_equal(name, "script");
        if (closes) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (last[-1] != '/' && strcmp(name, "meta") != 0) {
            assert_true(depth < 64);
            strcpy(stack[depth++], name);
        }
    }
    assert_int_equal(depth, 0);
    assert_null(strstr(text, "href"));
    assert_null(strstr(text, "src="));
}

static char *page_of(const cJSON *document)
{
    struct buffer out;
    buffer_init(&out, 1 << 20);
    assert_int_equal(report_page(document, &out, &err), STATUS_OK);
    assert_int_equal(buffer_append(&out, "", 1, &err), STATUS_OK);
    check_page((const char *)out.data);
    return (char *)out.data;
}

static enum status add_drift(struct archive *archive, const struct report_request *request, cJSON *document,
                             struct error *error)
{
    static const int64_t at[] = {1793491200000, 1793577600000, 1793664000000, 1793750400000};
    static const double y[] = {0.5, NAN, 0.75, 0.625}, low[] = {0.25, NAN, 0.5, 0.5},
                        high[] = {0.75, NAN, 0.875, 0.75};
    static const int64_t n[] = {400, 12, 500, 450};
    static const bool hollow[] = {false, false, false, true};
    (void)archive;
    assert_string_equal(request->site, "north");
    cJSON *drift = cJSON_AddArrayToObject(document, "drift"), *row = cJSON_CreateObject();
    cJSON_AddItemToArray(drift, row);
    cJSON_AddStringToObject(row, "feature", "bright<ness");
    cJSON_AddItemToObject(row, "kl", report_estimate(0.03125, 0.015625, 0.0625, 812, "bootstrap"));
    cJSON_AddItemToObject(row, "w1", report_estimate(NAN, 0, 0, 12, "n < 200"));
    cJSON_AddStringToObject(row, "state", "insufficient");
    const struct report_series series = {.chart = "Urgent rate",
                                         .name = "urgent",
                                         .unit = "share",
                                         .count = 4,
                                         .at = at,
                                         .y = y,
                                         .low = low,
                                         .high = high,
                                         .n = n,
                                         .hollow = hollow};
    const struct report_alarm alarms[] = {
        {"class_mix", "critical", 25.5, 20.875, 365.25, 4, 1400, 1793577600000, false},
        {"kl_fixed", "warning", 0.2, 0.1, 3.6525, NAN, 1400, -1, true}};
    static const char *const columns[] = {"Request", "Advised"};
    cJSON *rows = cJSON_Parse("[[\"<script>alert(1)</script>\", \"monitor\"]]");
    enum status status = report_add_series(document, &series, error);
    for (int i = 0; status == STATUS_OK && i < 2; i++)
        status = report_add_alarm(document, &alarms[i], error);
    return status == STATUS_OK ? report_add_table(document, "Answers", columns, 2, rows, error) : status;
}

static enum status be_away(struct archive *archive, const struct report_request *request, cJSON *document,
                           struct error *error)
{
    (void)archive, (void)request, (void)document;
    return error_set(error, STATUS_RETRY, "the database is away");
}

static const struct report_part one_part[] = {
    {"drift", 1u << REPORT_DRIFT, add_drift}, {"never", 1u << REPORT_INCIDENT, be_away}, {0}};

static void the_page_says_what_the_document_says(void **state)
{
    (void)state;
    const struct report_request request = request_of(REPORT_DRIFT);
    cJSON *document;
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_OK);
    char *text = page_of(document);
    assert_non_null(strstr(text, "<h1>Drift report</h1>"));
    assert_non_null(
        strstr(text, "Analyses from 2026-11-01 until before 2026-11-05 (UTC). Model: all. Site: north."));
    assert_non_null(strstr(text,
                           "<td>bright&lt;ness</td><td class=\"n\">0.03125 (0.01562 to 0.0625), n 812</td>"
                           "<td class=\"thin\">not enough evidence: n &lt; 200, n 12</td>"
                           "<td class=\"thin\">not enough evidence</td>"));
    assert_non_null(strstr(text, "<p class=\"warning\">Critical: class_mix</p>"));
    assert_non_null(strstr(text, "The 1 calibrated alarms together declare 1.0 false alarms a year."));
    assert_non_null(strstr(text, "The 1 plain rules beside them: 100.0 false alarms a year, as measured."));
    assert_non_null(
        strstr(text, "<tr><td>2026-11-01</td><td class=\"n\">0.5 (0.25 to 0.75), n 400</td></tr>"));
    assert_non_null(
        strstr(text, "<tr><td>2026-11-02</td><td class=\"thin\">not enough evidence, n 12</td></tr>"));
    assert_non_null(strstr(text, "0.625 (0.5 to 0.75), n 450, not mature"));
    assert_non_null(strstr(text, "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>monitor</td>"));
    assert_non_null(strstr(text, "A live page, not published"));
    free(text);
    cJSON_Delete(document);
}

static void series_of_one_chart_share_a_table(void **state)
{
    (void)state;
    cJSON *document = cJSON_Parse(
        "{\"kind\": \"drift\", \"series\": ["
        "{\"chart\": \"Mix\", \"name\": \"MEL\", \"unit\": \"share\", \"at\": [86400000000, 86486400000], "
        "\"y\": [0.125, 0.25]},"
        "{\"chart\": \"Mix\", \"name\": \"NV\", \"unit\": \"share\", \"at\": [86486400000, 86572800000], "
        "\"y\": [0.5, null]},"
        "{\"chart\": \"Mix\", \"name\": \"backwards\", \"unit\": \"share\", \"at\": [2, 1], \"y\": [1, 1]},"
        "{\"chart\": \"Mix\", \"name\": \"short\", \"unit\": \"share\", \"at\": [1, 2], \"y\": [1]}]}");
    char *text = page_of(document);
    const char *mix = strstr(text, "<caption>Mix</caption>");
    assert_non_null(mix);
    assert_null(strstr(mix + 1, "<caption>Mix</caption>"));
    assert_non_null(strstr(mix, "<td class=\"n\">0.125</td><td>-</td></tr>"));
    assert_non_null(strstr(mix, "<td class=\"n\">0.25</td><td class=\"n\">0.5</td></tr>"));
    assert_non_null(strstr(mix, "<td>-</td><td class=\"thin\">not enough evidence</td></tr>"));
    assert_non_null(strstr(text, "Mix: 2 more series stand in the JSON."));
    free(text);
    cJSON_Delete(document);
}

static void values_inside_values_are_shown(void **state)
{
    (void)state;
    cJSON *document =
        cJSON_Parse("{\"cohorts\": [{\"n\": 7, \"by_action\": {\"monitor\": 0.25, \"urgent_referral\": "
                    "{\"labelled\": 3, \"bounds\": [0.5, 0.75]}}}], \"names\": {\"left_out\": [\"DF\", "
                    "\"SCC\"], \"none\": {}}}");
    char *text = page_of(document);
    assert_non_null(strstr(text, "Monitor 0.25, Urgent referral Labelled 3, Bounds 0.5 to 0.75</td>"));
    assert_non_null(strstr(text, "DF, SCC</td>"));
    free(text);
    cJSON_Delete(document);
}

// The cut falls into the middle of a character, whose half would end the title.
static void long_names_are_cut_between_characters(void **state)
{
    (void)state;
    char name[2 + 2 * 60] = "a";
    for (int i = 0; i < 60; i++)
        memcpy(name + 1 + 2 * i, "\xc3\xa9", 2);
    cJSON *document = cJSON_CreateObject();
    cJSON *outer = cJSON_AddObjectToObject(cJSON_AddObjectToObject(document, "fairness"), name);
    cJSON_AddNumberToObject(outer, "inner", 5);
    char *text = page_of(document);
    assert_non_null(strstr(text, "\xc3\xa9, inner</td>"));
    free(text);
    cJSON_Delete(document);
}

static void any_document_has_a_page(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"kind\": 3, \"alarms\": [1, \"x\", {}], \"tables\": [[], {\"rows\": 4}], \"series\": {\"at\": 1}}",
        "{\"drift\": [[], {\"a\": {\"b\": {\"c\": []}}}], \"comparison\": {\"x\": [{\"y\": 1}], \"\": null}}",
        "{\"series\": [{\"at\": [1e300, 2e300], \"y\": [1e308, -1e308], \"chart\": \"big\"}]}",
        "{\"cohorts\": {\"at\": 1e300, \"from\": -5}, \"reference\": {}, \"as_of\": {\"time\": 1e17}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cJSON *document = cJSON_Parse(texts[i]);
        assert_non_null(document);
        free(page_of(document));
        cJSON_Delete(document);
    }
}

static void parts_of_other_kinds_are_not_asked(void **state)
{
    (void)state;
    struct report_request request = request_of(REPORT_INCIDENT);
    cJSON *document;
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_RETRY);
    assert_string_equal(err.message, "never: the database is away");
    assert_null(document);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    cJSON *document;
    struct report_request request = request_of(REPORT_COMPARISON);
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_REJECTED);
    request.model_a = request.model_b = "vit-1.0.0";
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_REJECTED);
    request.model_b = "vit-1.1.0";
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_OK);
    cJSON_Delete(document);
    request.to = request.from;
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_REJECTED);
    request.from = 0;
    request.to = (REPORT_DAYS_MOST + INT64_C(1)) * 86400000;
    assert_int_equal(report_make_of(one_part, NULL, &request, &document, &err), STATUS_REJECTED);
}

static void a_request_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct report_request request = request_of(REPORT_DRIFT);
    struct stored_request stored;
    struct buffer first, second;
    char id[REPORT_ID_SIZE], again[REPORT_ID_SIZE];
    buffer_init(&first, REPORT_REQUEST_MOST);
    buffer_init(&second, REPORT_REQUEST_MOST);
    request.reference_sha256 = "9ffbe62f92311968e0d1aea1def4c0d81d5b621905f72f6e8a41ffc421427f8a";
    request.reference_missing = "none";
    assert_int_equal(report_request_write(&request, &first, &err), STATUS_OK);
    assert_int_equal(report_request_read(buffer_bytes(&first), &stored, &err), STATUS_OK);
    assert_int_equal(stored.request.kind, REPORT_DRIFT);
    assert_int_equal(stored.request.from, 1793491200000);
    assert_int_equal(stored.request.to, 1793836800000);
    assert_string_equal(stored.request.site, "north");
    assert_null(stored.request.model_version);
    assert_string_equal(stored.request.reference_missing, "none");
    assert_int_equal(stored.request.as_of->count, 2);
    assert_string_equal(stored.request.as_of->places[1].topic, "skinsight.feedback");
    assert_int_equal(stored.request.as_of->places[1].partition, 3);
    assert_int_equal(stored.request.as_of->places[1].next, 7);
    assert_int_equal(report_request_write(&stored.request, &second, &err), STATUS_OK);
    assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    report_request_id(buffer_bytes(&first), id);
    report_request_id(buffer_bytes(&second), again);
    assert_string_equal(id, again);
    places[1].next++;
    buffer_clear(&second);
    assert_int_equal(report_request_write(&request, &second, &err), STATUS_OK);
    report_request_id(buffer_bytes(&second), again);
    assert_string_not_equal(id, again);
    places[1].next--;
    stored_request_release(&stored);
    buffer_release(&first);
    buffer_release(&second);
}

static void a_stored_request_is_checked(void **state)
{
    (void)state;
    static const char good[] =
        "{\"schema\":\"skinsight.report_request.v1\",\"kind\":\"drift\",\"from\":1,\"to\":2,"
        "\"model_version\":null,\"site\":null,\"model_a\":null,\"model_b\":null,\"alarm_budget_per_year\":12,"
        "\"reference_sha256\":null,\"as_of\":{\"time\":3,\"offsets\":[{\"topic\":\"t\",\"partition\":0,"
        "\"next\":4}]}}";
    static const char *const changes[][2] = {{"report_request.v1", "report_request.v2"},
                                             {"drift", "weather"},
                                             {"\"from\":1", "\"from\":1.5"},
                                             {"\"site\":null", "\"site\":7"},
                                             {"\"site\":null", "\"site\":null,\"reference_missing\":7"},
                                             {"\"next\":4", "\"next\":-4"},
                                             {"\"topic\":\"t\"", "\"topic\":null"},
                                             {"\"to\":2", "\"from\":2"},
                                             {"\"time\":3,", ""},
                                             {"\"partition\":0", "\"partition\":1e10"}};
    struct stored_request stored;
    assert_int_equal(
        report_request_read((struct bytes){(const uint8_t *)good, sizeof good - 1}, &stored, &err),
        STATUS_OK);
    stored_request_release(&stored);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[1024];
        const char *at = strstr(good, changes[i][0]);
        assert_non_null(at);
        int size = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, changes[i][1],
                            at + strlen(changes[i][0]));
        const struct bytes bytes = {(const uint8_t *)text, (size_t)size};
        assert_int_equal(report_request_read(bytes, &stored, &err), STATUS_REJECTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_the_document_says),
        cmocka_unit_test(series_of_one_chart_share_a_table),
        cmocka_unit_test(values_inside_values_are_shown),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(any_document_has_a_page),
        cmocka_unit_test(parts_of_other_kinds_are_not_asked),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_request_is_read_as_it_was_written),
        cmocka_unit_test(a_stored_request_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
