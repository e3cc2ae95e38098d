// test_evaluation.c: every closed figure of a report against scikit-learn and SciPy on the same
// predictions.csv (tests/golden/evaluation, written by tests/golden/make_evaluation.py), the table's way in
// and out, the operating point, subgroups, and the page.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "tests/support/picture.h"

#include "tests/support/golden_json.h"
#include "trainer/compare.h"
#include "trainer/evaluate.h"

#define GOLDEN "tests/golden/evaluation/"

static const struct figures_options options = {.replicates = 100};

static void read_golden(const char *model, struct predictions *predictions)
{
    char folder[512];
    struct error err = {""};
    snprintf(folder, sizeof folder, "%s/" GOLDEN "%s", TEST_SOURCE_DIR, model);
    if (predictions_read(folder, predictions, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void judge_golden(struct evaluation *evaluation)
{
    struct predictions other;
    *evaluation = (struct evaluation){.part = PART_TEST, .temperature = 1, .trained = true};
    read_golden("a", &evaluation->predictions);
    read_golden("b", &other);
    evaluation_judge(evaluation, NULL, &options);
    evaluation_choose_threshold(evaluation, &other, 0.92);
    predictions_release(&other);
}

static void figures_are_those_of_scikit_learn(void **state)
{
    (void)state;
    struct evaluation evaluation;
    struct buffer json;
    struct error err = {""};
    buffer_init(&json, 1 << 20);
    judge_golden(&evaluation);
    assert_int_equal(evaluation_write_json(&evaluation, &json, &err), STATUS_OK);
    int compared = golden_json_check(GOLDEN "report.json", buffer_bytes(&json));
    printf("%d values\n", compared);
    assert_true(compared > 350);
    buffer_release(&json);
    evaluation_release(&evaluation);
}

// An interval that the draws decide holds its estimate, and is the same again.
static void bootstraps_hold_their_estimates(void **state)
{
    (void)state;
    struct evaluation one, two;
    judge_golden(&one);
    judge_golden(&two);
    const struct estimate *estimates[] = {&one.figures.balanced_accuracy,  &one.figures.macro_auroc,
                                          &one.atypical.balanced_accuracy, &one.figures.ece,
                                          &one.figures.ece_width,          &one.figures.ece_classwise};
    for (size_t i = 0; i < sizeof estimates / sizeof estimates[0]; i++) {
        assert_null(estimates[i]->reason);
        assert_true(estimates[i]->low < estimates[i]->value && estimates[i]->value < estimates[i]->high);
        assert_true(estimates[i]->high - estimates[i]->low < 0.35);
    }
    assert_true(one.figures.balanced_accuracy.low == two.figures.balanced_accuracy.low);
    assert_string_equal(one.figures.classes[LESION_VASC].sensitivity.reason, "there are no images for it");
    assert_non_null(one.figures.classes[LESION_DF].auroc.reason);
    evaluation_release(&one);
    evaluation_release(&two);
}

static void thresholds_are_chosen_on_the_greatest_share(void **state)
{
    (void)state;
    struct prediction_row rows[6] = {
        {.label = LESION_MEL, .p = {0.9}}, {.label = LESION_MEL, .p = {0.7}},
        {.label = LESION_MEL, .p = {0.5}}, {.label = LESION_MEL, .p = {0.1}},
        {.label = LESION_NV, .p = {0.6}},  {.label = LESION_NV, .p = {0.2}},
    };
    for (int i = 0; i < 6; i++) {
        rows[i].lesion = "";
        rows[i].sha256 = digest_of(&i, sizeof i);
    }
    const struct predictions all = {rows, 6}, benign = {rows + 4, 2};
    static const double cases[][2] = {{1, 0.1}, {0.76, 0.1}, {0.75, 0.5}, {0.5, 0.7}, {0.01, 0.9}};
    double threshold;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(threshold_choose(&all, cases[i][0], &threshold));
        assert_true(threshold == cases[i][1]);
    }
    assert_false(threshold_choose(&benign, 0.9, &threshold));
    struct estimate sensitivity, specificity;
    threshold_measure(&all, 0.6, &sensitivity, &specificity);
    assert_true(sensitivity.value == 0.5 && specificity.value == 0.5);
    struct evaluation evaluation = {.predictions = all};
    evaluation_choose_threshold(&evaluation, &benign, 0.9);
    assert_string_equal(evaluation.operating_point.reason, "the validation part has no melanoma");
    assert_string_equal(evaluation.operating_point.sensitivity.reason, evaluation.operating_point.reason);
}

// 12 melanomas above 40 others: the lower end is (0.05 / 2) to the power of 1 / 12.
static void a_perfect_area_has_an_interval(void **state)
{
    (void)state;
    struct prediction_row rows[52];
    const struct predictions predictions = {rows, 52};
    struct figures figures;
    for (int i = 0; i < 52; i++) {
        rows[i] = (struct prediction_row){.lesion = "", .label = i < 12 ? LESION_MEL : LESION_NV};
        rows[i].sha256 = digest_of(&i, sizeof i);
        rows[i].p[LESION_MEL] = i < 12 ? 0.9 : 0.1;
        rows[i].p[LESION_NV] = 1 - rows[i].p[LESION_MEL];
    }
    figures_compute(&predictions, &options, &figures);
    const struct estimate *area = &figures.classes[LESION_MEL].auroc;
    assert_true(area->value == 1 && area->high == 1 && fabs(area->low - pow(0.025, 1.0 / 12)) < 1e-12);
    assert_string_equal(area->method, "Clopper-Pearson");
}

// 15 bins of 20 images, of each as many right as its confidence says: an error near 0, and above it in each
// draw.
static void a_calibration_error_lies_in_its_interval(void **state)
{
    (void)state;
    enum { BIN = 20, COUNT = FIGURES_BINS * BIN };
    static struct prediction_row rows[COUNT];
    const struct predictions predictions = {rows, COUNT};
    struct figures figures;
    for (int i = 0; i < COUNT; i++) {
        double confidence = 0.55 + 0.03 * (i / BIN) + 1e-6 * i;
        rows[i] = (struct prediction_row){.lesion = "", .sha256 = digest_of(&i, sizeof i)};
        rows[i].label = i % BIN < lround(BIN * confidence) ? LESION_MEL : LESION_NV;
        rows[i].p[LESION_MEL] = confidence;
        rows[i].p[LESION_NV] = 1 - confidence;
    }
    figures_compute(&predictions, &options, &figures);
    const struct estimate *ece = &figures.ece;
    assert_true(ece->value < 0.02 && ece->low >= 0);
    if (!(ece->low <= ece->value && ece->value <= ece->high))
        fail_msg("%.4f is not in %.4f to %.4f", ece->value, ece->low, ece->high);
}

static void a_temperature_divides_the_logits(void **state)
{
    (void)state;
    struct prediction_row row;
    const float logits[LESION_CLASSES] = {4, 1, 0, 0, 0, 0, 0, -90};
    prediction_set(&row, logits, 2);
    double sum = exp(2) + exp(0.5) + 5 + exp(-45);
    assert_true(fabs(row.p[LESION_MEL] - exp(2) / sum) < 1e-15);
    assert_true(fabs(row.p[LESION_SCC] - exp(-45) / sum) < 1e-30);
    assert_int_equal(prediction_said(&row), LESION_MEL);
}

// ---- two models ----

static void compare_golden(struct comparison *comparison)
{
    struct predictions a, b;
    struct paired_predictions paired;
    struct error err = {""};
    read_golden("a", &a);
    read_golden("b", &b);
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_OK);
    comparison_judge(&paired, 0.05, &options, comparison);
    paired_predictions_release(&paired);
    predictions_release(&a);
    predictions_release(&b);
}

static void tests_are_those_of_scipy(void **state)
{
    (void)state;
    struct comparison comparison = {.name_a = "a"};
    struct buffer json, page;
    struct error err = {""};
    buffer_init(&json, 1 << 20);
    buffer_init(&page, 1 << 20);
    compare_golden(&comparison);
    assert_int_equal(comparison_write_json(&comparison, &json, &err), STATUS_OK);
    int compared = golden_json_check(GOLDEN "comparison.json", buffer_bytes(&json));
    printf("%d values\n", compared);
    assert_true(compared > 70);
    assert_int_equal(comparison_write_page(&comparison, &page, &err), STATUS_OK);
    assert_true(comparison.overall.difference.level == 0.9 && comparison.atypical.difference.level == 0.95);
    buffer_release(&json);
    buffer_release(&page);
}

// Rows of images, right (MEL) or not, all of them melanomas of lesions of their own.
static void fill_rows(struct prediction_row *rows, size_t count, size_t right, bool atypical)
{
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct prediction_row){.lesion = "", .file = "x", .atypical = atypical};
        rows[i].sha256 = digest_of(&i, sizeof i);
        rows[i].p[i < right ? LESION_MEL : LESION_NV] = 1;
    }
}

