// late_labels.c: the walk, and the document's keys of labels. Figures are of frozen cohorts where those have
// enough melanomas; until then of all labels there are, and the document says so.
#include "monitor/labels/late_labels.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/special.h"
#include "monitor/labels/estimates.h"
#include "monitor/labels/missed.h"
#include "monitor/labels/subgroups.h"

enum { SEED = 20261201, ROLLING_WEEKS = 4 };
static const int64_t hour_ms = 3600 * 1000;
// Row visits of all draws together: they are most of the report's time. Of cohorts: of all weeks, once for
// each week alone and once for four together.
static const double work_of_all = 1e8, work_of_cohorts = 4e7, far_share_most = 0.05;
// Of the macro AUROC: the alarm's limit, what a model should have, and what the alarm is to see.
static const double auroc_least = 0.93, auroc_well = 0.95, auroc_bad = 0.90;

static const char ok[] = "ok", suspended[] = "suspended", insufficient[] = "insufficient"; // of "expected"

enum status late_labels_init(struct late_labels *labels, int64_t from, int64_t to, int64_t known_at,
                             struct error *err)
{
    *labels = (struct late_labels){.from = from, .to = to, .known_at = known_at};
    return cohorts_init(&labels->cohorts, from, to, err);
}

void late_labels_release(struct late_labels *labels)
{
    cohorts_release(&labels->cohorts);
    labelled_release(&labels->list);
}

enum status late_labels_add(struct late_labels *labels, const struct analysis *analysis, struct error *err)
{
    cohorts_add(&labels->cohorts, analysis);
    return analysis_is_labelled(analysis) ? labelled_add(&labels->list, analysis, err) : STATUS_OK;
}

// ---- cohorts ----

static cJSON *known_of(int64_t labelled, int64_t n)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "n", (double)n);
    cJSON_AddNumberToObject(item, "labelled", (double)labelled);
    return item;
}

// The labels that count of some weeks, without those that came too late. The caller frees the rows.
static struct labelled *counted_rows(const struct late_labels *labels, const struct cohort *cohorts,
                                     size_t weeks, size_t *count)
{
    size_t most = cohorts[weeks - 1].end - cohorts[0].first;
    struct labelled *rows = memory_alloc((most + 1) * sizeof *rows);
    *count = 0;
    for (size_t week = 0; week < weeks; week++)
        for (size_t i = cohorts[week].first; i < cohorts[week].end; i++)
            if (cohort_counts(&cohorts[week], &labels->list.rows[i]))
                rows[(*count)++] = labels->list.rows[i];
    return rows;
}

static void judge_weeks(const struct late_labels *labels, const struct cohort *cohorts, size_t weeks,
                        struct judgement *judgement)
{
    size_t count;
    struct labelled *rows = counted_rows(labels, cohorts, weeks, &count);
    double share = (double)count / (double)(weeks * (labels->list.count + 1));
    const struct judgement_options options = {
        .seed = SEED, .level = ESTIMATE_LEVEL, .work = work_of_cohorts * share};
    judgement_make(rows, count, &options, judgement);
    free(rows);
}

static struct cohort sum_of(const struct cohorts *cohorts)
{
    struct cohort sum = {0};
    for (size_t i = 0; i < cohorts->count; i++) {
        const struct cohort *cohort = &cohorts->items[i];
        sum.n += cohort->n;
        sum.far += cohort->far;
        sum.placed += cohort->placed;
        sum.expected_right += cohort->expected_right;
        sum.expected_melanomas += cohort->expected_melanomas;
        sum.expected_referred_melanomas += cohort->expected_referred_melanomas;
    }
    return sum;
}

// Confidence-based estimation believes the probabilities. On images unlike the learnt ones they deserve none,
// and where no distance is known nobody can tell.
static const char *state_of_expected(const struct cohort *all)
{
    if (all->n > 0 && all->placed == 0)
        return insufficient;
    return interval_wilson((struct share){all->far, all->placed}, ESTIMATE_LEVEL).low > far_share_most
               ? suspended
               : ok;
}

