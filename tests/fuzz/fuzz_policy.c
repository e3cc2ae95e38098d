// fuzz_policy.c: any bytes as a policy. What is accepted must decide every answer, keeps an abstained one
// from `monitor`, and asks for a look within the hours that it names, or for none.
#include <math.h>
#include <stdlib.h>

#include "worker/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decide(const struct policy *policy, float quantile, const struct features *features)
{
    static const float probabilities[LESION_CLASSES] = {0.3f, 0.2f, 0.1f, 0.1f, 0.1f, 0.1f, 0.05f, 0.05f};
    const struct evidence evidence = {probabilities, quantile, features};
    struct decision decision;
    policy_decide(policy, &evidence, &decision);
    if (decision.primary != 0 || decision.risk_score != 45)
        abort();
    bool reason = false;
    for (int i = 0; i < ABSTAIN_REASON_COUNT; i++)
        reason = reason || decision.abstains[i];
    if (decision.abstained != reason || (reason && decision.action == ACTION_MONITOR))
        abort();
    if (isnan(quantile) && decision.abstains[ABSTAIN_OUT_OF_DISTRIBUTION])
        abort();
    bool asked = decision.review[REVIEW_LOW_CONFIDENCE] || decision.review[REVIEW_ABSTAINED];
    if (decision.review_within_h != (asked ? policy->review.within_h : 0) ||
        decision.review_within_h > REVIEW_HOURS_MOST)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct features dark = {0}, bright = {.brightness = 1, .contrast = 0.5f, .sharpness = 16};
    struct error err;
    struct policy policy;
    if (policy_parse(&policy, (const char *)data, size, &err) != STATUS_OK)
        return 0;
    decide(&policy, NAN, &dark);
    decide(&policy, 0, &bright);
    decide(&policy, 1, &dark);
    return 0;
}
