// test_policy.c: probabilities and decisions on both sides of each threshold of the built-in policy (its
// numbers stand in docs/FORMATS.md) and of each limit of version 2, and policy files that are refused, each
// by a sentence that names what is wrong.
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

#define V1_ABSTAIN                                                                                           \
    "{" TEXTS ", " DISCLAIMER ", \"urgent\": {}, \"routine\": {}, \"abstain\": {\"confidence_below\": 0.5, "

// Without its end, as the cases of expect_refused that begin with it.
#define V2                                                                                                   \
    "{\"schema\": \"skinsight.policy.v2\", \"version\": \"2\", \"fda_clearance\": \"none\", " DISCLAIMER     \
    ", \"urgent\": {}, \"routine\": {}"

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

struct refused {
    const char *text, *word; // the word stands in the sentence that names what is wrong
};

static void expect_refused(const struct refused *the)
{
    struct policy policy;
    struct error err = {""};
    char text[1024];
    bool open = strncmp(the->text, V2, sizeof V2 - 1) == 0;
    snprintf(text, sizeof text, "%s%s", the->text, open ? "}" : "");
    enum status status = parse(text, &policy, &err);
    if (status != STATUS_REJECTED || !strstr(err.message, the->word))
        fail_msg("%s gave %d, '%s', not '%s'", the->text, status, err.message, the->word);
}