static enum verdict verdict_of(size_t right_a, size_t right_b, size_t count, struct comparison *comparison)
{
    struct prediction_row rows[2][100];
    const struct predictions a = {rows[0], count}, b = {rows[1], count};
    struct paired_predictions paired;
    struct error err = {""};
    fill_rows(rows[0], count, right_a, true);
    fill_rows(rows[1], count, right_b, true);
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_OK);
    comparison_judge(&paired, 0.05, &options, comparison);
    paired_predictions_release(&paired);
    return comparison->verdict;
}

static void one_verdict_needs_both(void **state)
{
    (void)state;
    struct comparison comparison;
    assert_int_equal(verdict_of(50, 90, 100, &comparison), VERDICT_HOLDS);
    assert_int_equal(verdict_of(90, 50, 100, &comparison), VERDICT_FAILS);
    assert_int_equal(comparison.overall.verdict, VERDICT_FAILS);
    assert_int_equal(verdict_of(90, 91, 100, &comparison), VERDICT_NOT_ENOUGH);
    assert_int_equal(comparison.overall.verdict, VERDICT_HOLDS);
    assert_int_equal(comparison.atypical.verdict, VERDICT_NOT_ENOUGH);
    assert_int_equal(verdict_of(10, 40, 49, &comparison), VERDICT_NOT_ENOUGH);
    assert_non_null(comparison.overall.difference.reason);
}

