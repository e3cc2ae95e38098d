// test_monitor_findings.c: which samples documents of reports give, and that what they do not know gives
// none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "monitor/service/findings.h"

static struct findings read_text(const char *text)
{
    struct findings findings = {0};
    cJSON *document = cJSON_Parse(text);
    assert_non_null(document);
    findings_read(document, &findings);
    cJSON_Delete(document);
    return findings;
}

static const struct finding *find(const struct findings *findings, enum monitor_metric metric,
                                  const char *labels)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->items[i].metric == metric && strcmp(findings->items[i].labels, labels) == 0)
            return &findings->items[i];
    return NULL;
}

static void expect(const struct findings *findings, enum monitor_metric metric, const char *labels,
                   double value)
{
    const struct finding *finding = find(findings, metric, labels);
    if (!finding)
        fail_msg("no sample of metric %d with %s", (int)metric, labels);
    else if (finding->value != value)
        fail_msg("%s: %.15g, expected %.15g", labels, finding->value, value);
}

static void test_drift(void **state)
{
    (void)state;
    struct findings findings = read_text(
        "{\"as_of\": {\"time\": 9000}, \"reference\": {\"id\": \"north\", \"to\": 5000,"
        "\"sha256\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},"
        "\"drift\": [{\"feature\": \"brightness\", \"stratum\": \"all\", \"name\": \"\", \"window_days\": 7,"
        "\"js\": 0.25, \"kl\": 0.5, \"psi\": null, \"p_adjusted\": 0.125, \"state\": \"ok\"},"
        "{\"feature\": \"brightness\", \"stratum\": \"site\", \"name\": \"a\\\"b\", \"window_days\": 28,"
        "\"js\": 0.75, \"kl\": 1, \"p_adjusted\": 0.001, \"state\": \"warning\"}],"
        "\"output\": {\"values\": [{\"name\": \"MEL\", \"value\": {\"estimate\": 0.25, \"low\": 0.125, "
        "\"high\": 0.5}},"
        "{\"name\": \"NV\", \"value\": {\"estimate\": null, \"n\": 3}},"
        "{\"name\": \"confidence\", \"value\": {\"estimate\": 0.875, \"low\": 0.75, \"high\": 1}},"
        "{\"name\": \"urgent_referral\", \"value\": {\"estimate\": 0.0625, \"low\": 0, \"high\": 1}}],"
        "\"case_mix\": {\"groups\": [{\"classes\": \"MEL\", \"mix\": 0.03125, \"mix_interval\": [0.015625, "
        "null]}]}},"
        "\"budget\": [{\"alarm\": \"class_mix\", \"false_alarms_a_year\": 2, \"expected\": 0.5, \"seen\": 3},"
        "{\"alarm\": \"missed_melanoma\", \"false_alarms_a_year\": 2, \"expected\": 0.5, \"seen\": null}]}");
    const char *all = "feature=\"brightness\",stratum=\"all\",name=\"\",window=\"7d\"";
    expect(&findings, MONITOR_DRIFT_STATISTIC,
           "feature=\"brightness\",stratum=\"all\",name=\"\",window=\"7d\",stat=\"kl\"", 0.5);
    expect(&findings, MONITOR_DRIFT_PVALUE, all, 0.125);
    expect(&findings, MONITOR_DRIFT_STATE, all, 0);
    assert_null(find(&findings, MONITOR_DRIFT_STATISTIC,
                     "feature=\"brightness\",stratum=\"all\",name=\"\",window=\"7d\",stat=\"psi\""));
    expect(&findings, MONITOR_DRIFT_STATISTIC,
           "feature=\"brightness\",stratum=\"site\",name=\"a_b\",window=\"28d\",stat=\"js\"", 0.75);
    expect(&findings, MONITOR_DRIFT_STATE,
           "feature=\"brightness\",stratum=\"site\",name=\"a_b\",window=\"28d\"", 2);
    assert_null(find(&findings, MONITOR_DRIFT_STATISTIC,
                     "feature=\"brightness\",stratum=\"site\",name=\"a_b\",window=\"28d\",stat=\"kl\""));
    expect(&findings, MONITOR_CLASS_SHARE, "class=\"MEL\",bound=\"hi\"", 0.5);
    assert_null(find(&findings, MONITOR_CLASS_SHARE, "class=\"NV\",bound=\"est\""));
    expect(&findings, MONITOR_URGENT_RATIO, "bound=\"est\"", 0.0625);
    expect(&findings, MONITOR_CONFIDENCE_MEAN, "bound=\"lo\"", 0.75);
    expect(&findings, MONITOR_CASE_MIX, "class=\"MEL\",bound=\"est\"", 0.03125);
    expect(&findings, MONITOR_CASE_MIX, "class=\"MEL\",bound=\"lo\"", 0.015625);
    assert_null(find(&findings, MONITOR_CASE_MIX, "class=\"MEL\",bound=\"hi\""));
    expect(&findings, MONITOR_REFERENCE_AGE, "", 4);
    expect(&findings, MONITOR_REFERENCE_INFO, "id=\"north\",digest12=\"0123456789ab\"", 1);
    expect(&findings, MONITOR_ALARMS_EXPECTED, "alarm=\"class_mix\"", 0.5);
    expect(&findings, MONITOR_ALARMS_SEEN, "alarm=\"class_mix\"", 3);
    assert_null(find(&findings, MONITOR_ALARMS_SEEN, "alarm=\"missed_melanoma\""));
    findings_release(&findings);
}

