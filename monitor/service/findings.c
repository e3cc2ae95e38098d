// findings.c: which key of a document is which metric.
#include "monitor/service/findings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/records/lesion.h"

enum { NAME_SIZE = 65 };

static const cJSON *field(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double number_in(const cJSON *object, const char *name)
{
    const cJSON *item = field(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static double item_of(const cJSON *pair, int place)
{
    const cJSON *item = cJSON_GetArrayItem(pair, place);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

// What no label may hold becomes '_'.
static void name_in(const cJSON *object, const char *key, char name[NAME_SIZE])
{
    const cJSON *item = field(object, key);
    text_cut(cJSON_IsString(item) ? item->valuestring : "", name, NAME_SIZE);
    for (char *at = name; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20)
            *at = '_';
}

// Not where the value is not known.
__attribute__((format(printf, 4, 5))) static void add(struct findings *findings, enum monitor_metric metric,
                                                      double value, const char *labels, ...)
{
    if (!isfinite(value) || findings->count == FINDINGS_MOST)
        return;
    if (findings->count == findings->capacity) {
        findings->capacity = findings->capacity ? 2 * findings->capacity : 64;
        findings->items = memory_realloc(findings->items, findings->capacity * sizeof *findings->items);
    }
    struct finding *finding = &findings->items[findings->count++];
    va_list arguments;
    finding->metric = metric;
    finding->value = value;
    va_start(arguments, labels);
    vsnprintf(finding->labels, sizeof finding->labels, labels, arguments);
    va_end(arguments);
}

// The estimate and both ends of its interval.
static void add_estimate(struct findings *findings, enum monitor_metric metric, const cJSON *estimate,
                         const char *labels)
{
    static const char *const keys[] = {"estimate", "low", "high"}, *const bounds[] = {"est", "lo", "hi"};
    for (int i = 0; i < 3; i++)
        add(findings, metric, number_in(estimate, keys[i]), "%s%sbound=\"%s\"", labels, *labels ? "," : "",
            bounds[i]);
}

// As skinsight_alarm_state says it.
static double state_in(const cJSON *object)
{
    static const struct {
        const char *name;
        double state;
    } states[] = {{"ok", 0}, {"pass", 0}, {"insufficient", 1}, {"warning", 2}, {"fail", 3}};
    const cJSON *state = field(object, "state");
    for (size_t i = 0; cJSON_IsString(state) && i < sizeof states / sizeof *states; i++)
        if (strcmp(state->valuestring, states[i].name) == 0)
            return states[i].state;
    return NAN;
}

// ---- drift ----

// Of sites and devices one distance will do: it is the one that grows with neither bins nor pictures.
static void read_feature(const cJSON *entry, struct findings *findings)
{
    static const char *const statistics[] = {"js", "kl", "psi", "w1", "tvd", "g"};
    char feature[NAME_SIZE], stratum[NAME_SIZE], name[NAME_SIZE], place[FINDING_LABELS_SIZE];
    name_in(entry, "feature", feature);
    name_in(entry, "stratum", stratum);
    name_in(entry, "name", name);
    bool all = strcmp(stratum, "all") == 0;
    snprintf(place, sizeof place, "feature=\"%.32s\",stratum=\"%.16s\",name=\"%s\",window=\"%.0fd\"", feature,
             stratum, name, number_in(entry, "window_days"));
    for (size_t i = 0; i < (all ? sizeof statistics / sizeof *statistics : 1); i++)
        add(findings, MONITOR_DRIFT_STATISTIC, number_in(entry, statistics[i]), "%s,stat=\"%s\"", place,
            statistics[i]);
    if (all)
        add(findings, MONITOR_DRIFT_PVALUE, number_in(entry, "p_adjusted"), "%s", place);
    add(findings, MONITOR_DRIFT_STATE, state_in(entry), "%s", place);
}

static void read_output(const cJSON *value, struct findings *findings)
{
    static const struct {
        const char *name;
        enum monitor_metric metric;
    } rates[] = {{"urgent_referral", MONITOR_URGENT_RATIO},  {"low_confidence", MONITOR_LOW_CONFIDENCE_RATIO},
                 {"out_of_distribution", MONITOR_OOD_RATIO}, {"abstained", MONITOR_ABSTAIN_RATIO},
                 {"entropy_nats", MONITOR_ENTROPY_MEAN},     {"confidence", MONITOR_CONFIDENCE_MEAN}};
    char name[NAME_SIZE], label[NAME_SIZE];
    name_in(value, "name", name);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (strcmp(name, rates[i].name) == 0)
            add_estimate(findings, rates[i].metric, field(value, "value"), "");
    for (int i = 0; i < LESION_CLASSES; i++)
        if (strcmp(name, lesion_codes[i]) == 0) {
            snprintf(label, sizeof label, "class=\"%s\"", lesion_codes[i]);
            add_estimate(findings, MONITOR_CLASS_SHARE, field(value, "value"), label);
        }
}

static void read_case_group(const cJSON *group, struct findings *findings)
{
    const double values[] = {number_in(group, "mix"), item_of(field(group, "mix_interval"), 0),
                             item_of(field(group, "mix_interval"), 1)};
    static const char *const bounds[] = {"est", "lo", "hi"};
    char classes[NAME_SIZE];
    name_in(group, "classes", classes);
    for (int i = 0; i < 3; i++)
        add(findings, MONITOR_CASE_MIX, values[i], "class=\"%s\",bound=\"%s\"", classes, bounds[i]);
}

static void read_reference(const cJSON *document, struct findings *findings)
{
    const cJSON *reference = field(document, "reference");
    char id[NAME_SIZE], sha256[NAME_SIZE];
    if (!cJSON_IsObject(reference))
        return;
    name_in(reference, "id", id);
    name_in(reference, "sha256", sha256);
    add(findings, MONITOR_REFERENCE_INFO, 1, "id=\"%s\",digest12=\"%.12s\"", id, sha256);
    add(findings, MONITOR_REFERENCE_AGE,
        (number_in(field(document, "as_of"), "time") - number_in(reference, "to")) / 1e3, "%s", "");
}

static void read_drift(const cJSON *document, struct findings *findings)
{
    const cJSON *item;
    read_reference(document, findings);
    cJSON_ArrayForEach(item, field(document, "drift")) read_feature(item, findings);
    cJSON_ArrayForEach(item, field(field(document, "output"), "values")) read_output(item, findings);
    cJSON_ArrayForEach(item, field(field(field(document, "output"), "case_mix"), "groups"))
        read_case_group(item, findings);
    cJSON_ArrayForEach(item, field(document, "budget"))
    {
        char alarm[NAME_SIZE];
        name_in(item, "alarm", alarm);
        add(findings, MONITOR_ALARM_BUDGET, number_in(item, "false_alarms_a_year"), "alarm=\"%s\"", alarm);
        add(findings, MONITOR_ALARMS_EXPECTED, number_in(item, "expected"), "alarm=\"%s\"", alarm);
        add(findings, MONITOR_ALARMS_SEEN, number_in(item, "seen"), "alarm=\"%s\"", alarm);
    }
}

// ---- labels ----

// The newest week has age 0.
static void read_cohorts(const cJSON *cohorts, struct findings *findings)
{
    double labelled[ACTION_COUNT] = {0}, answers[ACTION_COUNT] = {0};
    int age = cJSON_GetArraySize(cohorts);
    const cJSON *cohort;
    cJSON_ArrayForEach(cohort, cohorts)
    {
        age--;
        add(findings, MONITOR_COHORT_ANSWERS, number_in(cohort, "n"), "cohort_age=\"%dw\"", age);
        add(findings, MONITOR_COHORT_LABELS, number_in(cohort, "labelled"), "cohort_age=\"%dw\"", age);
        add(findings, MONITOR_LABEL_MATURITY, number_in(cohort, "maturity"), "cohort_age=\"%dw\"", age);
        for (int i = 0; i < ACTION_COUNT; i++) {
            const cJSON *known = field(field(cohort, "by_action"), action_names[i]);
            labelled[i] += number_in(known, "labelled");
            answers[i] += number_in(known, "n");
        }
    }
    for (int i = 0; i < ACTION_COUNT; i++)
        add(findings, MONITOR_VERIFIED_RATIO, labelled[i] / answers[i], "action=\"%s\"", action_names[i]);
}

// labels: in front of the method; "": none.
static void read_verified(const cJSON *rate, enum monitor_metric metric, const char *labels,
                          struct findings *findings)
{
    static const char *const methods[] = {"naive", "corrected"}, *const ends[] = {"lo", "hi"};
    char text[FINDING_LABELS_SIZE];
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%smethod=\"%s\"", labels, methods[i]);
        add_estimate(findings, metric, field(rate, methods[i]), text);
        add(findings, metric, item_of(field(rate, "bounds"), i), "%smethod=\"bounds\",bound=\"%s\"", labels,
            ends[i]);
    }
}

static void read_performance(const cJSON *performance, struct findings *findings)
{
    static const struct {
        const char *key;
        enum monitor_metric metric;
        const char *labels;
    } figures[] = {{"macro_auroc", MONITOR_AUROC_MACRO, ""},
                   {"accuracy", MONITOR_ACCURACY, ""},
                   {"balanced_accuracy", MONITOR_BALANCED_ACCURACY, ""},
                   {"ece", MONITOR_ECE, ""},
                   {"brier", MONITOR_BRIER, ""},
                   {"accuracy_gap", MONITOR_CBPE_GAP, "figure=\"accuracy\""},
                   {"auroc_gap", MONITOR_CBPE_GAP, "figure=\"auroc\""}};
    static const char *const expected[] = {"accuracy", "melanoma_sensitivity"};
    char label[NAME_SIZE];
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        add_estimate(findings, figures[i].metric, field(performance, figures[i].key), figures[i].labels);
    for (int i = 0; i < LESION_CLASSES; i++) {
        snprintf(label, sizeof label, "class=\"%s\"", lesion_codes[i]);
        add_estimate(findings, MONITOR_AUROC, field(field(performance, "auroc"), lesion_codes[i]), label);
    }
    for (int i = 0; i < 2; i++)
        add(findings, MONITOR_CBPE, number_in(field(performance, "expected"), expected[i]), "figure=\"%s\"",
            expected[i]);
    read_verified(field(performance, "melanoma_sensitivity"), MONITOR_SENSITIVITY, "class=\"MEL\",",
                  findings);
    read_verified(field(performance, "malignant_sensitivity"), MONITOR_SENSITIVITY, "class=\"malignant\",",
                  findings);
    read_verified(field(performance, "specificity"), MONITOR_SPECIFICITY, "", findings);
}

static void read_subgroup(const cJSON *subgroup, struct findings *findings)
{
    char by[NAME_SIZE], value[NAME_SIZE], labels[FINDING_LABELS_SIZE];
    name_in(subgroup, "by", by);
    name_in(subgroup, "value", value);
    snprintf(labels, sizeof labels, "by=\"%.16s\",value=\"%s\"", by, value);
    add(findings, MONITOR_SUBGROUP_POSITIVES, number_in(subgroup, "melanomas"), "%s", labels);
    add_estimate(findings, MONITOR_SUBGROUP_SENSITIVITY, field(subgroup, "sensitivity"), labels);
}

// ---- registered comparisons ----

// estimate: NaN where the document has the interval alone.
static void add_effect(struct findings *findings, const char *label, const char *metric, double estimate,
                       const cJSON *interval)
{
    const double values[] = {estimate, item_of(interval, 0), item_of(interval, 1)};
    static const char *const bounds[] = {"est", "lo", "hi"};
    for (int i = 0; i < 3; i++)
        add(findings, MONITOR_EXPERIMENT_EFFECT, values[i], "%s,metric=\"%s\",bound=\"%s\"", label, metric,
            bounds[i]);
}

static void read_effects(const cJSON *comparison, const char *label, struct findings *findings)
{
    static const char *const rates[] = {"melanoma_sensitivity", "atypical_sensitivity"};
    const cJSON *guardrail;
    for (int i = 0; i < 2; i++)
        add_effect(findings, label, rates[i], NAN, field(field(comparison, rates[i]), "difference"));
    cJSON_ArrayForEach(guardrail, field(comparison, "guardrails"))
    {
        char name[NAME_SIZE];
        name_in(guardrail, "name", name);
        add_effect(findings, label, name, number_in(guardrail, "difference"), field(guardrail, "interval"));
    }
}

static double decision_in(const cJSON *comparison)
{
    static const char *const decisions[] = {"not_enough", "none", "b", "a"};
    const cJSON *decision = field(comparison, "decision");
    for (int i = 0; cJSON_IsString(decision) && i < 4; i++)
        if (strcmp(decision->valuestring, decisions[i]) == 0)
            return i;
    return NAN;
}

static void read_comparison(const cJSON *comparison, struct findings *findings)
{
    static const struct {
        const char *arm, *patients, *seen, *planned;
    } arms[] = {{"a", "patients_a", "seen_a", "n_a"}, {"b", "patients_b", "seen_b", "n_b"}};
    const cJSON *plan = field(comparison, "plan"), *ratio = field(comparison, "srm");
    char name[NAME_SIZE], label[FINDING_LABELS_SIZE / 2];
    if (!cJSON_IsObject(plan))
        return;
    name_in(plan, "name", name);
    snprintf(label, sizeof label, "experiment=\"%s\"", name);
    for (int i = 0; i < 2; i++) {
        add(findings, MONITOR_EXPERIMENT_PATIENTS, number_in(ratio, arms[i].patients), "%s,arm=\"%s\"", label,
            arms[i].arm);
        add(findings, MONITOR_EXPERIMENT_MELANOMAS, number_in(plan, arms[i].seen), "%s,arm=\"%s\"", label,
            arms[i].arm);
        add(findings, MONITOR_EXPERIMENT_PLANNED, number_in(plan, arms[i].planned), "%s,arm=\"%s\"", label,
            arms[i].arm);
    }
    add(findings, MONITOR_EXPERIMENT_SRM, number_in(ratio, "p"), "%s", label);
    read_effects(comparison, label, findings);
    add(findings, MONITOR_EXPERIMENT_EVALUE, number_in(comparison, "e_value"), "%s", label);
    add(findings, MONITOR_EXPERIMENT_INFORMATION, number_in(comparison, "information"), "%s", label);
    add(findings, MONITOR_EXPERIMENT_POWER, number_in(plan, "power_with_seen"), "%s", label);
    add(findings, MONITOR_EXPERIMENT_STATE, decision_in(comparison), "%s", label);
}

void findings_read(const cJSON *document, struct findings *findings)
{
    const cJSON *subgroup, *cohorts = field(document, "cohorts");
    read_drift(document, findings);
    if (cohorts)
        read_cohorts(cohorts, findings);
    read_performance(field(document, "performance"), findings);
    read_comparison(field(document, "comparison"), findings);
    cJSON_ArrayForEach(subgroup, field(document, "subgroups")) read_subgroup(subgroup, findings);
    add(findings, MONITOR_FAIRNESS_STATE, state_in(field(document, "fairness")), "%s", "");
}

void findings_release(struct findings *findings)
{
    free(findings->items);
    *findings = (struct findings){0};
}
