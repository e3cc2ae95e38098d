// case_split.c: counts by cells, each an action and a group that was said; what follows from them; and the
// same of counts that are drawn again.
#include "monitor/drift/case_split.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/statistics/case_mix.h"
#include "common/statistics/chi_square.h"
#include "common/statistics/quantile.h"
#include "common/statistics/random_draws.h"
#include "monitor/drift/compare.h"

enum { GROUPS = LESION_CLASSES, CELLS = ACTION_COUNT * GROUPS };
static const double level = 0.95, rounding = 1e-12; // of a misfit, whose scale is one over the answers

const char *const case_verdicts[CASE_INSUFFICIENT + 1] = {"no_change", "case_mix", "remainder",
                                                          "insufficient"};

// Counts by cell action * GROUPS + group, and by the true group.
struct counts {
    int64_t all[CELLS], known[CELLS][GROUPS];
};

// How lesions of each group are answered: columns sum to 1.
struct columns {
    double cells[CELLS][GROUPS], confusion[GROUPS][GROUPS];
    double weighted[GROUPS], labelled[GROUPS]; // lesions that the labels stand for, and the labels
};

// ---- counts ----

// Classes with few labels are a group together; where that has few too, they go with the class that has most.
static void make_groups(const struct drift_output *known, struct case_split *split)
{
    int64_t of_others = 0;
    int greatest = 0;
    for (int i = 0; i < LESION_CLASSES; i++) {
        bool enough = known[i].n >= CASE_LEAST_OF_CLASS;
        split->group_of[i] = enough ? (int)split->groups++ : -1;
        of_others += enough ? 0 : known[i].n;
        greatest = known[i].n > known[greatest].n ? i : greatest;
    }
    bool together = of_others >= CASE_LEAST_OF_CLASS || split->groups == 0;
    int others = together ? (int)split->groups++ : split->group_of[greatest];
    for (int i = 0; i < LESION_CLASSES; i++)
        if (split->group_of[i] < 0)
            split->group_of[i] = others;
}

static void count(const struct case_split *split, const struct case_answers *answers, struct counts *counts)
{
    *counts = (struct counts){0};
    for (int action = 0; action < ACTION_COUNT; action++)
        for (int said = 0; said < LESION_CLASSES; said++) {
            int cell = action * GROUPS + split->group_of[said];
            counts->all[cell] += answers->all->said[action][said];
            for (int truth = 0; truth < LESION_CLASSES; truth++)
                counts->known[cell][split->group_of[truth]] += answers->known[truth].said[action][said];
        }
}

static int64_t all_of_action(const struct counts *counts, int action)
{
    int64_t sum = 0;
    for (int group = 0; group < GROUPS; group++)
        sum += counts->all[action * GROUPS + group];
    return sum;
}

static int64_t known_of_action(const struct counts *counts, int action)
{
    int64_t sum = 0;
    for (int group = 0; group < GROUPS; group++)
        for (int truth = 0; truth < GROUPS; truth++)
            sum += counts->known[action * GROUPS + group][truth];
    return sum;
}

static bool actions_are_known(const struct counts *counts, int64_t least)
{
    for (int action = 0; action < ACTION_COUNT; action++)
        if (all_of_action(counts, action) > 0 && known_of_action(counts, action) < least)
            return false;
    return true;
}

static void sum_groups(const int64_t all[CELLS], int64_t said[GROUPS])
{
    memset(said, 0, GROUPS * sizeof *said);
    for (int cell = 0; cell < CELLS; cell++)
        said[cell % GROUPS] += all[cell];
}

// ---- what follows from them ----

static void find_columns(const struct counts *counts, struct columns *columns)
{
    *columns = (struct columns){0};
    for (int cell = 0; cell < CELLS; cell++) {
        int action = cell / GROUPS;
        double known = (double)known_of_action(counts, action);
        double weight = known > 0 ? (double)all_of_action(counts, action) / known : 0;
        for (int truth = 0; truth < GROUPS; truth++) {
            columns->cells[cell][truth] = weight * (double)counts->known[cell][truth];
            columns->weighted[truth] += columns->cells[cell][truth];
            columns->labelled[truth] += (double)counts->known[cell][truth];
        }
    }
    for (int cell = 0; cell < CELLS; cell++)
        for (int truth = 0; truth < GROUPS; truth++)
            if (columns->weighted[truth] > 0) {
                columns->cells[cell][truth] /= columns->weighted[truth];
                columns->confusion[cell % GROUPS][truth] += columns->cells[cell][truth];
            }
}