static void add_expected(const struct cohort *cohort, const char *state, cJSON *item)
{
    cJSON *expected = cJSON_AddObjectToObject(item, "expected");
    bool known = state == ok && cohort->n >= JUDGEMENT_LEAST;
    estimate_add_number(expected, "accuracy", known ? cohort->expected_right / (double)cohort->n : NAN);
    estimate_add_number(expected, "melanoma_sensitivity",
                        known ? cohort->expected_referred_melanomas / cohort->expected_melanomas : NAN);
}

// state: of what is expected of all cohorts.
static cJSON *cohort_json(const struct late_labels *labels, const struct cohort *cohort, const char *state)
{
    char day[DAY_TEXT_SIZE];
    day_text(cohort->start, day);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "cohort", day);
    cJSON_AddStringToObject(item, "state",
                            cohort->frozen_at < 0 ? "open"
                            : cohort->closed      ? "closed"
                                                  : "mature");
    cJSON_AddNumberToObject(item, "n", (double)cohort->n);
    cJSON_AddNumberToObject(item, "labelled", (double)cohort->labelled);
    cJSON_AddNumberToObject(item, "labelled_later", (double)cohort->labelled_later);
    estimate_add_number(item, "maturity", cohort->maturity);
    if (cohort->frozen_at >= 0)
        day_text(cohort->frozen_at, day);
    cJSON_AddItemToObject(item, "frozen_on",
                          cohort->frozen_at < 0 ? cJSON_CreateNull() : cJSON_CreateString(day));
    cJSON *actions = cJSON_AddObjectToObject(item, "by_action");
    for (int a = 0; a < ACTION_COUNT; a++)
        cJSON_AddItemToObject(actions, action_names[a],
                              known_of(cohort->labelled_action[a], cohort->by_action[a]));
    cJSON *classes = cJSON_AddObjectToObject(item, "by_class");
    for (int c = 0; c < LESION_CLASSES; c++)
        cJSON_AddItemToObject(classes, lesion_codes[c],
                              known_of(cohort->labelled_class[c], cohort->by_class[c]));
    struct verified_groups groups = {0};
    cohort_groups_of_melanoma(cohort, &labels->list, &groups);
    struct verified_rate rate = rate_of_sensitivity(&groups);
    cJSON_AddItemToObject(item, "sensitivity_naive", estimate_naive(&rate));
    cJSON_AddItemToObject(item, "sensitivity_corrected", estimate_corrected(&rate));
    cJSON_AddItemToObject(item, "sensitivity_bounds", estimate_bounds(&rate));
    struct judgement judgement;
    judge_weeks(labels, cohort, 1, &judgement);
    cJSON_AddItemToObject(item, "auroc", estimate_judged(&judgement, JUDGED_MACRO_AUROC));
    cJSON_AddItemToObject(item, "ece", estimate_judged(&judgement, JUDGED_ECE));
    if (cohort - labels->cohorts.items >= ROLLING_WEEKS - 1) {
        judge_weeks(labels, cohort - (ROLLING_WEEKS - 1), ROLLING_WEEKS, &judgement);
        cJSON_AddItemToObject(item, "auroc_rolling", estimate_judged(&judgement, JUDGED_MACRO_AUROC));
    }
    add_expected(cohort, state, item);
    return item;
}

// ---- all of them ----

// Whose labels the figures of the whole time are made of.
struct basis {
    bool frozen; // frozen cohorts alone
    struct verified_groups melanoma, malignant;
    struct labelled *rows;
    size_t count;
};

static void gather(const struct late_labels *labels, bool frozen, struct basis *basis)
{
    *basis = (struct basis){.frozen = frozen};
    basis->rows = memory_alloc((labels->list.count + 1) * sizeof *basis->rows);
    for (size_t i = 0; i < labels->cohorts.count; i++) {
        const struct cohort *cohort = &labels->cohorts.items[i];
        if (frozen && cohort->frozen_at < 0)
            continue;
        cohort_groups_of_melanoma(cohort, &labels->list, &basis->melanoma);
        cohort_groups_of_malignant(cohort, &labels->list, &basis->malignant);
        for (size_t j = cohort->first; j < cohort->end; j++)
            if (cohort_counts(cohort, &labels->list.rows[j]))
                basis->rows[basis->count++] = labels->list.rows[j];
    }
}

