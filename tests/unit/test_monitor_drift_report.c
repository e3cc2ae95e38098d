// test_monitor_drift_report.c: references in their folder, signed, and what is refused; and what a report
// says of weeks in which nothing happens and of weeks with another camera.
#include <math.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/statistics/random_draws.h"
#include "monitor/drift/part.h"
#include "monitor/drift/reference_build.h"
#include "monitor/drift/references.h"
#include "tests/support/process.h"

enum { DAYS = 28, A_DAY = 250 };
static const int64_t day_ms = INT64_C(86400000), monday = INT64_C(1795996800000); // 2026-11-30

static char folder[SCRATCH_SIZE];
static struct error err;

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("%s: %s", #call, err.message);                                                          \
    } while (0)

// A picture of a day. planted: half of them by a camera that makes them brighter, and more melanomas.
static void picture(int64_t at, bool planted, struct random_draws *draws, struct analysis *analysis)
{
    static const char *const sites[] = {"north", "south"};
    double class = random_draws_uniform(draws);
    memset(analysis, 0, sizeof *analysis);
    bool new_camera = planted && random_draws_uniform(draws) < 0.5;
    analysis->at = at;
    analysis->site = sites[random_draws_uniform(draws) < 0.3];
    analysis->subject = analysis->error_code = "";
    analysis->lesion_location = "back";
    analysis->capture_device = new_camera ? "camera-new" : "camera-a";
    analysis->dermatoscope_attached = 1;
    analysis->fitzpatrick_type = 2;
    analysis->class = class < (planted ? 0.3 : 0.1) ? LESION_MEL : LESION_NV;
    analysis->confidence = random_draws_uniform(draws) < 0.1 ? 0.4F : 0.9F;
    analysis->entropy_nats = (float)random_draws_uniform(draws);
    analysis->action = analysis->class == LESION_MEL ? ACTION_URGENT_REFERRAL : ACTION_MONITOR;
    analysis->features.brightness = (float)(0.5 + 0.1 * random_draws_normal(draws) + (new_camera ? 0.1 : 0));
    analysis->features.histogram_r[8] = analysis->features.histogram_g[8] = 1;
    analysis->features.histogram_b[8] = 1;
    analysis->ood = (struct ood_values){NAN, NAN, NAN};
    analysis->image_bytes = -1;
    analysis->truth.label = random_draws_uniform(draws) < 0.1 ? analysis->class : -1;
}

static struct drift_reference *make_reference(void)
{
    struct drift_builder *builder = drift_builder_new(monday, monday + DAYS * day_ms);
    struct drift_reference *reference = drift_reference_new();
    struct drift_rows rows;
    struct analysis analysis;
    for (int pass = 0; pass < 2; pass++) {
        struct random_draws draws = {{1, 1}, 0};
        for (int i = 0; i < DAYS * A_DAY; i++) {
            picture(monday + i / A_DAY * day_ms, false, &draws, &analysis);
            if (pass == 0)
                GOOD(drift_builder_learn(builder, &analysis, &err));
            else
                GOOD(drift_builder_count(builder, &analysis, &err));
        }
        if (pass == 0)
            drift_builder_bins(builder);
    }
    GOOD(drift_builder_finish(builder, reference, &rows, &err));
    drift_builder_free(builder);
    strcpy(reference->id, "north-1");
    // Limits as a simulation gives them for 12 false alarms a year, rounded.
    const struct drift_limit limit = {7, 426, 10}, looks = {1.2, 426, 4};
    reference->limits = (struct drift_limits){.seed = 1, .budget = 12};
    for (int i = 0; i < DRIFT_CHARTS; i++)
        reference->limits.charts[i] = limit;
    reference->limits.charts[CHART_CLASS_MIX].limit = 26;
    reference->limits.charts[CHART_INPUT] = looks;
    for (size_t i = 0; i < reference->stratum_count; i++)
        reference->strata[i].input = looks;
    return reference;
}

// ---- the folder ----