// False: two groups are confused beyond telling.
static bool find_mix(const struct columns *columns, const int64_t all[CELLS], size_t groups,
                     struct case_mix *mix)
{
    double confusion[GROUPS * GROUPS];
    int64_t said[GROUPS];
    for (size_t row = 0; row < groups; row++)
        for (size_t column = 0; column < groups; column++)
            confusion[row * groups + column] = columns->confusion[row][column];
    sum_groups(all, said);
    return case_mix_estimate(confusion, said, groups, mix);
}

static void expected_shares(const struct columns *columns, const struct case_mix *mix, size_t groups,
                            double shares[CELLS])
{
    for (int cell = 0; cell < CELLS; cell++) {
        shares[cell] = 0;
        for (size_t truth = 0; truth < groups; truth++)
            shares[cell] += columns->cells[cell][truth] * mix->shares[truth];
    }
}

static double misfit(const struct columns *columns, const struct case_mix *mix, size_t groups,
                     const int64_t all[CELLS])
{
    double shares[CELLS], n = 0, sum = 0;
    for (int cell = 0; cell < CELLS; cell++)
        n += (double)all[cell];
    expected_shares(columns, mix, groups, shares);
    for (int cell = 0; cell < CELLS; cell++)
        sum += pow((double)all[cell] / n - shares[cell], 2) / (shares[cell] + 1 / n);
    return sum;
}

// How differently the lesions of a group are answered.
static double distance(const struct columns *a, const struct columns *b, size_t group)
{
    double sum = 0;
    for (int cell = 0; cell < CELLS; cell++) {
        double x = a->cells[cell][group], y = b->cells[cell][group];
        sum += x + y > 0 ? (x - y) * (x - y) / (x + y) : 0;
    }
    return sum;
}

static void by_mix(const struct columns *columns, const struct case_mix *then, const struct case_mix *now,
                   size_t groups, double parts[GROUPS])
{
    for (size_t said = 0; said < groups; said++) {
        parts[said] = 0;
        for (size_t truth = 0; truth < groups; truth++)
            parts[said] += columns->confusion[said][truth] * (now->shares[truth] - then->shares[truth]);
    }
}

// ---- drawn again ----

static int64_t total(const int64_t *counts, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += counts[i];
    return sum;
}

static void draw_all(struct random_draws *draws, const double shares[CELLS], int64_t n, int64_t all[CELLS])
{
    double sum = 0, scaled[CELLS];
    for (int cell = 0; cell < CELLS; cell++)
        sum += shares[cell];
    for (int cell = 0; cell < CELLS; cell++)
        scaled[cell] = shares[cell] / sum;
    random_draws_multinomial(draws, n, scaled, CELLS, all);
}

// As many labels of each action as there are in `like`, of joint shares (CELLS, GROUPS).
static void draw_known(struct random_draws *draws, double (*joint)[GROUPS], const struct counts *like,
                       struct counts *drawn)
{
    enum { OF_ACTION = GROUPS * GROUPS };
    for (int action = 0; action < ACTION_COUNT; action++) {
        const double *shares = joint[action * GROUPS];
        double sum = 0, scaled[OF_ACTION];
        for (int i = 0; i < OF_ACTION; i++)
            sum += shares[i];
        for (int i = 0; i < OF_ACTION; i++)
            scaled[i] = sum > 0 ? shares[i] / sum : 0;
        random_draws_multinomial(draws, sum > 0 ? known_of_action(like, action) : 0, scaled, OF_ACTION,
                                 drawn->known[action * GROUPS]);
    }
}

static void shares_of(const int64_t *counts, size_t count, double *shares)
{
    double sum = (double)total(counts, count);
    for (size_t i = 0; i < count; i++)
        shares[i] = (double)counts[i] / sum;
}

// ---- the tests and intervals ----

struct work {
    struct case_split *split;
    struct counts reference, now;
    struct columns columns, current; // of the reference, and of the report's own labels
    struct case_mix then, mix;
    bool labels;   // the report has enough of each action
    size_t judged; // groups of which it has enough
};

struct draw_of {
    double mix[GROUPS], by_mix[GROUPS], misfit;
};

