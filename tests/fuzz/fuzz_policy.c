// fuzz_policy.c: any bytes as a policy. What is accepted must decide every answer.
#include <stdlib.h>

#include "worker/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const float probabilities[LESION_CLASSES] = {0.3f, 0.2f, 0.1f, 0.1f, 0.1f, 0.1f, 0.05f, 0.05f};
    struct error err;
    struct policy policy;
    struct decision decision;
    if (policy_parse(&policy, (const char *)data, size, &err) != STATUS_OK)
        return 0;
    policy_decide(&policy, probabilities, &decision);
    if (decision.primary != 0 || decision.risk_score != 45)
        abort();
    return 0;
}