static void test_labels(void **state)
{
    (void)state;
    struct findings findings = read_text(
        "{\"cohorts\": [{\"n\": 40, \"labelled\": 30, \"maturity\": 0.75, \"by_action\":"
        "{\"monitor\": {\"n\": 30, \"labelled\": 3}, \"routine_referral\": {\"n\": 10, \"labelled\": 9},"
        "\"urgent_referral\": {\"n\": 0, \"labelled\": 0}}},"
        "{\"n\": 20, \"labelled\": 0, \"maturity\": null, \"by_action\":"
        "{\"monitor\": {\"n\": 20, \"labelled\": 2}, \"routine_referral\": {\"n\": 0, \"labelled\": 0},"
        "\"urgent_referral\": {\"n\": 0, \"labelled\": 0}}}],"
        "\"performance\": {\"macro_auroc\": {\"estimate\": 0.9375, \"low\": 0.875, \"high\": 0.96875},"
        "\"ece\": {\"estimate\": null, \"n\": 3}, \"auroc\": {\"MEL\": {\"estimate\": 0.5, \"low\": 0, "
        "\"high\": 1}},"
        "\"accuracy_gap\": {\"estimate\": -0.125, \"low\": -0.25, \"high\": 0},"
        "\"expected\": {\"accuracy\": 0.75, \"melanoma_sensitivity\": null},"
        "\"melanoma_sensitivity\": {\"naive\": {\"estimate\": 0.75, \"low\": 0.5, \"high\": 1},"
        "\"corrected\": {\"estimate\": null, \"n\": 0}, \"bounds\": [0.25, null]}},"
        "\"subgroups\": [{\"by\": \"site\", \"value\": \"other\", \"melanomas\": 4,"
        "\"sensitivity\": {\"estimate\": null, \"n\": 4}}], \"fairness\": {\"state\": \"fail\"}}");
    expect(&findings, MONITOR_COHORT_ANSWERS, "cohort_age=\"1w\"", 40);
    expect(&findings, MONITOR_COHORT_LABELS, "cohort_age=\"0w\"", 0);
    expect(&findings, MONITOR_LABEL_MATURITY, "cohort_age=\"1w\"", 0.75);
    assert_null(find(&findings, MONITOR_LABEL_MATURITY, "cohort_age=\"0w\""));
    expect(&findings, MONITOR_VERIFIED_RATIO, "action=\"monitor\"", 0.1);
    assert_null(find(&findings, MONITOR_VERIFIED_RATIO, "action=\"urgent_referral\""));
    expect(&findings, MONITOR_AUROC_MACRO, "bound=\"lo\"", 0.875);
    expect(&findings, MONITOR_AUROC, "class=\"MEL\",bound=\"est\"", 0.5);
    assert_null(find(&findings, MONITOR_ECE, "bound=\"est\""));
    expect(&findings, MONITOR_CBPE_GAP, "figure=\"accuracy\",bound=\"est\"", -0.125);
    expect(&findings, MONITOR_CBPE, "figure=\"accuracy\"", 0.75);
    assert_null(find(&findings, MONITOR_CBPE, "figure=\"melanoma_sensitivity\""));
    expect(&findings, MONITOR_SENSITIVITY, "class=\"MEL\",method=\"naive\",bound=\"hi\"", 1);
    expect(&findings, MONITOR_SENSITIVITY, "class=\"MEL\",method=\"bounds\",bound=\"lo\"", 0.25);
    assert_null(find(&findings, MONITOR_SENSITIVITY, "class=\"MEL\",method=\"bounds\",bound=\"hi\""));
    expect(&findings, MONITOR_SUBGROUP_POSITIVES, "by=\"site\",value=\"other\"", 4);
    assert_null(find(&findings, MONITOR_SUBGROUP_SENSITIVITY, "by=\"site\",value=\"other\",bound=\"est\""));
    expect(&findings, MONITOR_FAIRNESS_STATE, "", 3);
    findings_release(&findings);
}

