// test_monitor_case_mix.c: what is told of a change in what the model says: of counts that can be reckoned by
// hand, and of simulated clinics in which the mix, the model or the camera is known to have changed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "monitor/drift/case_split.h"
#include "monitor/simulate/clinic.h"
#include "tests/support/near.h"

struct answers {
    struct drift_output all, known[LESION_CLASSES];
};

static void add(struct answers *answers, int action, int said, int truth, int count, int labelled)
{
    struct analysis analysis = {.class = said, .action = action};
    analysis.ood.quantile = NAN;
    for (int i = 0; i < count; i++)
        drift_output_add(&answers->all, &analysis);
    for (int i = 0; i < labelled; i++)
        drift_output_add(&answers->known[truth], &analysis);
}

static void split_of(const struct answers *reference, const struct answers *now, struct case_split *split)
{
    const struct case_answers then = {&reference->all, reference->known}, today = {&now->all, now->known};
    case_split_of(&then, &today, split);
}

// Of 200 urgent referrals half are known, of 2,000 who wait a twentieth. Each known one who waits stands for
// twenty: 160 of 200 melanomas are found, and 40 of 2,000 nevi are taken for melanomas.
static void by_hand(struct answers *reference, int labelled_of_waiting)
{
    *reference = (struct answers){0};
    add(reference, ACTION_URGENT_REFERRAL, LESION_MEL, LESION_MEL, 160, 80);
    add(reference, ACTION_URGENT_REFERRAL, LESION_MEL, LESION_NV, 40, 20);
    add(reference, ACTION_MONITOR, LESION_NV, LESION_MEL, 40, labelled_of_waiting / 50);
    add(reference, ACTION_MONITOR, LESION_NV, LESION_NV, 1960,
        labelled_of_waiting - labelled_of_waiting / 50);
}

static void test_labels_stand_for_their_action(void **state)
{
    (void)state;
    struct answers reference, now = {0};
    struct case_split split;
    by_hand(&reference, 100);
    add(&now, ACTION_URGENT_REFERRAL, LESION_MEL, LESION_MEL, 400, 0);
    add(&now, ACTION_MONITOR, LESION_NV, LESION_NV, 1600, 0);
    split_of(&reference, &now, &split);
    assert_int_equal(split.groups, 2);
    near("melanomas then", split.of[0].mix_reference, 200 / 2200.0, 1e-9);
    near("melanomas now", split.of[0].mix, (0.2 - 0.02) / 0.78, 1e-9);
    near("by the mix", split.of[0].by_mix, 0.2 - 200 / 2200.0, 1e-9);
    assert_true(fabs(split.of[0].remainder) < 1e-12);
    near("condition", split.condition, 1.18 / 0.78, 1e-9); // the norms are 1 and 1.18 / 0.78
    assert_int_equal(split.verdict, CASE_MIX);
    assert_true(split.of[0].mix_interval.low < split.of[0].mix &&
                split.of[0].mix < split.of[0].mix_interval.high);
    assert_true(isnan(split.labels_p)); // there are none
}

static void test_too_little_is_known(void **state)
{
    (void)state;
    struct answers reference, now;
    struct case_split split;
    by_hand(&now, 100);
    by_hand(&reference, CASE_LEAST_OF_ACTION - 1);
    split_of(&reference, &now, &split);
    assert_int_equal(split.verdict, CASE_INSUFFICIENT);
    assert_non_null(strstr(split.reason, "labels of an action"));
    by_hand(&reference, CASE_LEAST_OF_ACTION);
    split_of(&reference, &now, &split);
    assert_int_equal(split.verdict, CASE_NO_CHANGE);
    now = (struct answers){0};
    add(&now, ACTION_MONITOR, LESION_NV, LESION_NV, 199, 0);
    split_of(&reference, &now, &split);
    assert_int_equal(split.verdict, CASE_INSUFFICIENT);
    memset(reference.all.said, 0, sizeof reference.all.said); // a reference from before there was this
    split_of(&reference, &now, &split);
    assert_int_equal(split.verdict, CASE_INSUFFICIENT);
}

