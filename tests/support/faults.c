// faults.c: the faults of worker/faults.h for skinsight-worker-faults, which stands beside the service's
// worker and differs in this file alone. Looks the variable up each time; getenv is safe from any thread
// because nothing sets one.
#include "worker/faults.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

static const char *const variables[FAULT_COUNT] = {
    "SKINSIGHT_TEST_NO_RENEWAL", "SKINSIGHT_TEST_ABORT_ON",        "SKINSIGHT_TEST_LEAK",
    "SKINSIGHT_TEST_FLIP_AFTER", "SKINSIGHT_TEST_DEVICE_ERROR_AT", "SKINSIGHT_TEST_COMMIT_FIRST",
    "SKINSIGHT_TEST_KEEP_STALE", "SKINSIGHT_TEST_SHORT_KEY",       "SKINSIGHT_TEST_FAULT_REPORTED_AT"};

void faults_announce(void)
{
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        if (getenv(variables[fault]))
            LOG_WARN("fault_on_request", "variable=%s", variables[fault]);
}

bool fault_is_on(enum fault fault)
{
    return getenv(variables[fault]) != NULL;
}

bool fault_matches(enum fault fault, const char *text)
{
    const char *value = getenv(variables[fault]);
    return value && *value && strncmp(text, value, strlen(value)) == 0;
}

bool fault_number(enum fault fault, int64_t *number)
{
    const char *value = getenv(variables[fault]);
    char *end = NULL;
    if (!value || !*value)
        return false;
    *number = strtoll(value, &end, 10);
    return *end == '\0';
}
