// split_arms.c: shares, looks and ratios.
#include "monitor/comparison/split_arms.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/chi_square.h"
#include "common/statistics/power.h"
#include "common/statistics/sequential.h"
#include "common/statistics/two_by_two.h"
#include "monitor/comparison/subjects.h"
#include "monitor/labels/labelled.h"

static const int64_t hour_ms = 3600 * 1000;
static const double look_information[SPLIT_LOOKS] = {0.25, 0.5, 0.75, 1};

struct split_melanoma {
    int64_t reviewed_at, at;
    uint64_t image, subject;
    uint8_t arm;
    bool found;
};

static int by_review(const void *left, const void *right)
{
    const struct split_melanoma *a = left, *b = right;
    int order = (a->reviewed_at > b->reviewed_at) - (a->reviewed_at < b->reviewed_at);
    if (order == 0)
        order = (a->at > b->at) - (a->at < b->at);
    if (order == 0)
        order = (a->image > b->image) - (a->image < b->image);
    return order ? order : a->arm - b->arm;
}

// Of each patient of an arm the melanoma that became known first, so that what a look has counted stays as it
// was. Returns how many are left.
static size_t keep_first(struct split_melanoma *melanomas, size_t count)
{
    uint64_t *subjects = memory_alloc((count + 1) * sizeof *subjects);
    bool *is_first = memory_alloc(count + 1);
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        subjects[i] = melanomas[i].subject << 1 | melanomas[i].arm;
    subjects_mark_first(subjects, count, is_first);
    for (size_t i = 0; i < count; i++)
        if (is_first[i])
            melanomas[left++] = melanomas[i];
    free(subjects);
    free(is_first);
    return left;
}

static struct split_melanoma *melanomas_of(const struct arms *arms, bool atypical_alone, size_t *count)
{
    struct split_melanoma *melanomas =
        memory_alloc((arms->arm[ARM_A].count + arms->arm[ARM_B].count + 1) * sizeof *melanomas);
    *count = 0;
    for (uint8_t a = 0; a < ARMS; a++)
        for (size_t i = 0; i < arms->arm[a].count; i++) {
            const struct arm_answer *answer = &arms->arm[a].answers[i];
            if (answer->truth == LESION_MEL && (answer->atypical || !atypical_alone))
                melanomas[(*count)++] = (struct split_melanoma){
                    answer->reviewed_at, answer->at, answer->image,
                    answer->subject,     a,          action_is_referral(answer->action)};
        }
    qsort(melanomas, *count, sizeof *melanomas, by_review);
    *count = keep_first(melanomas, *count);
    return melanomas;
}

// Of the information of a difference of shares: harmonic mean of both arms.
static double information_of(const struct share found[ARMS], const int64_t planned[ARMS])
{
    if (found[ARM_A].trials == 0 || found[ARM_B].trials == 0)
        return 0;
    return (1 / (double)planned[ARM_A] + 1 / (double)planned[ARM_B]) /
           (1 / (double)found[ARM_A].trials + 1 / (double)found[ARM_B].trials);
}

// One more success and one more failure in each arm (Agresti and Caffo 2000), so that arms without a miss
// have a spread too.
static double adjusted(struct share found)
{
    return ((double)found.successes + 1) / ((double)found.trials + 2);
}

static void look(const struct share found[ARMS], struct split_look *at)
{
    double a = adjusted(found[ARM_A]), b = adjusted(found[ARM_B]);
    double error = sqrt(a * (1 - a) / ((double)found[ARM_A].trials + 2) +
                        b * (1 - b) / ((double)found[ARM_B].trials + 2));
    at->done = true;
    at->n[ARM_A] = found[ARM_A].trials;
    at->n[ARM_B] = found[ARM_B].trials;
    at->better = (b - a) / error;
    at->worse = -at->better;
    at->not_worse = (b - a + SPLIT_MARGIN) / error;
}

