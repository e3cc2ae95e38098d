// test_policy.c: probabilities and decisions on both sides of each threshold of the built-in policy (its
// numbers stand in docs/FORMATS.md), and policy files that are refused, each by a sentence that names what is
// wrong.
#include "worker/policy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/process.h"

#define TEXTS "\"schema\": \"skinsight.policy.v1\", \"version\": \"2\", \"fda_clearance\": \"none\""
#define THRESHOLDS                                                                                           \
    "\"urgent\": {\"MEL\": 0.3}, \"routine\": {\"malignant\": 0.2}, \"abstain\": {\"confidence_below\": "    \
    "0.5}"
#define DISCLAIMER "\"disclaimer\": \"The physician decides.\""

static enum status parse(const char *text, struct policy *policy, struct error *err)
{
    return policy_parse(policy, text, strlen(text), err);
}

static void test_a_policy_is_read(void **state)
{
    (void)state;
    struct policy policy;
    struct error err;
    assert_int_equal(parse("{" TEXTS ", " THRESHOLDS ", " DISCLAIMER "}\n", &policy, &err), STATUS_OK);
    assert_string_equal(policy.version, "2");
    assert_string_equal(policy.disclaimer, "The physician decides.");
}

static void test_policies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } wrong[] = {
        {"[]", "not a JSON object"},
        {"{" TEXTS ", " THRESHOLDS ", " DISCLAIMER "} x", "after its end"},
        {"{" TEXTS ", " THRESHOLDS ", \"disclaimer\": \"\xe9\"}", "UTF-8"}, // would stand in every answer
        {"{" TEXTS ", " THRESHOLDS ", " DISCLAIMER ", " DISCLAIMER "}", "'disclaimer' stands there twice"},
        {"{" TEXTS ", " DISCLAIMER ", \"urgent\": {\"MEL\": 0.3, \"MEL\": 0.9}, \"routine\": {}, "
         "\"abstain\": {\"confidence_below\": 0.5}}",
         "'MEL' stands there twice"},
        {"{" TEXTS ", " THRESHOLDS "}", "'disclaimer'"},
        {"{" TEXTS ", " DISCLAIMER ", \"urgent\": {\"MEL\": 1.5}, \"routine\": {}, \"abstain\": "
         "{\"confidence_below\": 0.5}}",
         "'MEL' must be a probability"},
        {"{" TEXTS ", " DISCLAIMER ", \"urgent\": {\"malignant\": 0.5}, \"routine\": {}, \"abstain\": "
         "{\"confidence_below\": 0.5}}",
         "'malignant' in 'urgent'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct policy policy;
        struct error err = {""};
        enum status status = parse(wrong[i].text, &policy, &err);
        if (status != STATUS_REJECTED || !strstr(err.message, wrong[i].word))
            fail_msg("%s gave %d, '%s', not '%s'", wrong[i].text, status, err.message, wrong[i].word);
    }
}

// Three classes and their probabilities; all others have 0.
struct case_of_three {
    enum lesion_class classes[3];
    float probabilities[3];
    enum lesion_action action;
    int risk_score; // of MEL, BCC and SCC, in percent
};

static float below(float value)
{
    return nextafterf(value, 0);
}

static void check_decision(const struct policy *policy, const struct case_of_three *the)
{
    float probabilities[LESION_CLASSES] = {0};
    struct decision decision;
    for (int i = 0; i < 3; i++)
        probabilities[the->classes[i]] = the->probabilities[i];
    policy_decide(policy, probabilities, &decision);
    if (decision.action != the->action || decision.risk_score != the->risk_score)
        fail_msg("%s %g, %s %g: %s, risk %d; expected %s, risk %d", lesion_codes[the->classes[0]],
                 (double)the->probabilities[0], lesion_codes[the->classes[1]], (double)the->probabilities[1],
                 action_names[decision.action], decision.risk_score, action_names[the->action],
                 the->risk_score);
    for (int i = 1; i < LESION_CLASSES; i++)
        assert_true(probabilities[decision.order[i - 1]] >= probabilities[decision.order[i]]);
    assert_int_equal(decision.primary, decision.order[0]);
    assert_true(decision.confidence == probabilities[decision.primary]);
}

