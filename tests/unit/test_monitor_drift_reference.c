// test_monitor_drift_reference.c: analyses become a reference, a file and a reference again; a file that was
// changed is refused; and what is compared with it.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/drift/compare.h"
#include "monitor/drift/reference_build.h"
#include "tests/support/near.h"

enum { PICTURES = 1000 };
static const int64_t monday = INT64_C(1795996800000); // 2026-11-30

static void picture(int i, struct analysis *analysis)
{
    static const char *const sites[] = {"north", "south", "unknown"};
    memset(analysis, 0, sizeof *analysis);
    analysis->at = monday + INT64_C(86400000) * (i % 14) + i;
    analysis->site = sites[i % 10 == 0];
    analysis->subject = analysis->lesion_location = analysis->error_code = "";
    analysis->capture_device = i % 4 ? "camera-a" : "camera-b";
    analysis->dermatoscope_attached = -1;
    analysis->fitzpatrick_type = i % 6 + 1;
    analysis->class = i % 5 == 0 ? LESION_MEL : LESION_NV;
    analysis->confidence = i % 8 == 0 ? 0.4F : 0.9F;
    analysis->entropy_nats = 0.5F;
    analysis->action = i % 20 == 0 ? ACTION_URGENT_REFERRAL : ACTION_MONITOR;
    analysis->features = (struct features){.brightness = (float)i, .contrast = 1};
    analysis->features.histogram_r[15] = analysis->features.histogram_g[8] = 1;
    analysis->features.histogram_b[0] = 1;
    analysis->ood = (struct ood_values){NAN, NAN, NAN};
    analysis->image_bytes = -1;
    analysis->truth.label = i % 100 == 0 ? LESION_MEL : -1;
}

static struct drift_reference *build(struct drift_builder *builder, struct drift_rows *rows)
{
    struct drift_reference *reference = drift_reference_new();
    struct analysis analysis;
    struct error err = {""};
    for (int i = 0; i < PICTURES; i++) {
        picture(i, &analysis);
        assert_int_equal(drift_builder_learn(builder, &analysis, &err), STATUS_OK);
    }
    drift_builder_bins(builder);
    for (int i = 0; i < PICTURES; i++) {
        picture(i, &analysis);
        assert_int_equal(drift_builder_count(builder, &analysis, &err), STATUS_OK);
    }
    assert_int_equal(drift_builder_finish(builder, reference, rows, &err), STATUS_OK);
    strcpy(reference->id, "ref-1");
    reference->limits = (struct drift_limits){.seed = 7, .budget = 4};
    reference->limits.charts[CHART_ENTROPY] = (struct drift_limit){4.5, 1000, NAN};
    return reference;
}

static void test_bins(void **state)
{
    (void)state;
    struct drift_builder *builder = drift_builder_new(monday, monday + 14 * INT64_C(86400000));
    struct drift_rows rows;
    struct drift_reference *reference = build(builder, &rows);
    const struct drift_tally *all = &reference->strata[0].tally;
    // Brightness is 0 ... 999: deciles by arithmetic.
    for (int i = 0; i < DRIFT_EDGES; i++)
        near("edge", reference->bins.edges[0][i], 99.9 * i, 1e-6);
    assert_int_equal(all->counts[0][0] + all->counts[0][DRIFT_NUMBER_BINS - 1], 0);
    for (int i = 1; i < DRIFT_NUMBER_BINS - 1; i++)
        assert_int_equal(all->counts[0][i], 100);
    assert_true(isnan(reference->bins.edges[6][0])); // no distance: there was no reference of the model
    // south is every tenth; "unknown" devices would be no stratum.
    assert_int_equal(reference->stratum_count, 5);
    int south = drift_stratum_find(reference, STRATUM_SITE, "south");
    assert_int_equal(reference->strata[south].tally.output.n, 100);
    assert_int_equal(all->output.events[RATE_URGENT], 50);
    assert_int_equal(all->output.events[RATE_LOW_CONFIDENCE], 125);
    assert_int_equal(all->output.trials[RATE_FAR], 0);
    assert_int_equal(reference->truth[LESION_MEL].n, 10);
    assert_int_equal(rows.count, PICTURES);
    // Two of each day of the week; 1000 pictures over 14 days are 72 on the first six and 71 after.
    near("Mondays", reference->weekdays[0], (72 + 71) / 2.0, 1e-12);
    drift_reference_free(reference);
    drift_builder_free(builder);
}