static void test_registered_comparison(void **state)
{
    (void)state;
    struct findings findings = read_text(
        "{\"comparison\": {\"srm\": {\"p\": 0.5, \"patients_a\": 90, \"patients_b\": 10}, \"e_value\": null,"
        "\"information\": 0.25, \"decision\": \"a\","
        "\"melanoma_sensitivity\": {\"difference\": [-0.5, -0.25]},"
        "\"guardrails\": [{\"name\": \"latency_p99_ms\", \"difference\": 8, \"interval\": [null, 16]}],"
        "\"plan\": {\"name\": \"spring\", \"n_a\": 900, \"n_b\": 300, \"seen_a\": 9, \"seen_b\": 3,"
        "\"power_with_seen\": null}}}");
    expect(&findings, MONITOR_EXPERIMENT_PATIENTS, "experiment=\"spring\",arm=\"b\"", 10);
    expect(&findings, MONITOR_EXPERIMENT_MELANOMAS, "experiment=\"spring\",arm=\"a\"", 9);
    expect(&findings, MONITOR_EXPERIMENT_PLANNED, "experiment=\"spring\",arm=\"b\"", 300);
    expect(&findings, MONITOR_EXPERIMENT_SRM, "experiment=\"spring\"", 0.5);
    expect(&findings, MONITOR_EXPERIMENT_EFFECT,
           "experiment=\"spring\",metric=\"melanoma_sensitivity\",bound=\"hi\"", -0.25);
    expect(&findings, MONITOR_EXPERIMENT_EFFECT,
           "experiment=\"spring\",metric=\"latency_p99_ms\",bound=\"est\"", 8);
    assert_null(find(&findings, MONITOR_EXPERIMENT_EFFECT,
                     "experiment=\"spring\",metric=\"latency_p99_ms\",bound=\"lo\""));
    expect(&findings, MONITOR_EXPERIMENT_INFORMATION, "experiment=\"spring\"", 0.25);
    expect(&findings, MONITOR_EXPERIMENT_STATE, "experiment=\"spring\"", 3);
    assert_null(find(&findings, MONITOR_EXPERIMENT_EVALUE, "experiment=\"spring\""));
    assert_null(find(&findings, MONITOR_EXPERIMENT_POWER, "experiment=\"spring\""));
    findings_release(&findings);
    findings = read_text("{\"comparison\": {\"decision\": \"a\", \"plan\": null}}");
    assert_int_equal(findings.count, 0); // nobody has said which experiment that is
    findings_release(&findings);
}

// Whatever a document holds, there is an end to it.
static void test_other_documents(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "[1, 2]",
                                        "{\"drift\": 7, \"cohorts\": \"x\", \"performance\": []}",
                                        "{\"budget\": [null, 1, {\"alarm\": 3}], \"reference\": null}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct findings findings = read_text(texts[i]);
        assert_int_equal(findings.count, 0);
        findings_release(&findings);
    }
    struct findings findings = {0};
    cJSON *document = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(document, "subgroups");
    for (int i = 0; i < FINDINGS_MOST + 10; i++) {
        cJSON *group = cJSON_CreateObject();
        cJSON_AddNumberToObject(group, "melanomas", i);
        cJSON_AddItemToArray(list, group);
    }
    findings_read(document, &findings);
    assert_int_equal(findings.count, FINDINGS_MOST);
    findings_release(&findings);
    cJSON_Delete(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_drift), cmocka_unit_test(test_labels),
                                       cmocka_unit_test(test_registered_comparison),
                                       cmocka_unit_test(test_other_documents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