static bool draw_answers(const struct work *work, uint64_t number, struct draw_of *found)
{
    struct random_draws draws = {{CASE_SEED, 2 * number}, 0};
    struct counts again = work->reference;
    struct columns columns;
    struct case_mix then, mix, null;
    double joint[CELLS][GROUPS], shares[CELLS];
    int64_t all[CELLS];
    size_t groups = work->split->groups;
    int64_t n = total(work->now.all, CELLS);
    shares_of(work->reference.known[0], CELLS * GROUPS, joint[0]);
    draw_known(&draws, joint, &work->reference, &again);
    shares_of(work->reference.all, CELLS, shares);
    draw_all(&draws, shares, total(work->reference.all, CELLS), again.all);
    find_columns(&again, &columns);
    shares_of(work->now.all, CELLS, shares);
    draw_all(&draws, shares, n, all);
    if (!find_mix(&columns, again.all, groups, &then) || !find_mix(&columns, all, groups, &mix))
        return false;
    memcpy(found->mix, mix.shares, sizeof found->mix);
    by_mix(&columns, &then, &mix, groups, found->by_mix);
    expected_shares(&work->columns, &work->mix, groups, shares); // what it would be with nothing but the mix
    draw_all(&draws, shares, n, all);
    if (!find_mix(&columns, all, groups, &null))
        return false;
    found->misfit = misfit(&columns, &null, groups, all);
    return true;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

// Of the double that stands there in each draw.
static struct interval interval_of(const struct draw_of *draws, size_t count, size_t offset)
{
    double *values = memory_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&draws[i] + offset, sizeof values[i]);
    qsort(values, count, sizeof *values, by_value);
    struct interval interval = {quantile_of_sorted(values, count, (1 - level) / 2),
                                quantile_of_sorted(values, count, (1 + level) / 2)};
    free(values);
    return interval;
}

static void judge_answers(struct work *work)
{
    struct case_split *split = work->split;
    struct draw_of *draws = memory_alloc(CASE_DRAWS * sizeof *draws);
    double observed = misfit(&work->columns, &work->mix, split->groups, work->now.all);
    size_t made = 0, greater = 0;
    for (uint64_t i = 0; i < CASE_DRAWS; i++)
        made += draw_answers(work, i, &draws[made]);
    for (size_t i = 0; i < made; i++)
        greater += draws[i].misfit >= observed - rounding;
    split->fit_p = (1 + (double)greater) / (1 + (double)made);
    for (size_t i = 0; made > 0 && i < split->groups; i++) {
        split->of[i].mix_interval =
            interval_of(draws, made, offsetof(struct draw_of, mix) + i * sizeof(double));
        split->of[i].by_mix_interval =
            interval_of(draws, made, offsetof(struct draw_of, by_mix) + i * sizeof(double));
    }
    free(draws);
}

// Both sides' labels from lesions that are answered alike.
static void draw_labels(const struct work *work, const double (*pooled)[GROUPS], uint64_t number,
                        double distances[GROUPS])
{
    struct random_draws draws = {{CASE_SEED, 2 * number + 1}, 0};
    const struct counts *sides[2] = {&work->reference, &work->now};
    const struct columns *columns[2] = {&work->columns, &work->current};
    struct columns found[2];
    for (int side = 0; side < 2; side++) {
        struct counts again = *sides[side];
        double joint[CELLS][GROUPS];
        for (int cell = 0; cell < CELLS; cell++)
            for (int truth = 0; truth < GROUPS; truth++)
                joint[cell][truth] = pooled[cell][truth] * columns[side]->weighted[truth];
        draw_known(&draws, joint, sides[side], &again);
        find_columns(&again, &found[side]);
    }
    for (size_t i = 0; i < work->split->groups; i++)
        distances[i] = distance(&found[0], &found[1], i);
}

static void judge_labels(struct work *work)
{
    struct case_split *split = work->split;
    double pooled[CELLS][GROUPS], distances[GROUPS];
    size_t greater[GROUPS] = {0};
    split->labels_p = NAN;
    for (int cell = 0; cell < CELLS; cell++)
        for (int truth = 0; truth < GROUPS; truth++) {
            double before = work->columns.labelled[truth], after = work->current.labelled[truth];
            pooled[cell][truth] =
                before + after > 0
                    ? (work->columns.cells[cell][truth] * before + work->current.cells[cell][truth] * after) /
                          (before + after)
                    : 0;
        }
    for (uint64_t i = 0; work->labels && i < CASE_DRAWS; i++) {
        draw_labels(work, (const double(*)[GROUPS])pooled, i, distances);
        for (size_t k = 0; k < split->groups; k++)
            greater[k] += distances[k] >= distance(&work->columns, &work->current, k);
    }
    for (size_t k = 0; k < split->groups; k++) {
        bool enough = work->labels && work->current.labelled[k] >= CASE_LEAST_OF_CLASS;
        split->of[k].labels_p = enough ? (1 + (double)greater[k]) / (1 + CASE_DRAWS) : NAN;
        work->judged += enough;
        split->labels_p = fmin(split->labels_p, split->of[k].labels_p);
    }
    if (work->judged > 0)
        split->labels_p = fmin(1, split->labels_p * (double)work->judged);
}