static void test_round(void **state)
{
    (void)state;
    struct drift_builder *builder = drift_builder_new(monday, monday + 14 * INT64_C(86400000));
    struct drift_rows rows;
    struct drift_reference *reference = build(builder, &rows), *again = drift_reference_new();
    struct buffer text, second;
    struct error err = {""};
    buffer_init(&text, DRIFT_REFERENCE_BYTES_MOST);
    buffer_init(&second, DRIFT_REFERENCE_BYTES_MOST);
    assert_int_equal(drift_reference_write(reference, &text, &err), STATUS_OK);
    if (drift_reference_parse(buffer_bytes(&text), again, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(drift_reference_write(again, &second, &err), STATUS_OK);
    assert_true(bytes_equal(buffer_bytes(&text), buffer_bytes(&second)));
    assert_memory_equal(&reference->strata[0].tally, &again->strata[0].tally, sizeof(struct drift_tally));
    buffer_release(&text);
    buffer_release(&second);
    drift_reference_free(again);
    drift_reference_free(reference);
    drift_builder_free(builder);
}

// Replaces the first occurrence and wants the file refused with a sentence that has `sentence`.
static void refused(const struct buffer *text, const char *from, const char *to, const char *sentence)
{
    struct drift_reference *again = drift_reference_new();
    struct error err = {""};
    char *changed = malloc(text->size + 256);
    const char *found = memmem(text->data, text->size, from, strlen(from));
    assert_non_null(changed);
    assert_non_null(found);
    size_t before = (size_t)(found - (const char *)text->data), behind = text->size - before - strlen(from);
    memcpy(changed, text->data, before);
    memcpy(changed + before, to, strlen(to));
    memcpy(changed + before + strlen(to), found + strlen(from), behind);
    struct bytes bytes = {(const uint8_t *)changed, before + strlen(to) + behind};
    assert_int_equal(drift_reference_parse(bytes, again, &err), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' lacks '%s'", err.message, sentence);
    free(changed);
    drift_reference_free(again);
}

static void test_refused(void **state)
{
    (void)state;
    struct drift_builder *builder = drift_builder_new(monday, monday + 14 * INT64_C(86400000));
    struct drift_rows rows;
    struct drift_reference *reference = build(builder, &rows);
    struct buffer text;
    struct error err = {""};
    buffer_init(&text, DRIFT_REFERENCE_BYTES_MOST);
    assert_int_equal(drift_reference_write(reference, &text, &err), STATUS_OK);
    refused(&text, "skinsight.reference.v1", "skinsight.reference.v2", "schema");
    refused(&text, "\"truth\":", "\"truths\":",
            "truth is not what a reference has there; one of an earlier version");
    refused(&text, "\"feature\":\"contrast\"", "\"feature\":\"colour\"", "another feature");
    refused(&text, "\"edges\":[0,", "\"edges\":[0,0,", "bins of brightness");
    refused(&text, "\"edges\":[0,", "\"edges\":[1e9,", "bins of brightness");
    refused(&text, "\"n\":1000", "\"n\":999", "stratum 0");
    refused(&text, "[0,100,100", "[0,101,100", "stratum 0");
    refused(&text, "\"alarm_budget_per_year\":4", "\"alarm_budget_per_year\":0", "limits");
    refused(&text, "\"id\":\"ref-1\"", "\"id\":\"../ref\"", "id");
    refused(&text, "\"kind\":\"site\"", "\"kind\":\"all\"", "stratum");
    buffer_release(&text);
    drift_reference_free(reference);
    drift_builder_free(builder);
}

static void test_compare(void **state)
{
    (void)state;
    struct drift_builder *builder = drift_builder_new(monday, monday + 14 * INT64_C(86400000));
    struct drift_rows rows;
    struct drift_reference *reference = build(builder, &rows);
    struct drift_difference found[DRIFT_FEATURES];
    struct drift_tally window = {0};
    struct analysis analysis;
    for (int i = 0; i < PICTURES; i++) {
        picture(i, &analysis);
        analysis.features.brightness += 99.9F; // one bin up: a tenth lies beyond the reference
        if (i % 2)
            analysis.capture_device = "camera-new";
        if (i >= PICTURES / 2) // absent from half of them
            analysis.features.histogram_r[0] = NAN;
        for (int bin = 0; i >= DRIFT_LEAST - 1 && bin < FEATURES_BINS; bin++)
            analysis.features.histogram_g[bin] = NAN;
        drift_tally_add(&window, &reference->bins, &analysis);
    }
    drift_compare(&window, &reference->strata[0].tally, &reference->bins, found);
    // Shares by arithmetic: the lowest inner bin is empty, the upper guard has 99 or 100 of 1000.
    double p0 = 0.5 / 1006, p1 = 100.5 / 1006;
    near("kl", found[0].kl, (p1 - p0) * log(p1 / p0), 0.03);
    near("w1", found[0].w1, 99.9 / sqrt((1000.0 * 1000 - 1) / 12), 0.01);
    assert_true(found[0].unseen >= 99 && found[0].unseen <= 100);
    assert_true(found[0].p < 1e-12);
    near("contrast does not move", found[1].p, 1, 1e-12);
    assert_true(found[6].insufficient);
    assert_int_equal(found[DRIFT_NUMBERS + 1].unseen, 500);
    near("half of the devices are new", found[DRIFT_NUMBERS + 1].tvd, 0.5, 0.01);
    const struct drift_difference *histograms = &found[DRIFT_COUNTED];
    assert_true(isnan(histograms[2].p) && histograms[2].kl == 0 && histograms[2].n == PICTURES);
    assert_int_equal(histograms[0].n, PICTURES / 2);
    assert_true(histograms[0].js < 0.05); // those that are there are as before
    assert_int_equal(histograms[1].n, DRIFT_LEAST - 1);
    assert_true(histograms[1].insufficient && isnan(histograms[1].js));
    assert_true(drift_least_p(&window, &reference->strata[0].tally, &reference->bins) < 1e-12);
    drift_reference_free(reference);
    drift_builder_free(builder);
}

// Two equal pictures of each visit are worth one: the variance of every count is twice as great.
static void test_visits(void **state)
{
    (void)state;
    struct drift_builder *builder = drift_builder_new(monday, monday + 14 * INT64_C(86400000));
    struct drift_reference *reference = drift_reference_new();
    struct drift_rows rows;
    struct error err = {""};
    for (int i = 0; i < 2 * PICTURES; i++) {
        struct analysis analysis;
        char subject[24];
        int visit = i % PICTURES;
        picture(visit, &analysis);
        snprintf(subject, sizeof subject, "%d", visit % 500); // comes twice, on another day
        analysis.subject = subject;
        if (i < PICTURES)
            assert_int_equal(drift_builder_learn(builder, &analysis, &err), STATUS_OK);
        if (i == PICTURES)
            drift_builder_bins(builder);
        for (int copy = 0; i >= PICTURES && copy < 2; copy++)
            assert_int_equal(drift_builder_count(builder, &analysis, &err), STATUS_OK);
    }
    assert_int_equal(drift_builder_finish(builder, reference, &rows, &err), STATUS_OK);
    assert_int_equal(rows.count, 2 * PICTURES);
    assert_int_equal(rows.visit_count, PICTURES);
    assert_int_equal(rows.visits[PICTURES], rows.count);
    near("brightness", reference->bins.effects[0], 2, 1e-9);
    near("one bin alone has none", reference->bins.effects[DRIFT_COUNTED - 1], 1, 1e-12);
    drift_reference_free(reference);
    drift_builder_free(builder);
}

static void test_too_few(void **state)
{
    (void)state;
    struct drift_builder *builder = drift_builder_new(monday, monday + INT64_C(86400000));
    struct drift_reference *reference = drift_reference_new();
    struct drift_rows rows;
    struct error err = {""};
    drift_builder_bins(builder);
    assert_int_equal(drift_builder_finish(builder, reference, &rows, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "needs 200"));
    drift_reference_free(reference);
    drift_builder_free(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bins),    cmocka_unit_test(test_round),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_visits), cmocka_unit_test(test_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
