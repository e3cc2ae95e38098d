// faults.h: faults that tests ask for through the environment: each breaks one rule on purpose, so that the
// test which guards the rule is known to be able to fail. Only skinsight-worker-faults has them, which is
// built with the tests; skinsight-worker takes these variables for unknown ones.
#ifndef SKINSIGHT_WORKER_FAULTS_H
#define SKINSIGHT_WORKER_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault {
    FAULT_NO_RENEWAL,      // SKINSIGHT_TEST_NO_RENEWAL=1: keep the producer after an unknown outcome
    FAULT_ABORT_ON,        // SKINSIGHT_TEST_ABORT_ON=<digest prefix>: decoding this image ends the process
    FAULT_LEAK,            // SKINSIGHT_TEST_LEAK=1: every job leaks 4 KiB
    FAULT_FLIP_AFTER,      // SKINSIGHT_TEST_FLIP_AFTER=<n>: after n batches every answer has a flipped bit
    FAULT_DEVICE_ERROR_AT, // SKINSIGHT_TEST_DEVICE_ERROR_AT=<n>: the device fails at batch n, counted from 0
    FAULT_COMMIT_FIRST,    // SKINSIGHT_TEST_COMMIT_FIRST=1: the offsets are committed before the answers
    FAULT_KEEP_STALE,      // SKINSIGHT_TEST_KEEP_STALE=1: jobs of an assignment that was lost go on
    FAULT_SHORT_KEY,   // SKINSIGHT_TEST_SHORT_KEY=1: a cache key has 4 bits, and no value is compared with it
    FAULT_REPORTED_AT, // SKINSIGHT_TEST_FAULT_REPORTED_AT=<n>: it has a fault from the n-th question on
    FAULT_COUNT
};

// Logs a warning for each fault that is asked for: a worker that breaks rules on purpose must say so.
void faults_announce(void);
bool fault_is_on(enum fault fault);
// The variable is set and text begins with its value.
bool fault_matches(enum fault fault, const char *text);
// The variable is set to a whole number.
bool fault_number(enum fault fault, int64_t *number);

#endif