static void judge_melanomas(const struct arms *arms, bool atypical_alone, const int64_t planned[ARMS],
                            struct split_evidence *evidence)
{
    size_t count, next = 0;
    struct split_melanoma *melanomas = melanomas_of(arms, atypical_alone, &count);
    const struct sequential_plan plan = {SPENDING_OBRIEN_FLEMING, SPLIT_ALPHA, false, look_information,
                                         SPLIT_LOOKS};
    double limits[SPLIT_LOOKS];
    sequential_limits(&plan, limits);
    *evidence = (struct split_evidence){0};
    for (int i = 0; i < SPLIT_LOOKS; i++)
        evidence->looks[i] = (struct split_look){.information = look_information[i], .limit = limits[i]};
    for (size_t i = 0; i < count; i++) {
        struct share *found = &evidence->found[melanomas[i].arm];
        found->trials++;
        found->successes += melanomas[i].found;
        evidence->information = information_of(evidence->found, planned);
        while (next < SPLIT_LOOKS && evidence->information >= look_information[next])
            look(evidence->found, &evidence->looks[next++]);
    }
    for (size_t i = 0; i < next; i++) {
        const struct split_look *at = &evidence->looks[i];
        evidence->not_worse |= at->not_worse >= at->limit;
        evidence->better |= at->better >= at->limit;
        evidence->worse |= at->worse >= at->limit;
    }
    evidence->conditional_power = NAN;
    if (next > 0 && next < SPLIT_LOOKS) {
        double z = evidence->looks[next - 1].better, information = look_information[next - 1];
        evidence->conditional_power =
            conditional_power(z, information, limits[SPLIT_LOOKS - 1], z / sqrt(information));
    }
    evidence->difference = interval_newcombe(evidence->found[ARM_B], evidence->found[ARM_A], 0.90);
    free(melanomas);
}

// Which of an arm's patients are counted.
enum counted { WITH_ANSWER, WITH_LABEL, WITH_FAILURE, WITH_EITHER };

// While both models get patients: before and after it all of them are one model's, whatever the split is.
struct overlap {
    int64_t first, last; // Unix ms, both within
};

// Of an arm's answers and failures.
static struct overlap time_of(const struct arm *arm)
{
    struct overlap time = {INT64_MAX, -1};
    if (arm->count > 0)
        time = (struct overlap){arm->answers[0].at, arm->answers[arm->count - 1].at};
    if (arm->failed_count > 0) {
        int64_t first = arm->failed[0].at, last = arm->failed[arm->failed_count - 1].at;
        time.first = first < time.first ? first : time.first;
        time.last = last > time.last ? last : time.last;
    }
    return time;
}

static struct overlap overlap_of(const struct arm *a, const struct arm *b)
{
    const struct overlap of_a = time_of(a), of_b = time_of(b);
    return (struct overlap){of_a.first > of_b.first ? of_a.first : of_b.first,
                            of_a.last < of_b.last ? of_a.last : of_b.last};
}

static bool is_within(const struct overlap *overlap, int64_t at)
{
    return at >= overlap->first && at <= overlap->last;
}

static int64_t patients_of(const struct arm *arm, const struct overlap *overlap, enum counted counted)
{
    uint64_t *subjects = memory_alloc((arm->count + arm->failed_count + 1) * sizeof *subjects);
    size_t count = 0;
    for (size_t i = 0; counted != WITH_FAILURE && i < arm->count; i++)
        if (is_within(overlap, arm->answers[i].at) && (counted != WITH_LABEL || arm->answers[i].truth >= 0))
            subjects[count++] = arm->answers[i].subject;
    for (size_t i = 0; counted >= WITH_FAILURE && i < arm->failed_count; i++)
        if (is_within(overlap, arm->failed[i].at))
            subjects[count++] = arm->failed[i].subject;
    size_t found = subjects_count(subjects, count);
    free(subjects);
    return (int64_t)found;
}

static double nearest_step(double share)
{
    static const double ramp[] = {0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99};
    double best = ramp[0];
    for (size_t i = 1; i < sizeof ramp / sizeof *ramp; i++)
        if (fabs(ramp[i] - share) < fabs(best - share))
            best = ramp[i];
    return best;
}

// Whether something happens equally often in both arms; NaN: it happens always, or never.
static double equal_p(int64_t of_a, int64_t all_a, int64_t of_b, int64_t all_b)
{
    const int64_t counts[] = {of_a, all_a - of_a, of_b, all_b - of_b};
    const struct contingency table = {counts, 2, 2};
    struct chi_square_test test = chi_square_independence(&table);
    return test.df > 0 ? test.p : NAN;
}