static void choose_basis(const struct late_labels *labels, struct basis *basis)
{
    gather(labels, true, basis);
    if (basis->melanoma.positive.diseased + basis->melanoma.negative.diseased >= JUDGEMENT_LEAST_POSITIVES)
        return;
    free(basis->rows);
    gather(labels, false, basis);
}

static cJSON *rate_json(const struct verified_rate *rate)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddItemToObject(item, "naive", estimate_naive(rate));
    cJSON_AddItemToObject(item, "corrected", estimate_corrected(rate));
    cJSON_AddItemToObject(item, "bounds", estimate_bounds(rate));
    return item;
}

static void add_rates(const struct basis *basis, cJSON *performance)
{
    struct verified_rate rate = rate_of_sensitivity(&basis->melanoma);
    cJSON_AddItemToObject(performance, "melanoma_sensitivity", rate_json(&rate));
    rate = rate_of_sensitivity(&basis->malignant);
    cJSON_AddItemToObject(performance, "malignant_sensitivity", rate_json(&rate));
    rate = rate_of_specificity(&basis->malignant);
    cJSON_AddItemToObject(performance, "specificity", rate_json(&rate));
}

static void add_classes(const struct judgement *judgement, cJSON *performance)
{
    cJSON *aurocs = cJSON_AddObjectToObject(performance, "auroc");
    cJSON *left_out = cJSON_AddArrayToObject(performance, "auroc_left_out");
    for (int c = 0; c < LESION_CLASSES; c++) {
        cJSON_AddItemToObject(aurocs, lesion_codes[c], estimate_auroc(judgement, c));
        if (!judgement->eligible[c])
            cJSON_AddItemToArray(left_out, cJSON_CreateString(lesion_codes[c]));
    }
}

static void add_expected_of_all(const struct late_labels *labels, cJSON *performance)
{
    struct cohort sum = sum_of(&labels->cohorts);
    const char *state = state_of_expected(&sum);
    add_expected(&sum, state, performance);
    cJSON *expected = cJSON_GetObjectItem(performance, "expected");
    cJSON_AddStringToObject(expected, "state", state);
    if (state == suspended)
        cJSON_AddStringToObject(expected, "reason", "too many images are unlike what the model has learnt");
    else if (state == insufficient)
        cJSON_AddStringToObject(expected, "reason", "of no image is known how unlike the learnt ones it is");
}

// Of a report of that many days: how often the reading of a model whose area is `area` falls below the limit
// by `reach` standard errors.
static double days_until(const struct late_labels *labels, double area, double error, double reach)
{
    double days = (double)(labels->to - labels->from) / (24 * (double)hour_ms);
    return days / special_normal_tail((area - auroc_least) / error + reach);
}

// The sound rule looks at the upper end of the interval, the plain one at the reading alone. False alarms are
// those of a model that is as good as it should be.
static enum status auroc_alarms(const struct late_labels *labels, const struct judgement *judgement,
                                cJSON *document, struct error *err)
{
    double estimate = judgement->estimates[JUDGED_MACRO_AUROC];
    struct interval interval = judgement->intervals[JUDGED_MACRO_AUROC];
    double z = special_normal_quantile((1 + ESTIMATE_LEVEL) / 2);
    double error = (interval.high - interval.low) / (2 * z);
    bool known = !isnan(estimate) && error > 0;
    struct report_alarm alarm = {.name = "auroc_low",
                                 .value = estimate,
                                 .limit = auroc_least,
                                 .arl0_days = known ? days_until(labels, auroc_well, error, z) : NAN,
                                 .delay_days = known ? days_until(labels, auroc_bad, error, z) : NAN,
                                 .n = (int64_t)judgement->n,
                                 .since = -1};
    alarm.state = !known                        ? "insufficient"
                  : interval.high < auroc_least ? "critical"
                  : estimate < auroc_least      ? "warning"
                                                : "ok";
    struct report_alarm plain = alarm;
    plain.name = "plain_auroc";
    plain.plain = true;
    plain.state = !known ? "insufficient" : estimate < auroc_least ? "critical" : "ok";
    plain.arl0_days = known ? days_until(labels, auroc_well, error, 0) : NAN;
    plain.delay_days = known ? days_until(labels, auroc_bad, error, 0) : NAN;
    enum status status = report_add_alarm(document, &alarm, err);
    return status == STATUS_OK ? report_add_alarm(document, &plain, err) : status;
}