// Groups that are answered otherwise now speak of the mix as their own labels say. The intervals, which are
// of the reference's columns, go with those.
static void mix_of_today(struct work *work)
{
    struct case_split *split = work->split;
    struct columns columns = work->columns;
    struct case_mix mix;
    if (!(split->labels_p < CASE_P))
        return;
    for (size_t k = 0; k < split->groups; k++)
        if (split->of[k].labels_p * (double)work->judged < CASE_P)
            for (int said = 0; said < GROUPS; said++)
                columns.confusion[said][k] = work->current.confusion[said][k];
    if (!find_mix(&columns, work->now.all, split->groups, &mix) || mix.condition > CASE_CONDITION_MOST)
        return;
    work->mix = mix;
    for (size_t k = 0; k < split->groups; k++)
        split->of[k].mix_interval = split->of[k].by_mix_interval = (struct interval){NAN, NAN};
}

static double change_p(const struct work *work)
{
    int64_t said[2][GROUPS], table[2 * GROUPS];
    size_t groups = work->split->groups;
    sum_groups(work->reference.all, said[0]);
    sum_groups(work->now.all, said[1]);
    for (size_t side = 0; side < 2; side++)
        memcpy(table + side * groups, said[side], groups * sizeof *table);
    return chi_square_independence(&(struct contingency){table, 2, groups}).p;
}

static void fill_groups(struct work *work)
{
    struct case_split *split = work->split;
    double parts[GROUPS];
    int64_t before[GROUPS], after[GROUPS];
    sum_groups(work->reference.all, before);
    sum_groups(work->now.all, after);
    by_mix(&work->columns, &work->then, &work->mix, split->groups, parts);
    for (size_t k = 0; k < split->groups; k++) {
        struct case_group *group = &split->of[k];
        group->reference = (double)before[k] / (double)total(before, GROUPS);
        group->now = (double)after[k] / (double)total(after, GROUPS);
        group->mix_reference = work->then.shares[k];
        group->mix = work->mix.shares[k];
        group->by_mix = parts[k];
        group->remainder = group->now - group->reference - group->by_mix;
    }
}

static const char *why_not(struct work *work)
{
    struct case_split *split = work->split;
    if (total(work->reference.all, CELLS) < DRIFT_LEAST)
        return "the reference has fewer than 200 such answers";
    if (split->n < DRIFT_LEAST)
        return "fewer than 200 answers";
    if (!actions_are_known(&work->reference, CASE_LEAST_OF_ACTION))
        return "the reference has fewer than 30 labels of an action";
    find_columns(&work->reference, &work->columns);
    if (split->groups < 2)
        return "fewer than two classes have 10 labels in the reference";
    if (!find_mix(&work->columns, work->reference.all, split->groups, &work->then) ||
        !find_mix(&work->columns, work->now.all, split->groups, &work->mix) ||
        work->mix.condition > CASE_CONDITION_MOST)
        return "the model confuses the classes too much to tell a change of the mix";
    return NULL;
}

void case_split_of(const struct case_answers *reference, const struct case_answers *now,
                   struct case_split *split)
{
    struct work *work = memory_alloc(sizeof *work);
    *split = (struct case_split){.verdict = CASE_INSUFFICIENT};
    work->split = split;
    make_groups(reference->known, split);
    count(split, reference, &work->reference);
    count(split, now, &work->now);
    split->n = total(work->now.all, CELLS);
    split->labelled = total(work->now.known[0], CELLS * GROUPS);
    split->reason = why_not(work);
    if (!split->reason) {
        split->condition = work->mix.condition;
        work->labels = actions_are_known(&work->now, CASE_LEAST_OF_REPORT);
        find_columns(&work->now, &work->current);
        split->change_p = change_p(work);
        judge_answers(work);
        judge_labels(work);
        mix_of_today(work);
        fill_groups(work);
        bool unexplained = split->fit_p < CASE_P || split->labels_p < CASE_P;
        split->verdict = unexplained ? CASE_REMAINDER : split->change_p < CASE_P ? CASE_MIX : CASE_NO_CHANGE;
    }
    free(work);
}
