// test_monitor_missed.c: the chart of missed melanomas: what it makes of labels that who waits seldom gets,
// and that it holds what it declares. Expected values come from published traces, arithmetic and a simulation
// that shares nothing with the limit's but the scores.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "monitor/labels/missed.h"
#include "monitor/labels/missed_limit.h"
#include "tests/support/near.h"

static const int64_t day = 24 * 3600 * 1000;
static const int64_t monday = INT64_C(1793577600000); // 2026-11-02

static struct analysis an_analysis(int number, int64_t at)
{
    struct analysis analysis = {
        .at = at, .site = "a", .subject = "", .capture_device = "c", .class = LESION_NV};
    snprintf(analysis.request_id, sizeof analysis.request_id, "%d", number);
    return analysis;
}

static const cJSON *alarm_of(const cJSON *document, const char *name)
{
    const cJSON *alarm;
    cJSON_ArrayForEach(alarm, cJSON_GetObjectItem(document, "alarms"))
    {
        if (strcmp(cJSON_GetObjectItem(alarm, "name")->valuestring, name) == 0)
            return alarm;
    }
    fail_msg("there is no alarm %s", name);
    return NULL;
}

static double number_at(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(object, name);
    if (!cJSON_IsNumber(item))
        fail_msg("%s is no number", name);
    return item->valuedouble;
}

// Weeks of a hundred lesions, half of them referred: of both a tenth, or all, have labels. Of those with
// labels `melanomas` are the first ones, missed or not.
enum { HALF = 50 };
struct weeks {
    struct cohorts cohorts;
    struct labelled_list list;
};

static void weeks_init(struct weeks *weeks, int count, int labelled_of_waiting)
{
    struct error err;
    *weeks = (struct weeks){0};
    assert_int_equal(cohorts_init(&weeks->cohorts, monday, monday + 7 * count * day, &err), STATUS_OK);
    for (int i = 0; i < count * 2 * HALF; i++) {
        struct analysis analysis = an_analysis(i, monday + i / (2 * HALF) * 7 * day + i);
        bool waits = i % 2;
        analysis.action = waits ? ACTION_MONITOR : ACTION_URGENT_REFERRAL;
        cohorts_add(&weeks->cohorts, &analysis);
        if (waits && i / 2 % HALF >= labelled_of_waiting)
            continue;
        analysis.truth.label = LESION_NV;
        analysis.truth.reviewed_at = analysis.at + 30 * day;
        assert_int_equal(labelled_add(&weeks->list, &analysis, &err), STATUS_OK);
    }
    cohorts_close(&weeks->cohorts, &weeks->list, monday + 400 * day);
}

static void weeks_release(struct weeks *weeks)
{
    cohorts_release(&weeks->cohorts);
    labelled_release(&weeks->list);
}

static cJSON *missed_of(const struct weeks *weeks, const struct missed_options *options)
{
    struct error err;
    cJSON *document = cJSON_CreateObject();
    assert_int_equal(missed_write(&weeks->cohorts, &weeks->list, options, document, &err), STATUS_OK);
    return document;
}

static void check_missed(double false_alarms, const char *wanted)
{
    static const bool missed[] = {0, 0, 1, 0, 1, 1, 0, 0, 1, 1};
    struct weeks weeks;
    weeks_init(&weeks, 1, HALF);
    for (int i = 0; i < 10; i++) { // the labels come in the opposite order of the answers
        struct labelled *row = &weeks.list.rows[2 * (10 - i) + missed[i]];
        row->truth = LESION_MEL;
        row->reviewed_at = monday + (30 + i) * day;
    }
    const struct missed_options options = {10, false_alarms, 1};
    cJSON *document = missed_of(&weeks, &options);
    const cJSON *alarm = alarm_of(document, "missed_melanoma");
    assert_string_equal(cJSON_GetObjectItem(alarm, "state")->valuestring, wanted);
    near("sum", cJSON_GetObjectItem(alarm, "value")->valuedouble, 3.112387, 1e-6);
    // One melanoma a day, so run lengths are days.
    assert_true(cJSON_GetObjectItem(alarm, "arl0_days")->valuedouble >= 365 / false_alarms);
    cJSON_Delete(document);
    weeks_release(&weeks);
}

static void test_missed_melanomas(void **state)
{
    (void)state;
    check_missed(0.2, "ok");     // one in 1,825 days: a limit near 4
    check_missed(1, "critical"); // one in 365: near 2.6
}