static void make_keys(const char *name)
{
    char path[SCRATCH_SIZE + 64];
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    snprintf(path, sizeof path, "%s/%s.pem", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    chmod(path, 0600);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    snprintf(path, sizeof path, "%s/%s-public.pem", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    PEM_write_PUBKEY(file, key);
    fclose(file);
    EVP_PKEY_free(key);
}

static enum status find(const char *key, struct drift_reference *reference, bool *found)
{
    char path[SCRATCH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s-public.pem", folder, key ? key : "");
    const struct drift_wanted wanted = {.before = monday + DAYS * day_ms, .verifying_key = key ? path : NULL};
    return drift_references_find(folder, &wanted, reference, found, &err);
}

static void replace_byte(const char *name, char from, char to)
{
    char path[SCRATCH_SIZE + 64];
    int c;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    while ((c = fgetc(file)) != EOF && c != from)
        ;
    assert_int_not_equal(c, EOF);
    fseek(file, -1, SEEK_CUR);
    fputc(to, file);
    fclose(file);
}

static void refused(const char *key, const char *sentence)
{
    struct drift_reference *reference = drift_reference_new();
    bool found;
    assert_int_equal(find(key, reference, &found), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' lacks '%s'", err.message, sentence);
    drift_reference_free(reference);
}

static void test_folder(void **state)
{
    (void)state;
    struct drift_reference *reference = make_reference(), *again = drift_reference_new();
    struct signer *signer;
    char path[SCRATCH_SIZE + 64];
    bool found;
    make_keys("key");
    make_keys("other");
    GOOD(drift_references_add(folder, reference, &err));
    assert_int_equal(drift_references_add(folder, reference, &err), STATUS_REJECTED);
    GOOD(find(NULL, again, &found));
    assert_false(found); // a draft
    snprintf(path, sizeof path, "%s/key.pem", folder);
    GOOD(signer_open(&signer, path, &err));
    GOOD(drift_references_sign(folder, "north-1", signer, &err));
    GOOD(find("key", again, &found));
    assert_true(found);
    assert_memory_equal(&again->strata[1].tally, &reference->strata[1].tally, sizeof(struct drift_tally));
    GOOD(find(NULL, again, &found));
    assert_true(found);
    refused("other", "another key");

    // Early, or of another model: it does not fit.
    struct drift_wanted wanted = {.before = monday + DAYS * day_ms - 1};
    GOOD(drift_references_find(folder, &wanted, again, &found, &err));
    assert_false(found);
    wanted = (struct drift_wanted){.before = INT64_MAX, .sha256 = "00"};
    GOOD(drift_references_find(folder, &wanted, again, &found, &err));
    assert_false(found);

    replace_byte("north-1.json", '7', '8'); // of the seed or a count: some digit
    refused(NULL, "reference north-1");
    signer_close(signer);
    drift_reference_free(reference);
    drift_reference_free(again);
}

// A file that is whole but not what was signed.
static void test_altered(void **state)
{
    (void)state;
    struct drift_reference *reference = make_reference();
    struct signer *signer;
    char path[SCRATCH_SIZE + 64];
    make_keys("key");
    snprintf(path, sizeof path, "%s/key.pem", folder);
    GOOD(signer_open(&signer, path, &err));
    GOOD(drift_references_add(folder, reference, &err));
    GOOD(drift_references_sign(folder, "north-1", signer, &err));
    snprintf(path, sizeof path, "%s/north-1.json", folder);
    assert_int_equal(remove(path), 0);
    reference->limits.charts[CHART_ENTROPY].limit = 1000;
    GOOD(drift_references_add(folder, reference, &err));
    refused("key", "not the file that was signed");
    replace_byte("north-1.sig", '"', '\'');
    refused("key", "no signature");
    signer_close(signer);
    drift_reference_free(reference);
}

// ---- reports ----

static cJSON *report_of(const struct drift_reference *reference, bool planted)
{
    struct drift_windows *windows;
    struct random_draws draws = {{2, planted}, 0};
    int64_t from = monday + DAYS * day_ms, to = from + DAYS * day_ms;
    cJSON *document = cJSON_CreateObject();
    GOOD(drift_windows_new(&windows, reference, from, to, &err));
    for (int i = 0; i < DAYS * A_DAY; i++) {
        struct analysis analysis;
        int day = i / A_DAY;
        picture(from + day * day_ms, planted && day >= DAYS / 2, &draws, &analysis);
        drift_windows_add(windows, &analysis);
    }
    GOOD(drift_write_input(windows, reference, document, &err));
    GOOD(drift_write_output(windows, reference, document, &err));
    GOOD(drift_write_case_mix(windows, reference, document, &err));
    GOOD(drift_write_alarms(windows, reference, document, &err));
    drift_windows_free(windows);
    return document;
}

static const cJSON *alarm_named(const cJSON *document, const char *name)
{
    const cJSON *alarm;
    cJSON_ArrayForEach(alarm, cJSON_GetObjectItemCaseSensitive(document, "alarms"))
    {
        if (strcmp(cJSON_GetObjectItemCaseSensitive(alarm, "name")->valuestring, name) == 0)
            return alarm;
    }
    fail_msg("there is no alarm %s", name);
    return NULL;
}

static void state_is(const cJSON *document, const char *name, const char *expected)
{
    const char *state = cJSON_GetObjectItemCaseSensitive(alarm_named(document, name), "state")->valuestring;
    if (strcmp(state, expected) != 0)
        fail_msg("%s is %s, expected %s", name, state, expected);
}

static void verdict_is(const cJSON *document, const char *expected)
{
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(document, "output");
    const cJSON *split = cJSON_GetObjectItemCaseSensitive(output, "case_mix");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(split, "verdict")->valuestring, expected);
    bool is_known = strcmp(expected, "insufficient") != 0;
    assert_int_equal(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(split, "groups")), is_known);
    assert_int_equal(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(split, "reason")), !is_known);
}

static void test_quiet_weeks(void **state)
{
    (void)state;
    struct drift_reference *reference = make_reference();
    cJSON *document = report_of(reference, false);
    verdict_is(document, "no_change");
    static const char *const quiet[] = {"class_mix",
                                        "entropy",
                                        "urgent_referral",
                                        "low_confidence",
                                        "input_drift",
                                        "input_drift site=north",
                                        "unseen capture_device"};
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++)
        state_is(document, quiet[i], "ok");
    state_is(document, "out_of_distribution", "insufficient"); // no picture has a distance
    const cJSON *entry;
    int warnings = 0;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(document, "drift"))
    {
        const char *state_now = cJSON_GetObjectItemCaseSensitive(entry, "state")->valuestring;
        bool judged = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(entry, "p_adjusted"));
        warnings += strcmp(state_now, "warning") == 0;
        assert_true(judged || strcmp(state_now, "insufficient") == 0); // a histogram has a distance alone
    }
    assert_int_equal(warnings, 0);
    cJSON *again = report_of(reference, false);
    char *first = cJSON_PrintUnformatted(document), *second = cJSON_PrintUnformatted(again);
    assert_string_equal(first, second);
    free(first);
    free(second);
    cJSON_Delete(again);
    cJSON_Delete(document);
    drift_reference_free(reference);
}

