// test_policy.c: policy files that are refused, each by a sentence that names what is wrong.
#include "worker/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_policy_is_read),
        cmocka_unit_test(test_policies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