// Whoever is told to wait is labelled as often as `audit` says, and 0.8 of the others.
static void simulate(const struct clinic_options *options, double audit, struct answers *answers)
{
    struct clinic clinic;
    struct clinic_image image;
    struct draws draws;
    *answers = (struct answers){0};
    clinic_init(&clinic, options);
    while (clinic_next(&clinic, &image)) {
        struct analysis analysis = {.class = image.reading.order[0], .action = image.reading.action};
        analysis.ood = image.reading.ood;
        analysis.entropy_nats = image.reading.entropy_nats;
        analysis.confidence = image.reading.probabilities[image.reading.order[0]];
        drift_output_add(&answers->all, &analysis);
        draws_begin(&draws, options->seed, DRAWS_OF_LABEL, image.number);
        if (draws_happens(&draws, image.reading.action == ACTION_MONITOR ? audit : 0.8))
            drift_output_add(&answers->known[image.truth], &analysis);
    }
}

struct planted {
    enum clinic_mix mix;
    enum clinic_plant plant;
    int days;
    double audit;
};

static void split_planted(const struct planted *planted, uint64_t seed, struct case_split *split)
{
    struct clinic_options options = {.seed = seed, .days = 84, .images_per_day = 200, .mix = planted->mix};
    struct answers *reference = memory_alloc(sizeof *reference), *now = memory_alloc(sizeof *now);
    simulate(&options, planted->audit, reference);
    options.seed++;
    options.days = planted->days;
    options.plant = planted->plant;
    simulate(&options, planted->audit, now);
    split_of(reference, now, split);
    free(reference);
    free(now);
}

static void verdict_is(const struct planted *planted, enum case_verdict verdict, struct case_split *split)
{
    split_planted(planted, 41, split);
    if (split->verdict != verdict)
        fail_msg("%s (%s), expected %s: change %g, fit %g, labels %g", case_verdicts[split->verdict],
                 split->reason ? split->reason : "", case_verdicts[verdict], split->change_p, split->fit_p,
                 split->labels_p);
}

static void test_nothing_changes(void **state)
{
    (void)state;
    struct case_split split;
    verdict_is(&(struct planted){CLINIC_PRIMARY, PLANT_NONE, 28, 0.02}, CASE_NO_CHANGE, &split);
    verdict_is(&(struct planted){CLINIC_PRIMARY, PLANT_NONE, 28, 0.8}, CASE_NO_CHANGE, &split);
    assert_false(isnan(split.labels_p));
}

// Half as many again of the malignant classes and AK: melanomas are 0.045 instead of 0.03.
static void test_other_patients(void **state)
{
    (void)state;
    struct case_split split;
    verdict_is(&(struct planted){CLINIC_PRIMARY, PLANT_PREVALENCE, 28, 0.02}, CASE_MIX, &split);
    verdict_is(&(struct planted){CLINIC_PRIMARY, PLANT_PREVALENCE, 28, 0.8}, CASE_MIX, &split);
    const struct case_group *melanoma = &split.of[split.group_of[LESION_MEL]];
    assert_true(melanoma->mix_interval.low < 0.045 && melanoma->mix_interval.high > 0.045);
    assert_true(melanoma->mix_interval.low > 0.03);
    assert_true(fabs(melanoma->remainder) < 0.1 * fabs(melanoma->by_mix));
}

// Melanomas that look like something else: their labels tell.
static void test_melanomas_are_missed(void **state)
{
    (void)state;
    struct case_split split;
    verdict_is(&(struct planted){CLINIC_ISIC, PLANT_MISSED_MELANOMA, 56, 0.8}, CASE_REMAINDER, &split);
    const struct case_group *melanoma = &split.of[split.group_of[LESION_MEL]];
    assert_true(melanoma->labels_p < CASE_P);
    // A ninth of the melanomas (0.18 of all) is said to be something else; as many come as ever.
    assert_true(melanoma->remainder < -0.01);
    assert_true(fabs(melanoma->by_mix) < 0.01);
}

// Answers alone tell, where none of them has a label.
static void test_swapped_channels(void **state)
{
    (void)state;
    struct case_split split;
    verdict_is(&(struct planted){CLINIC_PRIMARY, PLANT_SWAPPED_CHANNELS, 28, 0.02}, CASE_REMAINDER, &split);
    assert_true(split.fit_p < CASE_P);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_stand_for_their_action),
        cmocka_unit_test(test_too_little_is_known),
        cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_other_patients),
        cmocka_unit_test(test_melanomas_are_missed),
        cmocka_unit_test(test_swapped_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
