// arms_compare.c: what the evidence of either design decides.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/comparison/arms_report.h"

// What both designs say in the same words.
struct findings {
    bool worse, not_worse, better, complete;
};

static struct findings find_paired(const struct paired_arms *paired)
{
    const struct paired_evidence *all = &paired->all;
    const struct paired_evidence *goal = paired->atypical.n >= ARMS_ATYPICAL_LEAST ? &paired->atypical : all;
    const double enough = log(PAIRED_EVIDENCE);
    return (struct findings){
        .worse = all->for_a_log_most >= enough,
        .not_worse = all->difference.low > -PAIRED_MARGIN,
        .better = goal->for_b_log_most >= enough,
        .complete = paired->power >= SPLIT_POWER,
    };
}

static struct findings find_split(const struct split_arms *split)
{
    const struct split_evidence *all = &split->all;
    const struct share *atypical = split->atypical.found;
    bool has_atypical =
        atypical[ARM_A].trials >= ARMS_ATYPICAL_LEAST && atypical[ARM_B].trials >= ARMS_ATYPICAL_LEAST;
    return (struct findings){
        .worse = all->worse,
        .not_worse = all->not_worse,
        .better = has_atypical ? split->atypical.better : all->better,
        .complete = all->information >= 1,
    };
}

// Sensitivity is of labelled melanomas, and who was told to wait seldom gets a label: an arm that refers
// fewer has fewer labels, and looks better by those that it misses.
static bool is_split_as_planned(const struct split_arms *split)
{
    return !(split->ratio_p < SPLIT_RATIO_P || split->failed_p < SPLIT_RATIO_P ||
             split->labelled_p < SPLIT_RATIO_P); // NaN: nothing says it is not
}

static const char *what_is_missing(const struct arms_comparison *comparison, const struct findings *found)
{
    return comparison->began < 0 ? "b has no answer"
           : !found->not_worse   ? "that b is not worse is not shown"
           : !found->better      ? "that b is better is not shown"
                                 : "a guardrail has not enough evidence";
}

static void decide(struct arms_comparison *comparison)
{
    struct findings found =
        comparison->is_paired ? find_paired(&comparison->paired) : find_split(&comparison->split);
    bool broken = false, all_met = true;
    for (int i = 0; i < GUARDRAILS; i++) {
        broken |= comparison->guardrails[i].state == GUARDRAIL_BROKEN;
        all_met &= comparison->guardrails[i].state == GUARDRAIL_OK;
    }
    comparison->decision = "not_enough";
    comparison->reason = what_is_missing(comparison, &found);
    if (!comparison->is_paired && !is_split_as_planned(&comparison->split)) {
        comparison->reason =
            "the arms are not split as planned, fail or get labels unequally often: no figure holds";
    } else if (found.worse || broken) {
        comparison->decision = "a";
        comparison->reason = found.worse ? "b refers fewer melanomas" : "b breaks a guardrail";
    } else if (found.not_worse && found.better && all_met) {
        comparison->decision = "b";
        comparison->reason = "b is not worse, better on what was to become better, and keeps the guardrails";
    } else if (found.not_worse && found.complete && !found.better) {
        comparison->decision = "none";
        comparison->reason = "b is not worse, and the planned evidence shows nothing that is better";
    }
}

// Every answer to a lesion that is one of the eight; of pairs both.
static struct known_answer *known_answers(const struct arms *arms, const struct arms_comparison *comparison,
                                          size_t *count)
{
    const struct arm_pairs *pairs = &comparison->pairs;
    size_t most = comparison->is_paired ? 2 * pairs->count : arms->arm[ARM_A].count + arms->arm[ARM_B].count;
    struct known_answer *known = memory_alloc((most + 1) * sizeof *known);
    *count = 0;
    for (uint8_t arm = 0; arm < ARMS; arm++) {
        size_t answers = comparison->is_paired ? pairs->count : arms->arm[arm].count;
        for (size_t i = 0; i < answers; i++) {
            const struct arm_answer *answer =
                comparison->is_paired ? pairs->items[i].answers[arm] : &arms->arm[arm].answers[i];
            int truth = comparison->is_paired ? pairs->items[i].truth : answer->truth;
            if (truth >= 0 && truth < LESION_CLASSES)
                known[(*count)++] = (struct known_answer){
                    comparison->is_paired ? pairs->items[i].answers[ARM_A]->subject : answer->subject, arm,
                    (uint8_t)truth, answer->said == truth};
        }
    }
    return known;
}

void arms_compare(const struct arms *arms, const struct archive_plan *plan,
                  struct arms_comparison *comparison)
{
    const struct arm *b = &arms->arm[ARM_B];
    size_t count;
    *comparison =
        (struct arms_comparison){.pairs = arms_pair(arms), .began = b->count > 0 ? b->answers[0].at : -1};
    comparison->is_paired = arms_are_paired(arms, &comparison->pairs);
    split_arms_judge(arms, plan && !plan->paired ? plan->share_b : NAN, &comparison->split);
    if (comparison->is_paired)
        paired_arms_judge(&comparison->pairs, &comparison->paired);
    struct known_answer *known = known_answers(arms, comparison, &count);
    comparison->guardrails[0] = guardrail_balanced_accuracy(known, count);
    comparison->guardrails[1] = guardrail_latency(arms);
    free(known);
    decide(comparison);
    if (plan && comparison->began >= 0 && plan->paired != comparison->is_paired) {
        comparison->decision = "not_enough";
        comparison->reason = plan->paired ? "registered are pairs, but the models answered different images"
                                          : "registered are different patients, but the models answered the "
                                            "same images";
    }
}

void arms_comparison_release(struct arms_comparison *comparison)
{
    free(comparison->pairs.items);
}