// 60 melanomas of 60 lesions, of which A finds 20 and B 50; 9 naevi of 9 lesions that only A knows.
static void a_class_of_few_lesions_says_nothing_of_superiority(void **state)
{
    (void)state;
    enum { MELANOMAS = 60, ALL = 69 };
    struct prediction_row rows[2][ALL];
    const struct predictions a = {rows[0], ALL}, b = {rows[1], ALL};
    struct paired_predictions paired;
    struct comparison comparison;
    struct error err = {""};
    fill_rows(rows[0], ALL, 20, true);
    fill_rows(rows[1], ALL, 50, true);
    for (int i = MELANOMAS; i < ALL; i++) {
        rows[0][i].label = rows[1][i].label = LESION_NV;
        rows[1][i].p[LESION_NV] = 0;
        rows[1][i].p[LESION_AK] = 1;
    }
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_OK);
    comparison_judge(&paired, 0.05, &options, &comparison);
    assert_true(comparison.atypical.few[LESION_NV] && !comparison.atypical.few[LESION_MEL]);
    assert_int_equal(comparison.atypical.n, MELANOMAS);
    assert_true(fabs(comparison.atypical.difference.value - 0.5) < 1e-12); // 50 / 60 - 20 / 60
    assert_int_equal(comparison.atypical.verdict, VERDICT_HOLDS);
    assert_true(comparison.overall.few[LESION_NV] && comparison.overall.n == ALL); // it counts overall
    assert_int_equal(comparison.overall.verdict, VERDICT_FAILS);
    paired_predictions_release(&paired);
}

static void images_are_paired_by_their_digests(void **state)
{
    (void)state;
    struct prediction_row rows[2][4];
    const struct predictions a = {rows[0], 4}, b = {rows[1], 3};
    struct paired_predictions paired;
    struct error err = {""};
    fill_rows(rows[0], 4, 4, false);
    fill_rows(rows[1], 4, 2, false);
    rows[0][3].sha256 = rows[0][0].sha256; // a copy
    rows[1][0].sha256 = digest_of("another", 7);
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_OK);
    assert_true(paired.one.count == 2 && paired.only_a == 1 && paired.only_b == 1);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(&paired.one.rows[i].sha256, &paired.two.rows[i].sha256, DIGEST_SIZE);
    paired_predictions_release(&paired);
    rows[1][1].atypical = 1;
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "another mark of atypical ones"));
    rows[1][1].atypical = 0;
    rows[1][1].lesion = "L1";
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "has another lesion"));
    rows[1][1].label = LESION_AK;
    assert_int_equal(predictions_pair(&a, &b, &paired, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "is MEL in one evaluation and AK in the other"));
    const struct predictions nothing = {rows[1], 1};
    assert_int_equal(predictions_pair(&a, &nothing, &paired, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "no image in common"));
}

// ---- the table ----

#define NAMES  "file,sha256,label,p_MEL,p_NV,p_BCC,p_AK,p_BKL,p_DF,p_VASC,p_SCC\n"
#define DIGEST "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