static void test_policies_are_refused(void **state)
{
    (void)state;
    static const struct refused wrong[] = {
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
        {"{\"schema\": \"skinsight.policy.v3\"}", "not skinsight.policy.v1 or v2"},
        {"{" TEXTS ", " DISCLAIMER ", \"urgent\": {}, \"routine\": {}, \"abstain\": {}}",
         "'confidence_below'"},
        {V2, "'abstain' must be an object"},
        {V2 ", \"abstain\": []", "'abstain' must be an object"},
        {V2 ", \"abstain\": {\"confidence_bellow\": 0.5}", "'confidence_bellow' in 'abstain' is not known"},
        {V2 ", \"abstain\": {\"confidence_below\": 1.1}", "from 0 to 1"},
        {V2 ", \"abstain\": {\"ood_quantile_above\": -0.1}", "from 0 to 1"},
        {V2 ", \"abstain\": {\"sharpness_below\": 16.1}", "from 0 to 16"},
        {V2 ", \"abstain\": {\"contrast_below\": \"0\"}", "from 0 to 0.5"},
        {V2 ", \"abstain\": {\"contrast_below\": 0.51}", "from 0 to 0.5"},
        {V2 ", \"abstain\": {\"brightness\": 0.5}", "'brightness' must be two numbers"},
        {V2 ", \"abstain\": {\"brightness\": [0.5]}", "'brightness' must be two numbers"},
        {V2 ", \"abstain\": {\"brightness\": [0.5, 0.4]}", "'brightness' must be two numbers"},
        {V2 ", \"abstain\": {\"brightness\": [0.5, 1.1]}", "'brightness' must be two numbers"},
        {V2 ", \"abstain\": {\"brightness\": [0.5, 0.6, 0.7]}", "'brightness' must be two numbers"},
        {V2 ", \"abstain\": {\"brightness\": [null, 0.4]}", "'brightness' must be two numbers"},
        {V2 ", \"abstain\": {}, \"review\": true", "'review' must hold 'within_h'"},
        {V2 ", \"abstain\": {}, \"review\": {\"abstained\": true}", "'review' must hold 'within_h'"},
        {V2 ", \"abstain\": {}, \"review\": {\"within_h\": 0, \"abstained\": true}", "from 1 to 8760"},
        {V2 ", \"abstain\": {}, \"review\": {\"within_h\": 1.5, \"abstained\": true}", "from 1 to 8760"},
        {V2 ", \"abstain\": {}, \"review\": {\"within_h\": 48}", "'confidence_below' above 0 or 'abstained'"},
        {V2 ", \"abstain\": {}, \"review\": {\"within_h\": 48, \"abstained\": 1}", "true or false"},
        {V2 ", \"abstain\": {}, \"review\": {\"within_h\": 48, \"confidence_below\": 2}", "from 0 to 1"},
        {V2 ", \"abstain\": {}, \"review\": {\"within_h\": 48, \"abstain\": true}",
         "'abstain' in 'review' is not known"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused(&wrong[i]);
}

static void test_rules_of_no_version_or_of_a_later_one_are_refused(void **state)
{
    (void)state;
    static const struct refused wrong[] = {
        {V2 ", \"abstain\": {}, \"reviews\": {\"within_h\": 48, \"abstained\": true}",
         "'reviews' is not known"},
        {V2 ", \"abstain\": {}, \"comment\": \"\"", "'comment' is not known"},
        {"{" TEXTS ", " THRESHOLDS ", " DISCLAIMER ", \"review\": {}}", "'review' needs skinsight.policy.v2"},
        {V1_ABSTAIN "\"ood_quantile_above\": 1}}", "'ood_quantile_above' needs skinsight.policy.v2"},
        {V1_ABSTAIN "\"sharpness_below\": 0}}", "'sharpness_below' needs skinsight.policy.v2"},
        {V1_ABSTAIN "\"contrast_below\": 0}}", "'contrast_below' needs skinsight.policy.v2"},
        {V1_ABSTAIN "\"brightness\": [0, 1]}}", "'brightness' needs skinsight.policy.v2"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused(&wrong[i]);
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

static const struct features sharp = {.brightness = 0.5f, .contrast = 0.25f, .sharpness = 0.01f};

static void decide(const struct policy *policy, const float probabilities[LESION_CLASSES],
                   struct decision *decision)
{
    const struct evidence evidence = {probabilities, NAN, &sharp};
    policy_decide(policy, &evidence, decision);
}

static void check_decision(const struct policy *policy, const struct case_of_three *the)
{
    float probabilities[LESION_CLASSES] = {0};
    struct decision decision;
    for (int i = 0; i < 3; i++)
        probabilities[the->classes[i]] = the->probabilities[i];
    decide(policy, probabilities, &decision);
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

// ---- version 2 ----

// Of an image that is NV with confidence, MEL with melanoma, and one of three others for the rest.
struct case_of_v2 {
    const char *abstain, *review; // what these objects of the policy hold; review NULL: there is none
    float confidence, melanoma, quantile;
    struct features features;
    enum lesion_action action;
    const char *reasons, *review_reasons; // each with a blank behind it
};

#define OOD   "\"ood_quantile_above\": 0.875"
#define SURE  "\"confidence_below\": 0.5"
#define SHARP "\"sharpness_below\": 0.0078125"
#define DARK  "\"brightness\": [0.25, 0.75]"
#define FLAT  "\"contrast_below\": 0.125"
#define ALL   OOD ", " SURE ", " SHARP ", " DARK ", " FLAT
#define LOOK  "\"within_h\": 48, \"confidence_below\": 0.625, \"abstained\": true"
#define GOOD                                                                                                 \
    {                                                                                                        \
        .brightness = 0.5f, .contrast = 0.25f, .sharpness = 0.01f                                            \
    }
#define BLURRED                                                                                              \
    {                                                                                                        \
        .brightness = 0.5f, .contrast = 0.25f, .sharpness = 0.0078f                                          \
    }
#define BLACK                                                                                                \
    {                                                                                                        \
        .brightness = 0, .contrast = 0, .sharpness = 0                                                       \
    }

static const float unknown = NAN;

// The limits but for confidence are powers of two's sums: what is below and above is below and above.
static const struct case_of_v2 cases_of_v2[] = {
    // no limit: nothing abstains
    {"", NULL, 1, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    {"", NULL, 0.3f, 0, 1, BLACK, ACTION_MONITOR, "", ""},
    {"", NULL, 0.3f, 0, unknown, BLACK, ACTION_MONITOR, "", ""},
    // confidence
    {SURE, NULL, 0.5f, 0, 1, BLACK, ACTION_MONITOR, "", ""},
    {SURE, NULL, 0.499f, 0, 0, GOOD, ACTION_ROUTINE_REFERRAL, "low_confidence ", ""},
    {SURE, NULL, 0.35f, 0.3f, 0, GOOD, ACTION_URGENT_REFERRAL, "low_confidence ", ""},
    {"\"confidence_below\": 1", NULL, 1, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    {"\"confidence_below\": 1", NULL, 0.999f, 0, 0, GOOD, ACTION_ROUTINE_REFERRAL, "low_confidence ", ""},
    {"\"confidence_below\": 0", NULL, 0.3f, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    // out of distribution
    {OOD, NULL, 0.3f, 0, 0.875f, BLACK, ACTION_MONITOR, "", ""},
    {OOD, NULL, 1, 0, 0.8751f, GOOD, ACTION_ROUTINE_REFERRAL, "out_of_distribution ", ""},
    {OOD, NULL, 1, 0, 1, GOOD, ACTION_ROUTINE_REFERRAL, "out_of_distribution ", ""},
    {OOD, NULL, 1, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    {OOD, NULL, 1, 0, unknown, GOOD, ACTION_MONITOR, "", ""}, // a model without a reference
    {OOD, NULL, 0.4f, 0.4f, 1, GOOD, ACTION_URGENT_REFERRAL, "out_of_distribution ", ""},
    {"\"ood_quantile_above\": 1", NULL, 1, 0, 1, GOOD, ACTION_MONITOR, "", ""},
    {"\"ood_quantile_above\": 0", NULL, 1, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    {"\"ood_quantile_above\": 0", NULL, 1, 0, 0.001f, GOOD, ACTION_ROUTINE_REFERRAL, "out_of_distribution ",
     ""},
    // the image
    {SHARP, NULL, 1, 0, 1, BLURRED, ACTION_ROUTINE_REFERRAL, "image_quality ", ""},
    {SHARP, NULL, 1, 0, 1, {.sharpness = 0.0078125f}, ACTION_MONITOR, "", ""},
    {FLAT, NULL, 1, 0, 1, {.contrast = 0.1249f}, ACTION_ROUTINE_REFERRAL, "image_quality ", ""},
    {FLAT, NULL, 1, 0, 1, {.contrast = 0.125f}, ACTION_MONITOR, "", ""},
    {DARK, NULL, 1, 0, 1, {.brightness = 0.2499f}, ACTION_ROUTINE_REFERRAL, "image_quality ", ""},
    {DARK, NULL, 1, 0, 1, {.brightness = 0.25f}, ACTION_MONITOR, "", ""},
    {DARK, NULL, 1, 0, 1, {.brightness = 0.75f}, ACTION_MONITOR, "", ""},
    {DARK, NULL, 1, 0, 1, {.brightness = 0.7501f}, ACTION_ROUTINE_REFERRAL, "image_quality ", ""},
    {"\"brightness\": [0, 1]", NULL, 1, 0, 1, {.brightness = 1}, ACTION_MONITOR, "", ""},
    {SHARP ", " FLAT ", " DARK, NULL, 1, 0, 1, BLACK, ACTION_ROUTINE_REFERRAL, "image_quality ", ""},
    {SHARP, NULL, 0.5f, 0.5f, 1, BLURRED, ACTION_URGENT_REFERRAL, "image_quality ", ""},
    // several
    {ALL, NULL, 0.75f, 0, 0.5f, GOOD, ACTION_MONITOR, "", ""},
    {ALL, NULL, 0.4f, 0, 0.9f, GOOD, ACTION_ROUTINE_REFERRAL, "low_confidence out_of_distribution ", ""},
    {ALL, NULL, 0.4f, 0, 0.9f, BLURRED, ACTION_ROUTINE_REFERRAL,
     "low_confidence out_of_distribution image_quality ", ""},
    {ALL, NULL, 0.75f, 0, unknown, BLACK, ACTION_ROUTINE_REFERRAL, "image_quality ", ""},
    // review
    {SURE, LOOK, 0.625f, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    {SURE, LOOK, 0.6f, 0, 0, GOOD, ACTION_MONITOR, "", "low_confidence "},
    {SURE, LOOK, 0.4f, 0, 0, GOOD, ACTION_ROUTINE_REFERRAL, "low_confidence ", "low_confidence abstained "},
    {OOD, LOOK, 0.75f, 0, 1, GOOD, ACTION_ROUTINE_REFERRAL, "out_of_distribution ", "abstained "},
    {ALL, LOOK, 0.9f, 0, 0, BLURRED, ACTION_ROUTINE_REFERRAL, "image_quality ", "abstained "},
    {SURE, "\"within_h\": 1, \"abstained\": true", 0.6f, 0, 0, GOOD, ACTION_MONITOR, "", ""},
    {SURE, "\"within_h\": 48, \"confidence_below\": 0.625, \"abstained\": false", 0.4f, 0, 0, GOOD,
     ACTION_ROUTINE_REFERRAL, "low_confidence ", "low_confidence "},
    {ALL, LOOK, 0.35f, 0.35f, 1, BLACK, ACTION_URGENT_REFERRAL,
     "low_confidence out_of_distribution image_quality ", "low_confidence abstained "},
};

static void parse_v2(const struct case_of_v2 *the, struct policy *policy)
{
    char text[1024];
    struct error err;
    int length = snprintf(text, sizeof text,
                          "{\"schema\": \"skinsight.policy.v2\", \"version\": \"2\", \"fda_clearance\": "
                          "\"none\", " DISCLAIMER
                          ", \"urgent\": {\"MEL\": 0.3}, \"routine\": {}, \"abstain\": {%s}%s%s%s}",
                          the->abstain, the->review ? ", \"review\": {" : "", the->review ? the->review : "",
                          the->review ? "}" : "");
    assert_in_range(length, 1, sizeof text - 1);
    if (parse(text, policy, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
}

static void join(const bool *given, const char *const *names, int count, char text[128])
{
    text[0] = '\0';
    for (int i = 0; i < count; i++)
        if (given[i])
            snprintf(text + strlen(text), 128 - strlen(text), "%s ", names[i]);
}

static void test_cases_of_version_2(void **state)
{
    (void)state;
    assert_true(sizeof cases_of_v2 / sizeof *cases_of_v2 >= 40);
    for (size_t i = 0; i < sizeof cases_of_v2 / sizeof *cases_of_v2; i++) {
        const struct case_of_v2 *the = &cases_of_v2[i];
        float rest = (1 - the->confidence - the->melanoma) / 3;
        const float probabilities[LESION_CLASSES] = {[LESION_NV] = the->confidence,
                                                     [LESION_MEL] = the->melanoma,
                                                     [LESION_BKL] = rest,
                                                     [LESION_DF] = rest,
                                                     [LESION_VASC] = rest};
        const struct evidence evidence = {probabilities, the->quantile, &the->features};
        struct policy policy;
        struct decision decision;
        char reasons[128], review[128];
        parse_v2(the, &policy);
        policy_decide(&policy, &evidence, &decision);
        join(decision.abstains, abstain_reason_names, ABSTAIN_REASON_COUNT, reasons);
        join(decision.review, review_reason_names, REVIEW_REASON_COUNT, review);
        if (decision.action != the->action || strcmp(reasons, the->reasons) != 0 ||
            strcmp(the->review ? review : "", the->review_reasons) != 0)
            fail_msg("case %zu: %s, abstains %s, review %s; expected %s, %s, %s", i,
                     action_names[decision.action], reasons, review, action_names[the->action], the->reasons,
                     the->review_reasons);
        assert_int_equal(decision.abstained, *the->reasons != '\0');
        assert_int_equal(decision.review_within_h, *the->review_reasons ? policy.review.within_h : 0);
    }
}

static void test_the_built_in_policy_asks_for_a_look(void **state)
{
    (void)state;
    struct policy policy;
    struct decision decision;
    struct error err;
    float probabilities[LESION_CLASSES] = {[LESION_NV] = 0.75f, [LESION_BKL] = 0.25f};
    struct evidence evidence = {probabilities, below(0.99f), &sharp};
    assert_int_equal(policy_load(&policy, "", &err), STATUS_OK);
    policy_decide(&policy, &evidence, &decision);
    assert_true(!decision.abstained && decision.review_within_h == 0 && decision.action == ACTION_MONITOR);
    evidence.ood_quantile = 1;
    policy_decide(&policy, &evidence, &decision);
    assert_true(decision.abstains[ABSTAIN_OUT_OF_DISTRIBUTION] && decision.review[REVIEW_ABSTAINED]);
    assert_true(decision.review_within_h == 48 && decision.action == ACTION_ROUTINE_REFERRAL);
}

// It abstains for confidence alone and asks for no review; what neither version knows is ignored in it.
static void test_version_1_stays_as_it_is(void **state)
{
    (void)state;
    static const char text[] = "{" TEXTS ", " DISCLAIMER ", \"urgent\": {}, \"routine\": {}, \"abstain\": "
                               "{\"confidence_below\": 0.5, \"other\": 7}, \"comment\": \"\"}";
    const float probabilities[LESION_CLASSES] = {[LESION_NV] = 0.4f, [LESION_BKL] = 0.3f, [LESION_DF] = 0.3f};
    const struct evidence evidence = {probabilities, 1, &sharp};
    struct policy policy;
    struct decision decision;
    struct error err;
    assert_int_equal(parse(text, &policy, &err), STATUS_OK);
    policy_decide(&policy, &evidence, &decision);
    assert_true(decision.abstained && decision.abstains[ABSTAIN_LOW_CONFIDENCE]);
    assert_false(decision.abstains[ABSTAIN_OUT_OF_DISTRIBUTION]);
    assert_int_equal(decision.review_within_h, 0);
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
    decide(&policy, probabilities, &decision);
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
        cmocka_unit_test(test_cases_of_version_2),
        cmocka_unit_test(test_the_built_in_policy_asks_for_a_look),
        cmocka_unit_test(test_version_1_stays_as_it_is),
        cmocka_unit_test(test_of_equals_the_first_leads),
        cmocka_unit_test(test_probabilities_are_the_softmax),
        cmocka_unit_test(test_a_policy_is_read),
        cmocka_unit_test(test_policies_are_refused),
        cmocka_unit_test(test_rules_of_no_version_or_of_a_later_one_are_refused),
        cmocka_unit_test(test_policy_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