static void test_another_camera(void **state)
{
    (void)state;
    struct drift_reference *reference = make_reference();
    cJSON *document = report_of(reference, true);
    verdict_is(document, "case_mix"); // every answer is right
    static const char *const loud[] = {"class_mix", "urgent_referral", "input_drift",
                                       "input_drift site=south"};
    for (size_t i = 0; i < sizeof loud / sizeof *loud; i++) {
        const cJSON *since = cJSON_GetObjectItemCaseSensitive(alarm_named(document, loud[i]), "since");
        state_is(document, loud[i], "critical");
        // Not before the change, and within a week of it.
        double change = (double)(monday + (DAYS + DAYS / 2) * day_ms);
        assert_true(since->valuedouble >= change && since->valuedouble < change + 7.0 * (double)day_ms);
    }
    state_is(document, "entropy", "ok");
    state_is(document, "unseen capture_device", "warning");
    const cJSON *plain = alarm_named(document, "plain_urgent_band");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(plain, "plain")));
    state_is(document, "plain_urgent_band", "critical");
    cJSON_Delete(document);
    drift_reference_free(reference);
}

// A site that the reference lacks is judged against nothing.
static void test_unknown_site(void **state)
{
    (void)state;
    static const char *const silent[] = {"class_mix", "entropy", "plain_kl", "plain_two_sd"};
    struct drift_reference *reference = make_reference();
    reference->strata[0].tally = (struct drift_tally){0};
    reference->stratum_count = 1;
    cJSON *document = report_of(reference, true);
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        state_is(document, silent[i], "insufficient");
    state_is(document, "plain_urgent_band", "critical"); // this one compares with no reference
    cJSON_Delete(document);
    drift_reference_free(reference);
}

static void test_too_long(void **state)
{
    (void)state;
    struct drift_reference *reference = drift_reference_new();
    struct drift_windows *windows;
    reference->stratum_count = 1;
    assert_int_equal(drift_windows_new(&windows, reference, 0, (DRIFT_DAYS_MOST + 1) * day_ms, &err),
                     STATUS_REJECTED);
    assert_null(windows);
    drift_reference_free(reference);
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_altered, make_folder, remove_folder),
        cmocka_unit_test(test_quiet_weeks),
        cmocka_unit_test(test_another_camera),
        cmocka_unit_test(test_unknown_site),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
