// arms_comparison_write.c: a comparison as JSON. What the design does not have is null.
#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/comparison/arms_report.h"
#include "monitor/comparison/registered_plan.h"
#include "monitor/labels/estimates.h"

static cJSON *pair_of(double low, double high)
{
    cJSON *item = cJSON_CreateArray();
    cJSON_AddItemToArray(item, isfinite(low) ? cJSON_CreateNumber(low) : cJSON_CreateNull());
    cJSON_AddItemToArray(item, isfinite(high) ? cJSON_CreateNumber(high) : cJSON_CreateNull());
    return item;
}

static void add_numbers(cJSON *object, const char *name, const int64_t numbers[ARMS])
{
    cJSON *item = cJSON_AddObjectToObject(object, name);
    cJSON_AddNumberToObject(item, "a", (double)numbers[ARM_A]);
    cJSON_AddNumberToObject(item, "b", (double)numbers[ARM_B]);
}

static void add_shares(const struct share found[ARMS], struct interval difference, cJSON *object,
                       const char *name)
{
    cJSON *item = cJSON_AddObjectToObject(object, name);
    cJSON_AddItemToObject(item, "a",
                          estimate_share(found[ARM_A], ARMS_ATYPICAL_LEAST, "fewer than 10 melanomas"));
    cJSON_AddItemToObject(item, "b",
                          estimate_share(found[ARM_B], ARMS_ATYPICAL_LEAST, "fewer than 10 melanomas"));
    bool known = found[ARM_A].trials >= ARMS_ATYPICAL_LEAST && found[ARM_B].trials >= ARMS_ATYPICAL_LEAST;
    cJSON_AddItemToObject(item, "difference",
                          known ? pair_of(difference.low, difference.high) : pair_of(NAN, NAN));
}

// The evidence itself, where it is no more than a double holds.
static double evidence_of(double logarithm)
{
    return exp(fmin(logarithm, 700));
}

static void add_paired(const struct paired_arms *paired, cJSON *item)
{
    const struct mcnemar *mcnemar = &paired->all.mcnemar;
    cJSON *test = cJSON_AddObjectToObject(item, "mcnemar");
    cJSON_AddNumberToObject(test, "b", (double)mcnemar->b);
    cJSON_AddNumberToObject(test, "c", (double)mcnemar->c);
    bool known = paired->all.n > 0;
    estimate_add_number(test, "p", known ? mcnemar->p : NAN);
    estimate_add_number(test, "mid_p", known ? mcnemar->mid_p : NAN);
    estimate_add_number(item, "e_value", known ? evidence_of(paired->all.for_b_log) : NAN);
    cJSON_AddNumberToObject(item, "e_value_most", evidence_of(paired->all.for_b_log_most));
    cJSON_AddNumberToObject(item, "e_value_against_most", evidence_of(paired->all.for_a_log_most));
    cJSON_AddNumberToObject(item, "e_value_atypical_most", evidence_of(paired->atypical.for_b_log_most));
    cJSON_AddNumberToObject(item, "evidence_wanted", PAIRED_EVIDENCE);
    add_shares(paired->all.found, paired->all.difference, item, "melanoma_sensitivity");
    add_shares(paired->atypical.found, paired->atypical.difference, item, "atypical_sensitivity");
    if (!paired->has_auroc) {
        cJSON_AddNullToObject(item, "delong");
        return;
    }
    const struct auroc_comparison *auroc = &paired->melanoma_auroc;
    cJSON *delong = cJSON_AddObjectToObject(item, "delong");
    cJSON_AddNumberToObject(delong, "a", auroc->a.estimate);
    cJSON_AddNumberToObject(delong, "b", auroc->b.estimate);
    cJSON_AddNumberToObject(delong, "z", auroc->z);
    cJSON_AddNumberToObject(delong, "p", auroc->p);
}

static void add_nothing_paired(cJSON *item)
{
    cJSON_AddNullToObject(item, "mcnemar");
    cJSON_AddNullToObject(item, "e_value");
    cJSON_AddNullToObject(item, "delong");
}

static void add_p(cJSON *item, const char *name, double p)
{
    estimate_add_number(cJSON_AddObjectToObject(item, name), "p", p);
}

static void add_looks(const struct split_evidence *evidence, cJSON *item)
{
    cJSON *looks = cJSON_AddArrayToObject(item, "looks");
    for (int i = 0; i < SPLIT_LOOKS; i++) {
        const struct split_look *look = &evidence->looks[i];
        cJSON *of = cJSON_CreateObject();
        cJSON_AddNumberToObject(of, "information", look->information);
        cJSON_AddNumberToObject(of, "limit", look->limit);
        cJSON_AddNumberToObject(of, "n_a", (double)look->n[ARM_A]);
        cJSON_AddNumberToObject(of, "n_b", (double)look->n[ARM_B]);
        estimate_add_number(of, "z_not_worse", look->done ? look->not_worse : NAN);
        estimate_add_number(of, "z_better", look->done ? look->better : NAN);
        cJSON_AddItemToArray(looks, of);
    }
}

static void add_split(const struct split_arms *split, cJSON *item)
{
    add_p(item, "fisher", split->fisher_p);
    add_p(item, "boschloo", split->boschloo_p);
    add_shares(split->all.found, split->all.difference, item, "melanoma_sensitivity");
    add_shares(split->atypical.found, split->atypical.difference, item, "atypical_sensitivity");
    cJSON_AddNumberToObject(item, "information", split->all.information);
    add_numbers(item, "planned_melanomas", split->planned);
    add_numbers(item, "planned_atypical", split->planned_atypical);
    add_looks(&split->all, item);
    estimate_add_number(item, "conditional_power", split->all.conditional_power);
    cJSON *ratio = cJSON_AddObjectToObject(item, "srm");
    estimate_add_number(ratio, "p", split->ratio_p);
    estimate_add_number(ratio, "planned_share_b", split->planned_share_b);
    cJSON_AddBoolToObject(ratio, "registered", split->share_is_registered);
    cJSON_AddNumberToObject(ratio, "patients_a", (double)split->patients[ARM_A]);
    cJSON_AddNumberToObject(ratio, "patients_b", (double)split->patients[ARM_B]);
    estimate_add_number(ratio, "failed_p", split->failed_p);
    if (isnan(split->failed_p))
        cJSON_AddStringToObject(ratio, "failed_reason", "no error names one of the models, or all do");
    estimate_add_number(ratio, "labelled_p", split->labelled_p);
}