// Of nine of those who wait somebody knows what they had: too few to tell how many melanomas nobody knows.
static void test_unknown_who_waits(void **state)
{
    (void)state;
    struct weeks weeks;
    weeks_init(&weeks, 1, MISSED_LEAST - 1);
    for (size_t i = 0; i < 20; i++)
        weeks.list.rows[i].truth = LESION_MEL;
    const struct missed_options options = {10, 1, 1};
    cJSON *document = missed_of(&weeks, &options);
    assert_string_equal(cJSON_GetObjectItem(alarm_of(document, "missed_melanoma"), "state")->valuestring,
                        "insufficient");
    assert_true(
        cJSON_IsString(cJSON_GetObjectItem(cJSON_GetObjectItem(document, "missed_melanomas"), "reason")));
    cJSON_Delete(document);
    weeks_release(&weeks);
}

// Five of fifty who wait have labels, and all who were referred. Of the known melanomas 0.1 * 0.1 / (0.1 *
// 0.1
// + 0.9) are missed while all is well.
static void test_a_miss_at_an_audit_stands_for_many(void **state)
{
    (void)state;
    struct weeks weeks;
    weeks_init(&weeks, 4, HALF / 10);
    int seen = 0;
    for (size_t i = 0; i < weeks.list.count && seen < 10; i++) // nine that were referred, then a missed one
        if (action_is_referral(weeks.list.rows[i].action) == (seen < 9)) {
            weeks.list.rows[i].truth = LESION_MEL;
            weeks.list.rows[i].reviewed_at = monday + (30 + seen++) * day;
        }
    const struct missed_options options = {10, 1, 1};
    cJSON *document = missed_of(&weeks, &options);
    const cJSON *ground = cJSON_GetObjectItem(document, "missed_melanomas");
    near("ratio", number_at(ground, "label_ratio"), 0.1, 1e-12);
    near("its error", number_at(ground, "label_ratio_log_error"), sqrt(0.9 / 20), 1e-12);
    near("well", number_at(ground, "known_share_well"), 1 / 91.0, 1e-12);
    near("bad", number_at(ground, "known_share_bad"), 1 / 41.0, 1e-12);
    near("sum", number_at(alarm_of(document, "missed_melanoma"), "value"), log(91 / 41.0), 1e-9);
    cJSON_Delete(document);
    weeks_release(&weeks);
}

// ---- what the chart of missed melanomas declares ----

// Splitmix64, to owe nothing to the generator of the limit.
static double uniform(uint64_t *generator)
{
    uint64_t z = *generator += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

// Mean days until an alarm: melanomas come a_day, each of them with or without a label.
static double days_until_alarm(double missed_share, double a_day, double ratio, double limit)
{
    enum { ALARMS = 3000, MELANOMAS_MOST = 100000000 };
    const double referred = 0.8;
    uint64_t generator = 7;
    double melanomas = 0;
    struct bernoulli_cusum scores = missed_scores(ratio);
    for (int alarms = 0; alarms < ALARMS; alarms++)
        for (double sum = 0; sum < limit && melanomas < MELANOMAS_MOST; melanomas++) {
            bool missed = uniform(&generator) < missed_share;
            if (uniform(&generator) < referred * (missed ? ratio : 1))
                sum = fmax(0, sum + (missed ? scores.event : scores.none));
        }
    return melanomas / ALARMS / a_day;
}

static void declared_holds(double ratio)
{
    const double a_day = 6, wanted = 365 / 0.86;
    const struct missed_visibility visibility = {ratio, 0};
    // Known melanomas while all is well.
    const struct missed_chart chart = {&visibility, 1, a_day * 0.8 * (0.9 + 0.1 * ratio), 1};
    struct missed_limit found = missed_limit_find(&chart, wanted);
    assert_true(found.arl0_days >= wanted && found.arl0_days < 1.1 * wanted);
    near("days between false alarms", days_until_alarm(0.10, a_day, ratio, found.limit), found.arl0_days,
         0.15);
    near("days until it is seen", days_until_alarm(0.20, a_day, ratio, found.limit), found.delay_days, 0.15);
}

static void test_missed_run_lengths(void **state)
{
    (void)state;
    near("scores", missed_scores(1).event, 0.693147, 1e-6);
    near("scores", missed_scores(1).none, -0.117783, 1e-5);
    declared_holds(1);     // everybody is looked at
    declared_holds(0.025); // two in a hundred of those who wait, eighty of those who don't
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missed_melanomas),
        cmocka_unit_test(test_unknown_who_waits),
        cmocka_unit_test(test_a_miss_at_an_audit_stands_for_many),
        cmocka_unit_test(test_missed_run_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
