// gateway_faults.c: the deaths of producer/gateway/faults.h for skinsight-producer-faults, which differs from
// the service in this file alone.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/services/record_sender.h"
#include "producer/gateway/faults.h"

void fault_point(enum fault fault)
{
    static const char *const names[FAULT_COUNT] = {"accepted", "produced", "delivered",
                                                   "queued",   "arrived",  "stored"};
    const char *wanted = getenv("SKINSIGHT_TEST_KILL_AT");
    if (wanted && strcmp(wanted, names[fault]) == 0)
        raise(SIGKILL);
}

void fault_sender(struct record_sender *sender)
{
    static bool over; // the desk's thread alone
    if (over || !getenv("SKINSIGHT_TEST_FATAL"))
        return;
    over = true;
    rd_kafka_test_fatal_error(sender->client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test's");
}
