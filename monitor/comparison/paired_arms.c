// paired_arms.c: counts pairs that differ.
#include "monitor/comparison/paired_arms.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/power.h"
#include "common/statistics/sequential.h"
#include "monitor/comparison/subjects.h"
#include "monitor/labels/judgement.h"
#include "monitor/labels/labelled.h"

static const int64_t day_ms = 24 * 3600 * 1000;

static bool is_melanoma(const struct arm_pair *pair, bool atypical_alone)
{
    return pair->truth == LESION_MEL && (pair->atypical || !atypical_alone);
}

static bool found_by(const struct arm_pair *pair, int arm)
{
    return action_is_referral(pair->answers[arm]->action);
}

static struct interval exact_difference(int64_t only_a, int64_t only_b, int64_t n)
{
    struct interval lost = interval_clopper_pearson((struct share){only_a, n}, 0.975);
    struct interval won = interval_clopper_pearson((struct share){only_b, n}, 0.975);
    return (struct interval){won.low - lost.high, won.high - lost.low};
}

// Of each patient the melanoma that became known first, so that what was counted once is never counted
// otherwise. In the order of reviews; the caller frees them.
static const struct arm_pair **melanomas_of(const struct arm_pairs *pairs, bool atypical_alone, size_t *count)
{
    const struct arm_pair **found = memory_alloc((pairs->count + 1) * sizeof *found);
    uint64_t *subjects = memory_alloc((pairs->count + 1) * sizeof *subjects);
    bool *is_first = memory_alloc(pairs->count + 1);
    size_t melanomas = 0;
    for (size_t i = 0; i < pairs->count; i++)
        if (is_melanoma(&pairs->items[i], atypical_alone)) {
            subjects[melanomas] = pairs->items[i].answers[ARM_A]->subject;
            found[melanomas++] = &pairs->items[i];
        }
    subjects_mark_first(subjects, melanomas, is_first);
    *count = 0;
    for (size_t i = 0; i < melanomas; i++)
        if (is_first[i])
            found[(*count)++] = found[i];
    free(subjects);
    free(is_first);
    return found;
}

static void judge_melanomas(const struct arm_pairs *pairs, bool atypical_alone,
                            struct paired_evidence *evidence)
{
    int64_t only_a = 0, only_b = 0;
    size_t count;
    const struct arm_pair **melanomas = melanomas_of(pairs, atypical_alone, &count);
    *evidence = (struct paired_evidence){.n = (int64_t)count};
    for (size_t i = 0; i < count; i++) {
        bool a = found_by(melanomas[i], ARM_A), b = found_by(melanomas[i], ARM_B);
        evidence->found[ARM_A].successes += a;
        evidence->found[ARM_B].successes += b;
        only_a += a && !b;
        only_b += b && !a;
        evidence->for_b_log = e_process_log(only_b, only_a);
        evidence->for_a_log = e_process_log(only_a, only_b);
        evidence->for_b_log_most = fmax(evidence->for_b_log_most, evidence->for_b_log);
        evidence->for_a_log_most = fmax(evidence->for_a_log_most, evidence->for_a_log);
    }
    evidence->found[ARM_A].trials = evidence->found[ARM_B].trials = evidence->n;
    evidence->mcnemar = mcnemar_test(only_a, only_b);
    evidence->difference = exact_difference(only_a, only_b, evidence->n);
    free(melanomas);
}

// What an area is computed from: pairs with one of the eight diagnoses.
struct scored_pairs {
    bool *is_positive;
    double *scores[ARMS];
    struct labelled *subjects; // of these, the field of that name alone
    size_t count, positives;
};

static void judge_auroc(const struct scored_pairs *scored, struct paired_arms *paired)
{
    paired->has_auroc = scored->positives >= JUDGEMENT_LEAST_POSITIVES &&
                        scored->count - scored->positives >= JUDGEMENT_LEAST_POSITIVES;
    if (!paired->has_auroc)
        return;
    uint32_t *clusters = memory_alloc(scored->count * sizeof *clusters);
    clusters_of(scored->subjects, scored->count, clusters);
    const struct scored_images images = {scored->is_positive, clusters, scored->count};
    paired->melanoma_auroc = auroc_compare(&images, scored->scores[ARM_A], scored->scores[ARM_B]);
    free(clusters);
}

static void score_pairs(const struct arm_pairs *pairs, struct paired_arms *paired)
{
    struct scored_pairs scored = {
        .is_positive = memory_alloc(pairs->count + 1),
        .scores = {memory_alloc((pairs->count + 1) * sizeof(double)),
                   memory_alloc((pairs->count + 1) * sizeof(double))},
        .subjects = memory_alloc((pairs->count + 1) * sizeof(struct labelled)),
    };
    for (size_t i = 0; i < pairs->count; i++) {
        const struct arm_pair *pair = &pairs->items[i];
        if (pair->truth < 0 || pair->truth >= LESION_CLASSES)
            continue;
        scored.is_positive[scored.count] = pair->truth == LESION_MEL;
        scored.positives += pair->truth == LESION_MEL;
        for (int arm = 0; arm < ARMS; arm++)
            scored.scores[arm][scored.count] = (double)pair->answers[arm]->melanoma;
        scored.subjects[scored.count++].subject = pair->answers[ARM_A]->subject;
    }
    judge_auroc(&scored, paired);
    free(scored.is_positive);
    free(scored.scores[ARM_A]);
    free(scored.scores[ARM_B]);
    free(scored.subjects);
}

void paired_arms_judge(const struct arm_pairs *pairs, struct paired_arms *paired)
{
    *paired = (struct paired_arms){0};
    judge_melanomas(pairs, false, &paired->all);
    judge_melanomas(pairs, true, &paired->atypical);
    score_pairs(pairs, paired);
    paired->power = mcnemar_power(paired->all.n, PAIRED_WORSE, PAIRED_BETTER, 1 / PAIRED_EVIDENCE);
}

size_t paired_arms_course(const struct arm_pairs *pairs, double *log_e, int64_t *at, int64_t *n)
{
    int64_t only_a = 0, only_b = 0;
    size_t days = 0, count;
    const struct arm_pair **melanomas = melanomas_of(pairs, false, &count);
    for (size_t i = 0; i < count; i++) {
        const struct arm_pair *pair = melanomas[i];
        int64_t day = pair->reviewed_at - pair->reviewed_at % day_ms;
        if (days == 0 || at[days - 1] != day)
            at[days++] = day;
        only_a += found_by(pair, ARM_A) && !found_by(pair, ARM_B);
        only_b += found_by(pair, ARM_B) && !found_by(pair, ARM_A);
        n[days - 1] = (int64_t)i + 1;
        log_e[days - 1] = e_process_log(only_b, only_a);
    }
    free(melanomas);
    return days;
}