static void judge_ratio(const struct arms *arms, double share_b, struct split_arms *split)
{
    const struct arm *a = &arms->arm[ARM_A], *b = &arms->arm[ARM_B];
    const struct overlap overlap = overlap_of(a, b);
    split->patients[ARM_A] = patients_of(a, &overlap, WITH_EITHER);
    split->patients[ARM_B] = patients_of(b, &overlap, WITH_EITHER);
    split->ratio_p = split->failed_p = split->labelled_p = split->planned_share_b = NAN;
    split->share_is_registered = !isnan(share_b);
    if (split->patients[ARM_A] == 0 || split->patients[ARM_B] == 0)
        return;
    double all = (double)(split->patients[ARM_A] + split->patients[ARM_B]);
    split->planned_share_b = isnan(share_b) ? nearest_step((double)split->patients[ARM_B] / all) : share_b;
    const double shares[ARMS] = {1 - split->planned_share_b, split->planned_share_b};
    split->ratio_p = chi_square_fit(split->patients, shares, ARMS, 0).p;
    split->failed_p = equal_p(patients_of(a, &overlap, WITH_FAILURE), split->patients[ARM_A],
                              patients_of(b, &overlap, WITH_FAILURE), split->patients[ARM_B]);
    split->labelled_p = equal_p(patients_of(a, &overlap, WITH_LABEL), patients_of(a, &overlap, WITH_ANSWER),
                                patients_of(b, &overlap, WITH_LABEL), patients_of(b, &overlap, WITH_ANSWER));
}

// What is slow at once is slow for all, so an hour is one observation.
static struct moments latency_of(const struct arm *arm)
{
    double *latencies = memory_alloc((arm->count + 1) * sizeof *latencies);
    int64_t *hours = memory_alloc((arm->count + 1) * sizeof *hours);
    size_t count = 0;
    for (size_t i = 0; i < arm->count; i++)
        if (!isnan(arm->answers[i].latency_ms)) {
            latencies[count] = (double)arm->answers[i].latency_ms;
            hours[count++] = arm->answers[i].at / hour_ms;
        }
    struct moments moments = moments_of(latencies, hours, count);
    free(latencies);
    free(hours);
    return moments;
}

static void plan_arms(double size_of_a, double ratio, int64_t planned[ARMS])
{
    planned[ARM_A] = (int64_t)ceil(size_of_a);
    planned[ARM_B] = (int64_t)ceil(size_of_a * ratio);
}

void split_arms_judge(const struct arms *arms, double share_b, struct split_arms *split)
{
    *split = (struct split_arms){.fisher_p = NAN, .boschloo_p = NAN};
    judge_ratio(arms, share_b, split);
    double ratio = isnan(split->planned_share_b) ? 1 : split->planned_share_b / (1 - split->planned_share_b);
    const struct comparison_plan plan = {SPLIT_ALPHA, SPLIT_POWER, false, ratio};
    plan_arms(size_for_non_inferiority(&plan, SPLIT_SHARE, SPLIT_SHARE, SPLIT_MARGIN), ratio, split->planned);
    plan_arms(size_for_shares(&plan, SPLIT_ATYPICAL_SHARE, SPLIT_ATYPICAL_BETTER), ratio,
              split->planned_atypical);
    judge_melanomas(arms, false, split->planned, &split->all);
    judge_melanomas(arms, true, split->planned_atypical, &split->atypical);
    struct share a = split->all.found[ARM_A], b = split->all.found[ARM_B];
    if (a.trials > 0 && b.trials > 0) {
        split->fisher_p = fisher_p(b, a, ALTERNATIVE_GREATER);
        if (a.trials + b.trials <= SPLIT_BOSCHLOO_MOST)
            split->boschloo_p = boschloo_p(b, a, ALTERNATIVE_GREATER);
        split->power = fisher_power((struct true_share){b.trials, SPLIT_BETTER},
                                    (struct true_share){a.trials, SPLIT_SHARE}, SPLIT_ALPHA);
    }
    struct moments latency_a = latency_of(&arms->arm[ARM_A]), latency_b = latency_of(&arms->arm[ARM_B]);
    split->latency = welch_test(&latency_b, &latency_a, 0.95);
}