static enum status add_performance(const struct late_labels *labels, const struct basis *basis,
                                   cJSON *document, struct error *err)
{
    const struct judgement_options options = {
        .seed = SEED, .level = ESTIMATE_LEVEL, .work = work_of_all, .details = true};
    struct judgement judgement;
    judgement_make(basis->rows, basis->count, &options, &judgement);
    cJSON *performance = cJSON_AddObjectToObject(document, "performance");
    cJSON_AddStringToObject(performance, "basis", basis->frozen ? "frozen cohorts" : "all labels so far");
    cJSON_AddNumberToObject(performance, "seed", SEED);
    cJSON_AddNumberToObject(performance, "patients", (double)judgement.patients);
    add_rates(basis, performance);
    for (int f = 0; f < JUDGED_FIGURES; f++)
        cJSON_AddItemToObject(performance, judged_names[f], estimate_judged(&judgement, f));
    estimate_add_number(performance, "ece_null", judgement.n >= JUDGEMENT_LEAST ? judgement.ece_null : NAN);
    add_classes(&judgement, performance);
    add_expected_of_all(labels, performance);
    return auroc_alarms(labels, &judgement, document, err);
}

// Where labels come as they did, once in e^(72 h * rate) / rate: the gaps of a Poisson process.
static enum status stalled_alarm(const struct late_labels *labels, cJSON *document, struct error *err)
{
    const struct labelled_list *list = &labels->list;
    if (labels->known_at - labels->to > INT64_C(7) * 24 * hour_ms)
        return STATUS_OK; // of a time whose labels have long been in
    int64_t last = labels->from;
    for (size_t i = 0; i < list->count; i++)
        last = list->rows[i].reviewed_at > last ? list->rows[i].reviewed_at : last;
    const double most_h = 72;
    double span_h = (double)(last - labels->from) / (double)hour_ms, an_hour = (double)list->count / span_h;
    struct report_alarm alarm = {.name = "labels_stalled",
                                 .state = "insufficient",
                                 .value = NAN,
                                 .limit = most_h,
                                 .arl0_days = NAN,
                                 .delay_days = NAN,
                                 .n = (int64_t)list->count,
                                 .since = -1};
    if (list->count >= JUDGEMENT_LEAST && span_h > 0) {
        alarm.value = (double)(labels->known_at - last) / (double)hour_ms;
        alarm.state = alarm.value > most_h ? "warning" : "ok";
        alarm.since = alarm.value > most_h ? last : -1;
        alarm.arl0_days = expm1(most_h * an_hour) / an_hour / 24;
        alarm.delay_days = most_h / 24;
    }
    return report_add_alarm(document, &alarm, err);
}

enum status late_labels_write(struct late_labels *labels, double false_alarms_per_year, cJSON *document,
                              struct error *err)
{
    cohorts_close(&labels->cohorts, &labels->list, labels->known_at);
    cJSON *cohorts = cJSON_AddArrayToObject(document, "cohorts");
    struct cohort all = sum_of(&labels->cohorts);
    const char *state = state_of_expected(&all);
    for (size_t i = 0; i < labels->cohorts.count; i++)
        cJSON_AddItemToArray(cohorts, cohort_json(labels, &labels->cohorts.items[i], state));
    struct basis basis;
    choose_basis(labels, &basis);
    enum status status = add_performance(labels, &basis, document, err);
    const struct missed_options missed = {(double)(labels->to - labels->from) / 86400000.0,
                                          false_alarms_per_year, SEED};
    if (status == STATUS_OK)
        status = missed_write(&labels->cohorts, &labels->list, &missed, document, err);
    if (status == STATUS_OK)
        status = stalled_alarm(labels, document, err);
    if (status == STATUS_OK)
        status = late_labels_show(labels, document, err);
    if (status == STATUS_OK)
        status = subgroups_write(basis.rows, basis.count, &labels->list, document, err);
    free(basis.rows);
    return status;
}
