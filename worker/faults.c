// faults.c: the service breaks no rule, whatever the environment says. tests/support/faults.c takes this
// file's place in skinsight-worker-faults.
#include "worker/faults.h"

#include <stddef.h>

void faults_announce(void)
{
}

bool fault_is_on(enum fault fault)
{
    (void)fault;
    return false;
}

bool fault_matches(enum fault fault, const char *text)
{
    (void)fault, (void)text;
    return false;
}

bool fault_number(enum fault fault, int64_t *number)
{
    (void)fault, (void)number;
    return false;
}