static void test_thresholds_of_the_built_in_policy(void **state)
{
    (void)state;
    const struct case_of_three cases[] = {
        {{LESION_NV, LESION_BKL, LESION_DF}, {0.9f, 0.05f, 0.05f}, ACTION_MONITOR, 0},
        {{LESION_MEL, LESION_NV, LESION_DF}, {0.3f, 0.7f, 0}, ACTION_URGENT_REFERRAL, 30},
        {{LESION_MEL, LESION_NV, LESION_DF}, {below(0.3f), 0.7f, 0}, ACTION_ROUTINE_REFERRAL, 30},
        {{LESION_SCC, LESION_NV, LESION_DF}, {0.5f, 0.5f, 0}, ACTION_URGENT_REFERRAL, 50},
        {{LESION_SCC, LESION_NV, LESION_DF}, {below(0.5f), 0.5f, 0}, ACTION_ROUTINE_REFERRAL, 50},
        {{LESION_BCC, LESION_NV, LESION_DF}, {0.95f, 0.05f, 0}, ACTION_ROUTINE_REFERRAL, 95},
        {{LESION_BCC, LESION_NV, LESION_DF}, {0.2f, 0.8f, 0}, ACTION_ROUTINE_REFERRAL, 20},
        {{LESION_BCC, LESION_NV, LESION_DF}, {below(0.2f), 0.8f, 0}, ACTION_MONITOR, 20},
        {{LESION_MEL, LESION_SCC, LESION_NV}, {0.1f, 0.1f, 0.8f}, ACTION_ROUTINE_REFERRAL, 20}, // their sum
        {{LESION_MEL, LESION_SCC, LESION_NV}, {below(0.1f), 0.1f, 0.8f}, ACTION_MONITOR, 20},
        {{LESION_AK, LESION_NV, LESION_DF}, {0.3f, 0.7f, 0}, ACTION_ROUTINE_REFERRAL, 0},
        {{LESION_AK, LESION_NV, LESION_DF}, {below(0.3f), 0.7f, 0}, ACTION_MONITOR, 0},
        {{LESION_NV, LESION_BKL, LESION_VASC}, {0.5f, 0.25f, 0.25f}, ACTION_MONITOR, 0},
        {{LESION_NV, LESION_BKL, LESION_VASC}, {below(0.5f), 0.25f, 0.25f}, ACTION_ROUTINE_REFERRAL, 0},
        {{LESION_BCC, LESION_NV, LESION_DF}, {0.125f, 0.875f, 0}, ACTION_MONITOR, 13}, // 12.5
        {{LESION_MEL, LESION_BCC, LESION_SCC}, {0.5f, 0.25f, 0.255f}, ACTION_URGENT_REFERRAL, 100},
    };
    struct policy policy;
    struct error err;
    assert_int_equal(policy_load(&policy, "", &err), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_decision(&policy, &cases[i]);
}

static void test_an_answer_without_confidence_abstains(void **state)
{
    (void)state;
    struct policy policy;
    struct decision decision;
    struct error err;
    float probabilities[LESION_CLASSES] = {[LESION_NV] = 0.5f, [LESION_BKL] = 0.25f, [LESION_VASC] = 0.25f};
    assert_int_equal(policy_load(&policy, "", &err), STATUS_OK);
    policy_decide(&policy, probabilities, &decision);
    assert_false(decision.low_confidence);
    probabilities[LESION_NV] = below(0.5f);
    policy_decide(&policy, probabilities, &decision);
    assert_true(decision.low_confidence);
    probabilities[LESION_MEL] = 0.3f; // abstains whatever the action
    policy_decide(&policy, probabilities, &decision);
    assert_true(decision.low_confidence && decision.action == ACTION_URGENT_REFERRAL);
}

static void test_of_equals_the_first_leads(void **state)
{
    (void)state;
    const float probabilities[LESION_CLASSES] = {0, 0.25f, 0, 0.25f, 0.3f, 0, 0.2f, 0};
    static const enum lesion_class order[] = {LESION_BKL, LESION_NV,  LESION_AK, LESION_VASC,
                                              LESION_MEL, LESION_BCC, LESION_DF, LESION_SCC};
    struct policy policy;
    struct decision decision;
    struct error err;
    assert_int_equal(policy_load(&policy, "", &err), STATUS_OK);
    policy_decide(&policy, probabilities, &decision);
    assert_memory_equal(decision.order, order, sizeof order);
}

// Logits T ln(1), ..., T ln(8) stand for 1/36, ..., 8/36; 1000 alone for 1, without a number too large.
static void test_probabilities_are_the_softmax(void **state)
{
    (void)state;
    static const float temperatures[] = {1, 2.5f};
    float logits[LESION_CLASSES], probabilities[LESION_CLASSES];
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < LESION_CLASSES; i++)
            logits[i] = (float)((double)temperatures[t] * log(i + 1));
        policy_probabilities(logits, temperatures[t], probabilities);
        for (int i = 0; i < LESION_CLASSES; i++) // a logit below 8 is rounded by 2^-22 at most
            assert_true(fabs((double)probabilities[i] - (i + 1) / 36.0) <= 0x1p-22);
    }
    memset(logits, 0, sizeof logits);
    logits[3] = 1000;
    policy_probabilities(logits, 1, probabilities);
    assert_true(probabilities[3] == 1 && probabilities[0] == 0);
}

// Refused or read, never waited for: a FIFO that nobody writes would hold the start for ever.
static void test_policy_files(void **state)
{
    (void)state;
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16];
    struct policy policy;
    struct error err;
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/policy", folder);
    assert_int_equal(policy_load(&policy, path, &err), STATUS_FATAL);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(policy_load(&policy, path, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "not a regular file"));
    assert_int_equal(unlink(path), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("{\"schema\": \"skinsight.policy.v1\"", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(policy_load(&policy, path, &err), STATUS_REJECTED);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("{" TEXTS ", " DISCLAIMER ", " THRESHOLDS "}", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(policy_load(&policy, path, &err), STATUS_OK);
    assert_string_equal(policy.version, "2");
    assert_int_equal(truncate(path, 65537), 0);
    assert_int_equal(policy_load(&policy, path, &err), STATUS_REJECTED);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds_of_the_built_in_policy),
        cmocka_unit_test(test_an_answer_without_confidence_abstains),
        cmocka_unit_test(test_of_equals_the_first_leads),
        cmocka_unit_test(test_probabilities_are_the_softmax),
        cmocka_unit_test(test_a_policy_is_read),
        cmocka_unit_test(test_policies_are_refused),
        cmocka_unit_test(test_policy_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
