// faults.c: the service dies by nobody's wish, whatever the environment says. tests/support/gateway_faults.c
// takes this file's place in skinsight-producer-faults.
#include "producer/gateway/faults.h"

void fault_point(enum fault fault)
{
    (void)fault;
}

void fault_sender(struct record_sender *sender)
{
    (void)sender;
}