static void check_refused(const char *text, const char *sentence)
{
    struct predictions predictions;
    struct error err = {""};
    const struct bytes bytes = {(const uint8_t *)text, strlen(text)};
    assert_int_equal(predictions_parse(bytes, &predictions, &err), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
    assert_null(predictions.rows);
}

static void bad_tables_are_refused_with_the_line(void **state)
{
    (void)state;
    check_refused("file,label\n", "there is no row");
    check_refused("file,sha256,label,p_MEL\na," DIGEST ",MEL,1\n", "no column p_NV");
    check_refused("p_MEL,p_NV,p_BCC,p_AK,p_BKL,p_DF,p_VASC,p_SCC\n1,0,0,0,0,0,0,0\n",
                  "file, sha256 and label");
    check_refused(NAMES "a,12,MEL,1,0,0,0,0,0,0,0\n", "line 2: sha256");
    check_refused(NAMES "a," DIGEST ",mole,1,0,0,0,0,0,0,0\n", "line 2: label");
    check_refused(NAMES "a," DIGEST ",MEL,1,0,0,0,0,0,0,0\nb," DIGEST ",MEL,nan,0,0,0,0,0,0,0\n",
                  "line 3: p_MEL is no number");
    check_refused(NAMES "a," DIGEST ",MEL,0,0,0,0,0,0,0,1.5\n", "line 2: p_SCC is no number");
    check_refused(NAMES "a," DIGEST ",MEL,0,0,0,0,0,0,0,0.9\n", "line 2: the probabilities' sum is 0.9");
    check_refused("atypical," NAMES "2,a," DIGEST ",MEL,1,0,0,0,0,0,0,0\n", "line 2: atypical");
}

static void a_table_comes_back_as_it_was(void **state)
{
    (void)state;
    struct predictions written, read;
    struct buffer text;
    struct error err = {""};
    const float logits[LESION_CLASSES] = {1.5f, 0.1f, -3, 0, 2, 0, 0, 7};
    predictions_init(&written, 2);
    written.rows[0] = (struct prediction_row){.label = LESION_SCC, .atypical = 1};
    written.rows[1] = (struct prediction_row){.label = LESION_MEL, .atypical = -1};
    for (int i = 0; i < 2; i++) {
        written.rows[i].file = memory_strdup(i ? "plain.jpg" : "a \"quoted\", long\nname.jpg");
        written.rows[i].lesion = memory_strdup(i ? "" : "HAM, 1");
        written.rows[i].sha256 = digest_of("x", (size_t)i);
        prediction_set(&written.rows[i], logits, 1.3 + i);
    }
    buffer_init(&text, 1 << 16);
    assert_int_equal(predictions_write(&written, &text, &err), STATUS_OK);
    if (predictions_parse(buffer_bytes(&text), &read, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(read.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(read.rows[i].file, written.rows[i].file);
        assert_string_equal(read.rows[i].lesion, written.rows[i].lesion);
        assert_memory_equal(&read.rows[i].sha256, &written.rows[i].sha256, sizeof read.rows[i].sha256);
        assert_memory_equal(read.rows[i].p, written.rows[i].p, sizeof read.rows[i].p);
        assert_int_equal(read.rows[i].atypical, written.rows[i].atypical);
    }
    predictions_release(&read);
    predictions_release(&written);
    buffer_release(&text);
}

// ---- subgroups and page ----

static void subgroups_say_where_evidence_is_thin(void **state)
{
    (void)state;
    struct evaluation evaluation;
    judge_golden(&evaluation);
    size_t count = evaluation.predictions.count;
    struct sample *samples = memory_alloc(count * sizeof *samples);
    const struct sample **list = memory_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        samples[i] = (struct sample){.sex = i % 3 ? "female" : "", .location = "", .skin_type = ""};
        samples[i].age = i % 2 ? 29.9 : i % 4 ? 70 : NAN;
        samples[i].ita = i < 20 ? -30 : 41.5;
        list[i] = &samples[i];
    }
    evaluation_add_subgroups(&evaluation, list, &options);
    static const struct {
        const char *by, *value;
        size_t n;
        bool enough;
    } expected[] = {{"age", "below 30", 120, true},     {"age", "70 and above", 60, true},
                    {"age", "unknown", 60, true},       {"sex", "female", 160, true},
                    {"sex", "unknown", 80, true},       {"ita", "41 to 55", 220, true},
                    {"ita", "-30 and below", 20, false}};
    assert_int_equal(evaluation.subgroup_count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < evaluation.subgroup_count; i++) {
        const struct subgroup *group = &evaluation.subgroups[i];
        assert_string_equal(group->by, expected[i].by);
        assert_string_equal(group->value, expected[i].value);
        assert_int_equal(group->figures.n, expected[i].n);
        assert_int_equal(group->figures.balanced_accuracy.reason == NULL, expected[i].enough);
    }
    free(list);
    free(samples);
    evaluation_release(&evaluation);
}

// 25 sites, the last one's images not known: 20 of them stand alone.
static void many_values_are_one_group(void **state)
{
    (void)state;
    struct evaluation evaluation;
    char sites[240][16];
    judge_golden(&evaluation);
    size_t count = evaluation.predictions.count;
    struct sample *samples = memory_alloc(count * sizeof *samples);
    const struct sample **list = memory_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        snprintf(sites[i], sizeof sites[i], i % 25 == 24 ? "" : "site %02zu", i % 25);
        samples[i] =
            (struct sample){.sex = "", .location = sites[i], .skin_type = "", .age = NAN, .ita = NAN};
        list[i] = &samples[i];
    }
    evaluation_add_subgroups(&evaluation, list, &options);
    assert_int_equal(evaluation.subgroup_count, 22);
    assert_string_equal(evaluation.subgroups[20].value, "other (4 values)");
    assert_int_equal(evaluation.subgroups[20].figures.n, 4 * 9); // 240 = 9 * 25 + 15: sites 20 to 23
    assert_string_equal(evaluation.subgroups[21].value, "unknown");
    size_t all = 0;
    for (size_t i = 0; i < 22; i++)
        all += evaluation.subgroups[i].figures.n;
    assert_int_equal(all, count);
    free(list);
    free(samples);
    evaluation_release(&evaluation);
}

static void copies_without_a_lesion_are_of_one(void **state)
{
    (void)state;
    struct prediction_row rows[4] = {{.lesion = ""}, {.lesion = "L1"}, {.lesion = ""}, {.lesion = ""}};
    const struct predictions predictions = {rows, 4};
    static const size_t all[] = {0, 1, 2, 3};
    uint32_t lesions[4];
    rows[2].sha256 = digest_of("x", 1);
    assert_int_equal(predictions_lesions(&predictions, all, 4, lesions), 3);
    assert_true(lesions[0] == lesions[3] && lesions[0] != lesions[2]);
}

static bool holds(const struct buffer *page, const char *text)
{
    return memmem(page->data, page->size, text, strlen(text)) != NULL;
}

static void the_page_needs_nothing_beside_it(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "Not for clinical use", "Confusion", "ROC", "sensitivity on atypical lesions", "Calibration", "<svg",
        "not enough evidence"};
    struct evaluation evaluation;
    struct buffer page;
    struct error err = {""};
    buffer_init(&page, 1 << 22);
    judge_golden(&evaluation);
    assert_int_equal(evaluation_write_page(&evaluation, NULL, &page, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!holds(&page, parts[i]))
            fail_msg("the page has no '%s'", parts[i]);
    assert_false(holds(&page, "<img"));
    assert_false(holds(&page, "<script"));
    assert_false(holds(&page, "src=") || holds(&page, "href="));
    buffer_release(&page);
    evaluation_release(&evaluation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_scikit_learn),
        cmocka_unit_test(bootstraps_hold_their_estimates),
        cmocka_unit_test(thresholds_are_chosen_on_the_greatest_share),
        cmocka_unit_test(a_perfect_area_has_an_interval),
        cmocka_unit_test(a_calibration_error_lies_in_its_interval),
        cmocka_unit_test(a_temperature_divides_the_logits),
        cmocka_unit_test(tests_are_those_of_scipy),
        cmocka_unit_test(one_verdict_needs_both),
        cmocka_unit_test(a_class_of_few_lesions_says_nothing_of_superiority),
        cmocka_unit_test(images_are_paired_by_their_digests),
        cmocka_unit_test(bad_tables_are_refused_with_the_line),
        cmocka_unit_test(a_table_comes_back_as_it_was),
        cmocka_unit_test(subgroups_say_where_evidence_is_thin),
        cmocka_unit_test(many_values_are_one_group),
        cmocka_unit_test(copies_without_a_lesion_are_of_one),
        cmocka_unit_test(the_page_needs_nothing_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
