// test_monitor_incident.c: the order of the list, its counts, and that a list which would have holes is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "monitor/incident/incident.h"

static void add(struct incident *incident, const char *id, int action, int label)
{
    struct analysis analysis;
    struct error err;
    analysis_init(&analysis);
    snprintf(analysis.request_id, sizeof analysis.request_id, "%s", id);
    analysis.at = 1793577600000;
    analysis.error_code = action < 0 ? "bad_image" : "";
    analysis.action = action;
    analysis.class = LESION_NV;
    analysis.truth.label = label;
    analysis.replaced = strncmp(id, "routine", 7) == 0;
    if (incident_add(incident, &analysis, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static const char *cell(const cJSON *document, int row, int column)
{
    const cJSON *table = cJSON_GetArrayItem(cJSON_GetObjectItem(document, "tables"), 0);
    return cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetObjectItem(table, "rows"), row), column)
        ->valuestring;
}

static void test_who_was_told_to_wait_comes_first(void **state)
{
    (void)state;
    struct incident incident = {0};
    struct error err;
    add(&incident, "failed", -1, -1);
    add(&incident, "urgent", ACTION_URGENT_REFERRAL, -1);
    add(&incident, "waits", ACTION_MONITOR, LESION_NV);
    add(&incident, "waits-with-melanoma", ACTION_MONITOR, LESION_MEL);
    add(&incident, "routine", ACTION_ROUTINE_REFERRAL, -1);
    cJSON *document = cJSON_CreateObject();
    assert_int_equal(incident_write(&incident, "v1", document, &err), STATUS_OK);
    static const char *const order[] = {"waits-with-melanoma", "waits", "routine", "urgent", "failed"};
    for (int i = 0; i < 5; i++)
        assert_string_equal(cell(document, i, 0), order[i]);
    assert_string_equal(cell(document, 0, 1), "2026-11-02T00:00:00.000Z");
    assert_string_equal(cell(document, 0, 2), "monitor");
    assert_string_equal(cell(document, 0, 4), "MEL");
    assert_string_equal(cell(document, 0, 5), "");
    assert_string_equal(cell(document, 2, 5), "answered again");
    const cJSON *counts = cJSON_GetObjectItem(document, "incident");
    assert_int_equal(cJSON_GetObjectItem(counts, "n")->valueint, 5);
    assert_int_equal(cJSON_GetObjectItem(counts, "monitor")->valueint, 2);
    assert_int_equal(cJSON_GetObjectItem(counts, "replaced")->valueint, 1);
    assert_int_equal(cJSON_GetObjectItem(counts, "failed")->valueint, 1);
    cJSON_Delete(document);
    incident_release(&incident);
}

// An error names no model: a report of one model can't count them.
static void test_failures_of_a_model_are_not_known(void **state)
{
    (void)state;
    struct incident incident = {0};
    struct error err;
    for (int all = 0; all < 2; all++) {
        cJSON *document = cJSON_CreateObject();
        assert_int_equal(incident_write(&incident, all ? NULL : "v1", document, &err), STATUS_OK);
        const cJSON *counts = cJSON_GetObjectItem(document, "incident");
        assert_int_equal(cJSON_IsNull(cJSON_GetObjectItem(counts, "failed")), !all);
        assert_int_equal(cJSON_IsString(cJSON_GetObjectItem(counts, "failed_reason")), !all);
        cJSON_Delete(document);
    }
}

static void test_a_list_with_holes_is_refused(void **state)
{
    (void)state;
    struct incident incident = {0};
    struct analysis analysis;
    struct error err;
    analysis_init(&analysis);
    for (int i = 0; i < INCIDENT_ANSWERS_MOST; i++)
        add(&incident, "x", ACTION_MONITOR, -1);
    assert_int_equal(incident_add(&incident, &analysis, &err), STATUS_REJECTED);
    incident_release(&incident);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_was_told_to_wait_comes_first),
        cmocka_unit_test(test_failures_of_a_model_are_not_known),
        cmocka_unit_test(test_a_list_with_holes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
