// cohort.c: weeks, and who of them is known.
#include "monitor/labels/cohort.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

static const int64_t day_ms = 24 * 3600 * 1000;

// Weeks since Monday, 29 December 1969; times are from 1970 on.
static int64_t week_of(int64_t at)
{
    return (at + 3 * day_ms) / (7 * day_ms);
}

enum status cohorts_init(struct cohorts *cohorts, int64_t from, int64_t to, struct error *err)
{
    int64_t first = week_of(from), count = week_of(to - 1) - first + 1;
    *cohorts = (struct cohorts){0};
    if (from < 0 || to <= from || count > COHORTS_MOST)
        return error_set(err, STATUS_REJECTED, "cohorts of labels are made for up to %d weeks", COHORTS_MOST);
    cohorts->count = (size_t)count;
    cohorts->items = memory_alloc(cohorts->count * sizeof *cohorts->items);
    for (int64_t i = 0; i < count; i++)
        cohorts->items[i].start = (first + i) * 7 * day_ms - 3 * day_ms;
    return STATUS_OK;
}

void cohorts_release(struct cohorts *cohorts)
{
    free(cohorts->items);
    *cohorts = (struct cohorts){0};
}

void cohorts_add(struct cohorts *cohorts, const struct analysis *analysis)
{
    struct cohort *cohort = &cohorts->items[week_of(analysis->at) - week_of(cohorts->items[0].start)];
    double melanoma = (double)analysis->probabilities[LESION_MEL];
    cohort->n++;
    cohort->by_action[analysis->action]++;
    cohort->by_class[analysis->class]++;
    cohort->expected_right += (double)analysis->probabilities[analysis->class];
    cohort->expected_melanomas += melanoma;
    cohort->expected_referred_melanomas += action_is_referral(analysis->action) ? melanoma : 0;
    cohort->placed += !isnan(analysis->ood.quantile);
    cohort->far += (double)analysis->ood.quantile >= COHORT_FAR_QUANTILE;
}

static int by_time(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

// When the share of the referred was reached that makes it mature, by the times of the reviews, or its time
// was up.
static void find_maturity(struct cohort *cohort, const struct labelled *rows, int64_t known_at)
{
    int64_t referred = cohort->n - cohort->by_action[ACTION_MONITOR];
    int64_t *reviews = memory_alloc((cohort->end - cohort->first + 1) * sizeof *reviews);
    size_t known = 0, needed = (size_t)ceil(COHORT_MATURE_SHARE * (double)referred);
    for (size_t i = cohort->first; i < cohort->end; i++)
        if (action_is_referral(rows[i].action))
            reviews[known++] = rows[i].reviewed_at;
    qsort(reviews, known, sizeof *reviews, by_time);
    int64_t closed_at = cohort->start + (7 + COHORT_CLOSED_DAYS) * day_ms;
    cohort->frozen_at = known_at >= closed_at ? closed_at : -1;
    if (needed > 0 && known >= needed && (cohort->frozen_at < 0 || reviews[needed - 1] < closed_at))
        cohort->frozen_at = reviews[needed - 1];
    cohort->closed = cohort->frozen_at == closed_at;
    cohort->maturity = referred > 0 ? (double)known / (double)referred : NAN;
    free(reviews);
}

bool cohort_counts(const struct cohort *cohort, const struct labelled *row)
{
    return cohort->frozen_at < 0 || row->reviewed_at <= cohort->frozen_at;
}

void cohorts_close(struct cohorts *cohorts, const struct labelled_list *list, int64_t known_at)
{
    size_t row = 0;
    for (size_t i = 0; i < cohorts->count; i++) {
        struct cohort *cohort = &cohorts->items[i];
        cohort->first = row;
        while (row < list->count && list->rows[row].at < cohort->start + 7 * day_ms)
            row++;
        cohort->end = row;
        find_maturity(cohort, list->rows, known_at);
        for (size_t j = cohort->first; j < cohort->end; j++) {
            const struct labelled *known = &list->rows[j];
            if (!cohort_counts(cohort, known)) {
                cohort->labelled_later++;
                continue;
            }
            cohort->labelled++;
            cohort->labelled_action[known->action]++;
            cohort->labelled_class[known->said]++;
        }
    }
}

// Adds what `count_row` says of each row, and who is not verified.
static void add_groups(const struct cohort *cohort, const struct labelled_list *list,
                       void (*count_row)(struct verified_group *group, int truth),
                       struct verified_groups *groups)
{
    int64_t positives = 0;
    for (size_t i = cohort->first; i < cohort->end; i++) {
        const struct labelled *known = &list->rows[i];
        if (!cohort_counts(cohort, known))
            continue;
        bool is_positive = action_is_referral(known->action);
        count_row(is_positive ? &groups->positive : &groups->negative, known->truth);
        positives += is_positive;
    }
    int64_t negatives = cohort->labelled - positives;
    groups->positive.unverified += cohort->n - cohort->by_action[ACTION_MONITOR] - positives;
    groups->negative.unverified += cohort->by_action[ACTION_MONITOR] - negatives;
}

static void count_melanoma(struct verified_group *group, int truth)
{
    group->diseased += truth == LESION_MEL;
    group->healthy += truth != LESION_MEL;
}

static void count_malignant(struct verified_group *group, int truth)
{
    if (truth == FEEDBACK_OTHER)
        return;
    group->diseased += lesion_is_malignant(truth);
    group->healthy += !lesion_is_malignant(truth);
}

void cohort_groups_of_melanoma(const struct cohort *cohort, const struct labelled_list *list,
                               struct verified_groups *groups)
{
    add_groups(cohort, list, count_melanoma, groups);
}

void cohort_groups_of_malignant(const struct cohort *cohort, const struct labelled_list *list,
                                struct verified_groups *groups)
{
    add_groups(cohort, list, count_malignant, groups);
}