static void add_guardrails(const struct arms_comparison *comparison, cJSON *item)
{
    cJSON *guardrails = cJSON_AddArrayToObject(item, "guardrails");
    for (int i = 0; i < GUARDRAILS; i++) {
        const struct guardrail *guardrail = &comparison->guardrails[i];
        cJSON *of = cJSON_CreateObject();
        cJSON_AddStringToObject(of, "name", guardrail->name);
        cJSON_AddStringToObject(of, "state", guardrail_state_names[guardrail->state]);
        estimate_add_number(of, "difference", guardrail->difference);
        cJSON_AddItemToObject(of, "interval", pair_of(guardrail->interval.low, guardrail->interval.high));
        cJSON_AddNumberToObject(of, "margin", guardrail->margin);
        cJSON_AddNumberToObject(of, "n_a", (double)guardrail->n[ARM_A]);
        cJSON_AddNumberToObject(of, "n_b", (double)guardrail->n[ARM_B]);
        cJSON_AddItemToArray(guardrails, of);
    }
    cJSON_AddNumberToObject(item, "seed", GUARDRAIL_SEED);
}

// log10 of the evidence for b at the end of each day, and where it is enough.
static enum status add_course(const struct arms_comparison *comparison, cJSON *document, struct error *err)
{
    size_t most = (size_t)comparison->paired.all.n;
    double *y = memory_alloc((most + 1) * sizeof *y), *limit = memory_alloc((most + 1) * sizeof *limit);
    int64_t *at = memory_alloc((most + 1) * sizeof *at), *n = memory_alloc((most + 1) * sizeof *n);
    size_t count = paired_arms_course(&comparison->pairs, y, at, n);
    for (size_t i = 0; i < count; i++) {
        y[i] /= log(10);
        limit[i] = log10(PAIRED_EVIDENCE);
    }
    const struct report_series series = {.chart = "Evidence that b refers more melanomas",
                                         .name = "log10 of the e-value",
                                         .unit = "",
                                         .count = count,
                                         .at = at,
                                         .y = y,
                                         .limit = limit,
                                         .n = n};
    enum status status = report_add_series(document, &series, err);
    free(y);
    free(limit);
    free(at);
    free(n);
    return status;
}

// No run length stands beside it: how often somebody looks is not known.
static enum status add_ratio_alarm(const struct split_arms *split, cJSON *document, struct error *err)
{
    const struct report_alarm alarm = {
        .name = "sample_ratio",
        .state = isnan(split->ratio_p)            ? "insufficient"
                 : split->ratio_p < SPLIT_RATIO_P ? "critical"
                                                  : "ok",
        .value = split->ratio_p,
        .limit = SPLIT_RATIO_P,
        .arl0_days = NAN,
        .delay_days = NAN,
        .n = split->patients[ARM_A] + split->patients[ARM_B],
        .since = -1,
    };
    return report_add_alarm(document, &alarm, err);
}

enum status arms_comparison_write(const struct arms_comparison *comparison, const char *a, const char *b,
                                  const struct archive_plan *plan, cJSON *document, struct error *err)
{
    bool is_paired = comparison->is_paired;
    const struct share *found = is_paired ? comparison->paired.all.found : comparison->split.all.found;
    cJSON *item = cJSON_AddObjectToObject(document, "comparison");
    cJSON_AddStringToObject(item, "design", is_paired ? "paired" : "ab");
    cJSON_AddStringToObject(item, "a", a);
    cJSON_AddStringToObject(item, "b", b);
    cJSON_AddNumberToObject(
        item, "n", (double)(is_paired ? found[ARM_A].trials : found[ARM_A].trials + found[ARM_B].trials));
    cJSON_AddNumberToObject(item, "pairs", (double)comparison->pairs.count);
    cJSON_AddNumberToObject(item, "contradictory_labels", (double)comparison->pairs.contradictory);
    if (is_paired) {
        add_paired(&comparison->paired, item);
        cJSON_AddNullToObject(item, "fisher");
        cJSON_AddNullToObject(item, "boschloo");
        cJSON_AddNullToObject(item, "srm");
    } else {
        add_nothing_paired(item);
        add_split(&comparison->split, item);
    }
    cJSON *welch = cJSON_AddObjectToObject(item, "welch");
    estimate_add_number(welch, "difference_ms", comparison->split.latency.difference);
    estimate_add_number(welch, "t", comparison->split.latency.t);
    estimate_add_number(welch, "df", comparison->split.latency.df);
    estimate_add_number(welch, "p", comparison->split.latency.p);
    add_guardrails(comparison, item);
    estimate_add_number(item, "power", is_paired ? comparison->paired.power : comparison->split.power);
    cJSON_AddStringToObject(item, "decision", comparison->decision);
    cJSON_AddStringToObject(item, "reason", comparison->reason);
    registered_plan_write(
        plan, &(struct plan_progress){found[ARM_A].trials, found[ARM_B].trials, comparison->began}, item);
    return is_paired ? add_course(comparison, document, err)
                     : add_ratio_alarm(&comparison->split, document, err);
}
